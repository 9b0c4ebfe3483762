// The counters of all cores as Prometheus text (exposition format 0.0.4), summed over cores where
// that is what an operator asks, with a core label where it shows imbalance.
#pragma once

#include "server/metrics/counters.h"

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

/// `api_name` gives the label of an API key; APIs with an empty name or no request are left out.
std::string render_prometheus(const std::vector<const CoreCounters*>& cores,
                              const std::vector<LogDirGauges>& log_dirs,
                              const std::function<std::string_view(size_t)>& api_name);

} // namespace qtool::metrics
