// World: simulated time, the queue of everything that will happen, the randomness that decides, and
// the trace of what did. One thread; everything in a run hangs on one World.
#pragma once

#include "lib/base/prng.h"
#include "lib/base/time.h"
#include "tests/sim/faults.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::sim {

class World {
public:
    using Action = std::function<void()>;

    explicit World(uint64_t seed);

    [[nodiscard]] MonoTime now() const { return now_; }
    /// Events run by (time, order of scheduling).
    void at(MonoTime due, Action action);
    void after(Duration delay, Action action) { at(now_ + delay, std::move(action)); }
    /// Runs the next event; false when there is none or a check failed.
    bool step();
    /// Runs until `done` says yes, the time is `limit`, or a check failed. True: done.
    bool run_until(MonoTime limit, const std::function<bool()>& done);

    Prng& random() { return random_; }
    /// Uniform in [low, high].
    Duration between(Duration low, Duration high) {
        return Duration(random_.between(low.count(), high.count()));
    }
    bool chance_percent(uint32_t percent) { return random_.chance(percent * 10'000); }

    /// Goes into the hash by which two runs are compared; printed when wanted.
    void trace(std::string_view event, uint64_t a = 0, uint64_t b = 0);
    [[nodiscard]] uint64_t trace_hash() const { return hash_; }
    [[nodiscard]] uint64_t event_count() const { return events_; }
    void set_printing(bool on) { printing_ = on; }
    /// What is worth a line only to who reads a trace; no part of the hash.
    [[nodiscard]] bool is_printing() const { return printing_; }
    void print(const std::string& line) const;

    void hit(Fault fault);
    [[nodiscard]] const FaultCounts& faults() const { return faults_; }

    /// A check failed; the first one ends the run.
    void violate(std::string what);
    [[nodiscard]] const std::optional<std::string>& violation() const { return violation_; }

private:
    struct Event {
        MonoTime due;
        uint64_t sequence;
        Action action;
    };
    static bool later(const Event& a, const Event& b) {
        return a.due != b.due ? a.due > b.due : a.sequence > b.sequence;
    }

    Prng random_;
    MonoTime now_{};
    std::vector<Event> queue_; // a heap
    uint64_t sequence_ = 0;
    uint64_t events_ = 0;
    uint64_t hash_ = 0xcbf29ce484222325ull;
    bool printing_ = false;
    FaultCounts faults_{};
    std::optional<std::string> violation_;
};

} // namespace qtool::sim
