// GroupConfig: the options of one consumer group (KIP-1082's dynamic group configs). What a group
// does not set comes from the broker's group.consumer.* options, whose .min. and .max. bound what
// it may set. A value without identity.
#pragma once

#include "lib/config/broker_config.h"

#include <cstdint>
#include <span>
#include <vector>

namespace qtool::config {

struct GroupConfig {
    int32_t session_timeout_ms = 45'000;
    int32_t heartbeat_interval_ms = 5000;
    int32_t assignment_interval_ms = 1000;

    bool operator==(const GroupConfig&) const = default;
};

/// What holds for a group with these overrides. A stored value that the broker's bounds no longer
/// allow is moved to the nearest bound, as the bounds may have changed since; unknown names are
/// left out. Never fails.
GroupConfig effective_group_config(const Overrides& overrides, const BrokerConfig& broker);

/// Errors: invalid_config (also beyond the broker's bounds, or a heartbeat interval not below the
/// session timeout); invalid_request (a name twice, a null value, an unknown operation).
Result<Overrides> make_group_overrides(std::span<const RequestedOption> options,
                                       const BrokerConfig& broker);
Result<Overrides> alter_group_overrides(const Overrides& current,
                                        std::span<const Alteration> alterations,
                                        const BrokerConfig& broker);

/// Every row, sorted by name.
std::vector<DescribedOption> describe_group(const Overrides& overrides, const BrokerConfig& broker);

} // namespace qtool::config
