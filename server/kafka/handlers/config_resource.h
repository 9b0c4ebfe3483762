// The resources whose options DescribeConfigs and the two alter requests name.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"

#include <cstdint>
#include <string_view>

namespace qtool::kafka {

inline constexpr int8_t kConfigResourceTopic = 2;
inline constexpr int8_t kConfigResourceBroker = 4;

/// Errors: invalid_request for a type that is not served and for another broker than this one.
/// A broker's name is its id in decimal, or "" for defaults of the whole cluster.
inline Result<void> check_config_resource(int8_t type, std::string_view name, BrokerId self) {
    if (type == kConfigResourceTopic) {
        return {};
    }
    if (type != kConfigResourceBroker) {
        return Error(Code::invalid_request,
                     "config resource type " + std::to_string(type) +
                         " is not served; types are 2 (topic) and 4 (broker)");
    }
    if (!name.empty() && name != std::to_string(self.value())) {
        return Error(Code::invalid_request, "broker '" + std::string(name) +
                                                "' is not this one: ask broker " +
                                                std::to_string(self.value()) + " about itself");
    }
    return {};
}

} // namespace qtool::kafka
