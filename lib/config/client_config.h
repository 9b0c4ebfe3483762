// ClientConfig: options of the client library, by Kafka's names, as qtool -X key=value takes them.
// Made once, then constant; copied into the machines of lib/client.
#pragma once

#include "lib/base/result.h"
#include "lib/config/option.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace qtool::config {

/// The numbers are those of the batch attributes.
enum class CompressionType : int8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };

enum class IsolationLevel : int8_t { read_uncommitted = 0, read_committed = 1 };

/// A default constructed ClientConfig holds the defaults of the table.
struct ClientConfig {
    // Connections and metadata.
    std::vector<Endpoint> bootstrap_servers = {{"localhost", 9092}};
    std::string client_id = "qtool";
    int32_t request_timeout_ms = 30'000;
    int64_t retry_backoff_ms = 100;
    int64_t retry_backoff_max_ms = 1000;
    int64_t reconnect_backoff_ms = 50;
    int64_t reconnect_backoff_max_ms = 1000;
    int64_t metadata_max_age_ms = 300'000;
    // Producer.
    int16_t acks = -1; // -1: all in-sync replicas; 0; 1
    int64_t linger_ms = 5;
    int32_t batch_size_bytes = 16'384;
    CompressionType compression_type = CompressionType::none;
    int32_t compression_gzip_level = -1; // -1: the library's own default
    int32_t compression_lz4_level = 9;
    int32_t compression_zstd_level = 3;
    int32_t delivery_timeout_ms = 120'000;
    int32_t retries = 2'147'483'647;
    int32_t max_in_flight = 5; // requests per connection; at most 5 when idempotent
    bool enable_idempotence = true;
    int64_t buffer_memory_bytes = 33'554'432;
    int32_t max_request_bytes = 1'048'576;
    // Consumer.
    int32_t fetch_min_bytes = 1;
    int32_t fetch_max_bytes = 52'428'800;
    int32_t fetch_max_wait_ms = 500;
    int32_t max_partition_fetch_bytes = 1'048'576;
    IsolationLevel isolation_level = IsolationLevel::read_uncommitted;

    bool operator==(const ClientConfig&) const = default;
};

/// As Kafka's clients do: idempotence that nobody asked for by name gives way to acks=0 or 1,
/// retries=0 or more than five requests in flight; asked for, the conflict is an error.
/// Errors: invalid_config.
Result<ClientConfig> make_client_config(const std::map<std::string, std::string>& options);

/// "key=value" of -X into `options`; the key must be known. The last value wins. Errors:
/// invalid_config.
Result<void> add_client_option(std::map<std::string, std::string>& options,
                               std::string_view assignment);

} // namespace qtool::config
