// The configuration in force of a stored topic. Pure; for any thread.
#pragma once

#include "lib/config/broker_config.h"

namespace qtool::metadata {

/// Overrides over the broker's defaults. A name this version has no option for is left out, so that
/// one which a later version dropped does not keep the broker from starting; a known option with a
/// value that is not served is an error, since retention might depend on it.
/// Errors: invalid_config.
Result<config::TopicConfig> effective_config(const config::TopicOverrides& overrides,
                                             const config::BrokerConfig& broker);

} // namespace qtool::metadata
