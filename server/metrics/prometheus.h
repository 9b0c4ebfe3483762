// The counters of all cores as Prometheus text (exposition format 0.0.4), summed over cores where
// that is what an operator asks, with a core label where it shows imbalance.
#pragma once

#include "server/metrics/counters.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::metrics {

/// `api_name` gives the label of an API key; APIs with an empty name or no request are left out.
std::string render_prometheus(const std::vector<const CoreCounters*>& cores,
                              const std::function<std::string_view(size_t)>& api_name);

} // namespace qtool::metrics
