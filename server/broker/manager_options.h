// Options of the broker as the partitions of one core want them. Pure; any core.
#pragma once

#include "lib/config/broker_config.h"
#include "server/replica/manager.h"

namespace qtool::broker {

/// Buffers and rates are those of the broker; its cores share them out evenly.
replica::ManagerOptions manager_options(const config::BrokerConfig& config, uint16_t core_count);

} // namespace qtool::broker
