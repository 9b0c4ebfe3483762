// What holds for one consumer group: the one place to ask.
#pragma once

#include "lib/base/time.h"
#include "lib/config/group_config.h"
#include "server/coordinator/machine.h"

#include <string>

namespace qtool::group {

struct ConsumerGroupSettings {
    Duration session_timeout{};
    int32_t heartbeat_interval_ms = 0;
    Duration assignment_interval{};
};

/// Options of the group over the broker's, as they are now: asked at each use, so that a change
/// holds from the next heartbeat on.
inline ConsumerGroupSettings consumer_group_settings(const coordinator::Host& host,
                                                     const std::string& group_id) {
    const config::GroupConfig config =
        config::effective_group_config(host.image().group_overrides(group_id), host.config());
    ConsumerGroupSettings settings;
    settings.session_timeout = clamped_ms(config.session_timeout_ms);
    settings.heartbeat_interval_ms = config.heartbeat_interval_ms;
    settings.assignment_interval = clamped_ms(config.assignment_interval_ms);
    return settings;
}

} // namespace qtool::group
