// The counters of all cores and a survey of them as Prometheus text (exposition format 0.0.4),
// summed over cores where that is what an operator asks, with a core label where it shows
// imbalance. Every metric is in README.md; a test compares.
#pragma once

#include "lib/base/time.h"
#include "server/metrics/counters.h"
#include "server/metrics/store_counters.h"
#include "server/metrics/survey.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::metrics {

/// A log directory, for the gauges that have it as a label.
struct LogDirGauges {
    std::string path;
    bool is_offline = false;
    bool is_low = false; // produce is refused, because less is free than the reserve
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
    uint64_t reserve_bytes = 0;
    uint64_t partition_count = 0;
};

/// What a scrape is made of.
struct Scrape {
    std::vector<const CoreCounters*> cores;
    std::vector<LogDirGauges> log_dirs;
    const Survey* survey = nullptr;
    /// The label of an API key; APIs with an empty name or no request are left out.
    std::function<std::string_view(size_t)> api_name;
    /// Kafka's name of an error code.
    std::function<std::string_view(int16_t)> error_name;
    WallTime started_at{};
    const StoreCounters* store = nullptr; // of a cluster; nullptr: there is none
};

std::string render_prometheus(const Scrape& scrape);

} // namespace qtool::metrics
