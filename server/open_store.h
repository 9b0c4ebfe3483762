// Which metadata store this broker uses: SQLite in its first log directory, or etcd.
#pragma once

#include "lib/base/result.h"
#include "lib/config/broker_config.h"
#include "server/metrics/store_counters.h"
#include "server/port/metadata_store.h"
#include "server/uv/uv_world.h"

#include <memory>
#include <string>

namespace qtool {

/// The whole file. Errors: invalid_config (cannot be read, or larger), naming `what`.
Result<std::string> read_text_file(const std::string& what, const std::string& path,
                                   size_t size_max);

/// What spans the options of etcd: a user has a password, a certificate its key. Errors:
/// invalid_config.
Result<void> check_etcd_options(const config::BrokerConfig& config);

/// The file that a broker without etcd has in its first log directory.
std::string sqlite_path(const config::BrokerConfig& config);

/// For the metadata core of `world`, before it starts. Errors: invalid_config (etcd, but the
/// directory belongs to a broker without: --migrate-to-etcd moves it), internal (no libcurl), those
/// of SqliteStore::open.
/// `counters` outlive the store; only that of etcd counts.
Result<std::unique_ptr<port::MetadataStore>> open_store(const config::BrokerConfig& config,
                                                        uv::UvWorld& world, CoreId metadata_core,
                                                        metrics::StoreCounters& counters);
/// The same, whatever is in the directory.
Result<std::unique_ptr<port::MetadataStore>> open_etcd_store(const config::BrokerConfig& config,
                                                             uv::UvWorld& world,
                                                             CoreId metadata_core,
                                                             metrics::StoreCounters& counters);

} // namespace qtool
