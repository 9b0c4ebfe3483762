// Broker options set at run time (KIP-226): for one broker or as the default of all. Only rows with
// UpdateMode::live may be; what a change of the others would need is a restart. Pure functions.
#pragma once

#include "lib/config/broker_config.h"

#include <span>
#include <vector>

namespace qtool::config {

/// `base` with these two layers in place of the ones it has. A name without a row is left out, so
/// that one which a later version stored does not keep a broker from starting.
/// Errors: invalid_config (a value that is not served, options that contradict each other).
Result<BrokerConfig> with_dynamic(const BrokerConfig& base, const Overrides& cluster_default,
                                  const Overrides& own);

/// The whole set of a broker, or of the cluster's defaults.
/// Errors: invalid_config; invalid_request (a name twice, an option that takes a restart).
Result<Overrides> make_broker_overrides(std::span<const RequestedOption> options);

/// alter_overrides for brokers; `broker` has the values in force.
/// Errors: invalid_config; invalid_request (as alter_overrides; an option that takes a restart).
Result<Overrides> alter_broker_overrides(const Overrides& current,
                                         std::span<const Alteration> alterations,
                                         const BrokerConfig& broker);

/// The defaults of the cluster, as DescribeConfigs answers for broker "": only what is set.
std::vector<DescribedOption> describe_cluster_default(const Overrides& cluster_default);

} // namespace qtool::config
