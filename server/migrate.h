// qbroker --migrate-to-etcd: moves the metadata of a broker without etcd into etcd, while no broker
// runs on the directory.
#pragma once

#include "lib/base/result.h"
#include "lib/config/broker_config.h"

#include <cstddef>

namespace qtool {

/// Keys that were moved. The file is kept beside, as metadata.db.moved-to-etcd. Errors:
/// invalid_config (no etcd.endpoints, no such file, the target holds something), storage_locked (a
/// broker runs on the directory), those of the stores.
Result<size_t> migrate_to_etcd(const config::BrokerConfig& config);

} // namespace qtool
