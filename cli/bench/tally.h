// Tally: what one worker of a benchmark counted. The counters and the histogram are written by the
// worker's thread and may be read by any; the rest only once that thread has ended.
#pragma once

#include "cli/bench/histogram.h"
#include "lib/base/error.h"
#include "lib/base/time.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace qtool::cli::bench {

struct Tally {
    // Without warm-up:
    Counter sent;       // given to the client
    Counter done;       // delivered, or consumed
    Counter done_bytes; // keys and values of those
    Counter failed;     // not delivered, by the client's word
    Histogram latency;  // nanoseconds
    // With warm-up:
    Counter done_ever;
    Counter foreign; // consumed, but not of this run

    // When the thread has ended:
    uint64_t undelivered = 0; // still open when it gave up
    uint64_t overdue = 0;     // never sent though they were due
    Duration late_max{};      // how late the worker itself was with a record
    MonoTime finished{};      // of the last event, or of the time that the records fill
    std::map<std::string, uint64_t> errors;
    std::optional<Error> fatal; // why it ended early
};

/// What workers of one run share.
struct Control {
    std::atomic<bool> stop_sending{false}; // end early: deliver what is out
    std::atomic<bool> stop_reading{false}; // at once
    std::atomic<bool> failed{false};       // a worker ended with Tally::fatal
    std::atomic<size_t> senders_ended{0};
    std::atomic<size_t> readers_ended{0};
    std::atomic<uint64_t> to_read{0}; // records that consumers may still count; kNoLimit: any
};

} // namespace qtool::cli::bench
