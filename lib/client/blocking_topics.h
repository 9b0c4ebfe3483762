// Topics made and deleted by Kafka's own requests, so that it works on any broker. Blocking, like
// blocking.h; each call has connections of its own.
#pragma once

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/config/client_config.h"

#include <cstdint>
#include <map>
#include <string>

namespace qtool::client {

struct NewTopic {
    std::string name;
    int32_t partitions = -1;         // -1: the broker's default
    int16_t replication_factor = -1; // -1: the broker's default
    std::map<std::string, std::string> configs;
};

/// Errors: topic_exists, the broker's others; no_broker, timed_out (it may have been made),
/// unsupported_version.
Result<void> create_topic(const config::ClientConfig& config, const NewTopic& topic,
                          MonoTime deadline);
/// Errors: unknown_topic, the broker's others; no_broker, timed_out, unsupported_version.
Result<void> delete_topic(const config::ClientConfig& config, const std::string& name,
                          MonoTime deadline);

} // namespace qtool::client
