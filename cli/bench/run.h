// Run: one benchmark from prepared topic to report. Starts a thread for each producer and consumer,
// watches them from the thread of the caller, and adds up what they counted.
//
//   produce   producers alone
//   consume   consumers alone: from the first records to what is the end at the start
//   e2e       both; consumers begin at the end and wait for every record of this run
//   mixed     both; consumers read all the topic has, from its beginning, until producing ends
#pragma once

#include "cli/bench/report.h"
#include "lib/base/result.h"
#include "lib/config/client_config.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace qtool::cli::bench {

enum class Workload : uint8_t { produce, consume, e2e, mixed };

struct RunOptions {
    Workload workload = Workload::produce;
    config::ClientConfig client;
    std::string topic;
    std::optional<uint64_t> records;  // nothing: no limit
    std::optional<double> duration_s; // nothing: no limit
    double warmup_s = 0;
    double rate = 0; // records a second of all workers; 0: closed loop
    size_t record_bytes = 1000;
    uint64_t key_count = 0;
    uint32_t producers = 1;
    bool one_in_flight = false; // of each producer
    uint32_t consumers = 1;
    Duration answer_time{};    // how long to wait for what should come
    bool topic_is_new = false; // it may not be known everywhere yet
};

struct RunHooks {
    std::function<bool()> is_stopped;                  // a signal came
    std::function<void(std::string_view)> on_progress; // a line once a second; empty: none
};

struct Finished {
    Report report; // without parameters
    int32_t partition_count = 0;
    std::optional<Error> fatal; // what ended it early
    /// All that was to be done was done.
    [[nodiscard]] bool is_complete() const;
};

/// Errors, before any load: unknown_topic, no_broker, timed_out, invalid_argument (more consumers
/// than partitions).
Result<Finished> run(const RunOptions& options, const RunHooks& hooks);

} // namespace qtool::cli::bench
