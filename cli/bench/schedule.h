// Schedule: when each record of one worker is meant to go out. Sans I/O: time comes in.
//
// Open loop (a rate is given): record n is due at start + n / rate, whatever became of those before
// it. A stall makes the following records late, and each counts its latency from when it was due:
// what a client sending at that rate would have suffered (no coordinated omission).
//
//   1,000 a second, the broker stalls from 10 ms to 50 ms:   due      10   11   12 ..   50
//                                                            sent     50   50   50 ..   50
//                                                            latency  40   39   38 ..    0
//
// Closed loop (no rate): a record is due when the worker comes to it; stalls hide what waits.
#pragma once

#include "lib/base/time.h"

#include <cstdint>
#include <limits>
#include <optional>

namespace qtool::cli::bench {

inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

struct ScheduleOptions {
    MonoTime start;
    MonoTime measured_from;      // >= start; what is due before is warm-up
    MonoTime end = kMonoNever;   // nothing that is due then or later is sent, and nothing after it
    Duration overtime{};         // open loop: what was due before `end` is sent still, for so long
    uint64_t records = kNoLimit; // of this worker, warm-up not counted
    double rate = 0;             // records a second of all workers together; 0: closed loop
    uint32_t worker = 0;         // records are dealt to the workers in turns:
    uint32_t worker_count = 1;   // this one has worker, worker + worker_count, ...
};

class Schedule {
public:
    enum class Kind : uint8_t { send, wait, done };
    struct Step {
        Kind kind;
        MonoTime at; // send: when it was due, <= now; wait: until then; done: nothing
    };

    explicit Schedule(const ScheduleOptions& options);

    /// What to do at `now`. A record that is due stays so, with its time, until took().
    Step next(MonoTime now);
    /// The record that next() said to send is on its way.
    void took();

    [[nodiscard]] bool is_open_loop() const { return options_.rate > 0; }
    [[nodiscard]] bool is_measured(MonoTime due) const { return due >= options_.measured_from; }
    /// When the next record is due, past all limits; open loop only. Records taken fill the time
    /// until then, so that a rate computed with it is never above the intended one.
    [[nodiscard]] MonoTime next_due() const { return due_at(taken_); }
    /// Measured records that were due before `until` and were not taken: the rate was not kept.
    [[nodiscard]] uint64_t overdue_count(MonoTime until) const;

private:
    [[nodiscard]] MonoTime due_at(uint64_t index) const;

    ScheduleOptions options_;
    uint64_t taken_ = 0;
    uint64_t measured_ = 0;         // of those taken
    std::optional<MonoTime> asked_; // closed loop: when the record at hand became due
};

} // namespace qtool::cli::bench
