// One producer of a benchmark: sends records when its schedule says so and counts what becomes of
// them. Runs on a thread of its own; shares a Tally and a Control with the thread that reports.
#pragma once

#include "cli/bench/payload.h"
#include "cli/bench/schedule.h"
#include "cli/bench/tally.h"
#include "lib/config/client_config.h"

#include <string>

namespace qtool::cli::bench {

struct ProducingOptions {
    config::ClientConfig client;
    std::string topic;
    ScheduleOptions schedule;
    PayloadOptions payload;
    bool one_in_flight = false; // the next record waits for the delivery of the one before
    Duration give_up_time{};    // after stop_sending, deliveries are awaited this long
};

/// Returns when all is delivered or given up. Latency counts from when a record was due to its
/// delivery, so that time in the client's own queue is part of it. Ends early when a failure is not
/// about one record alone.
void run_producer(const ProducingOptions& options, Tally& tally, Control& control);

} // namespace qtool::cli::bench
