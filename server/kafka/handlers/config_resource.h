// The resources whose options DescribeConfigs and the two alter requests name.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"

#include <cstdint>
#include <string_view>

namespace qtool::kafka {

inline constexpr int8_t kConfigResourceTopic = 2;
inline constexpr int8_t kConfigResourceBroker = 4;
inline constexpr int8_t kConfigResourceLogger = 8;
inline constexpr int8_t kConfigResourceClientMetrics = 16;
inline constexpr int8_t kConfigResourceGroup = 32;

/// Errors: invalid_request for a type that is not served, for another broker than this one and for
/// a group without a name. A broker's name is its id in decimal, or "" for defaults of the whole
/// cluster; the logger of a broker has the broker's id.
inline Result<void> check_config_resource(int8_t type, std::string_view name, BrokerId self) {
    const bool is_self = name == std::to_string(self.value());
    switch (type) {
    case kConfigResourceTopic:
        return {};
    case kConfigResourceBroker:
    case kConfigResourceLogger:
        if (is_self || (name.empty() && type == kConfigResourceBroker)) {
            return {};
        }
        return Error(Code::invalid_request, "broker '" + std::string(name) +
                                                "' is not this one: ask broker " +
                                                std::to_string(self.value()) + " about itself");
    case kConfigResourceGroup:
        if (name.empty()) {
            return Error(Code::invalid_request, "the name of a group is empty");
        }
        return {};
    case kConfigResourceClientMetrics:
        return Error(Code::invalid_request,
                     "client metrics are not served: qbroker takes no telemetry of clients");
    default:
        return Error(Code::invalid_request,
                     "config resource type " + std::to_string(type) +
                         " is unknown; types are 2 (topic), 4 (broker), 8 (broker logger) and "
                         "32 (group)");
    }
}

} // namespace qtool::kafka
