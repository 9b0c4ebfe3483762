// What holds for one consumer group: the one place to ask.
#pragma once

#include "lib/base/time.h"
#include "lib/config/broker_config.h"

#include <string_view>

namespace qtool::group {

struct ConsumerGroupSettings {
    Duration session_timeout{};
    int32_t heartbeat_interval_ms = 0;
    Duration assignment_interval{};
};

inline ConsumerGroupSettings consumer_group_settings(const config::BrokerConfig& config,
                                                     std::string_view group_id) {
    static_cast<void>(group_id); // groups have no options of their own yet
    ConsumerGroupSettings settings;
    settings.session_timeout = clamped_ms(config.consumer_groups.session_timeout_ms);
    settings.heartbeat_interval_ms = config.consumer_groups.heartbeat_interval_ms;
    settings.assignment_interval = clamped_ms(config.consumer_groups.assignment_interval_ms);
    return settings;
}

} // namespace qtool::group
