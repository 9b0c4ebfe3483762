// One consumer of a benchmark: reads its partitions and counts. Runs on a thread of its own; shares
// a Tally and a Control with the thread that reports.
#pragma once

#include "cli/bench/schedule.h"
#include "cli/bench/tally.h"
#include "lib/client/blocking.h"

#include <optional>
#include <string>
#include <vector>

namespace qtool::cli::bench {

struct ConsumingOptions {
    config::ClientConfig client;
    std::string topic;
    std::vector<client::PartitionOffset> from;
    std::vector<client::PartitionOffset> to; // first offsets not wanted; empty: it follows
    ScheduleOptions
        schedule; // with a rate: when each record is wanted; its records are not looked at
    std::optional<uint64_t> run_id; // end to end: count only records with this stamp
};

/// Returns at `to`, at the end of the schedule, when Control::to_read is used up, or on
/// stop_reading. What latency counts from:
///   run_id       when the record was due to be sent, by its stamp
///   rate         when the schedule wanted the record
///   otherwise    the call that waited for the next records; one a call
void run_consumer(const ConsumingOptions& options, Tally& tally, Control& control);

} // namespace qtool::cli::bench
