#include "lib/config/client_config.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <cstdint>

namespace qtool::config {
namespace {

using Options = std::map<std::string, std::string>;

constexpr int32_t kIdempotentInFlightMax = 5; // batches a broker remembers per producer, KIP-98

std::string text(const Options& normalized, const std::string& name) {
    if (const auto option = normalized.find(name); option != normalized.end()) {
        return option->second;
    }
    const OptionRow* row = find_option(client_options(), name);
    QT_ASSERT_MSG(row != nullptr, "an option is read that has no row");
    QT_ASSERT(!row->default_is_null);
    return std::string(row->default_text);
}

CompressionType to_compression(std::string_view name) {
    if (name == "gzip") {
        return CompressionType::gzip;
    }
    if (name == "snappy") {
        return CompressionType::snappy;
    }
    if (name == "lz4") {
        return CompressionType::lz4;
    }
    if (name == "zstd") {
        return CompressionType::zstd;
    }
    QT_ASSERT(name == "none");
    return CompressionType::none;
}

/// Why these options cannot be idempotent, or empty.
std::string idempotence_conflict(const ClientConfig& client) {
    if (client.acks != -1) {
        return "acks=" + std::to_string(client.acks) + "; it needs acks=all";
    }
    if (client.retries == 0) {
        return "retries=0; it needs at least 1";
    }
    if (client.max_in_flight > kIdempotentInFlightMax) {
        return "max.in.flight.requests.per.connection=" + std::to_string(client.max_in_flight) +
               "; it needs at most " + std::to_string(kIdempotentInFlightMax);
    }
    return {};
}

Result<void> check_together(ClientConfig& client, const Options& normalized) {
    if (client.enable_idempotence) {
        if (const std::string conflict = idempotence_conflict(client); !conflict.empty()) {
            if (normalized.count("enable.idempotence") != 0) {
                return Error(Code::invalid_config,
                             "enable.idempotence=true contradicts " + conflict);
            }
            client.enable_idempotence = false;
        }
    }
    const int64_t attempt_ms = client.linger_ms > INT64_MAX - client.request_timeout_ms
                                   ? INT64_MAX
                                   : client.linger_ms + client.request_timeout_ms;
    if (client.delivery_timeout_ms < attempt_ms) {
        if (normalized.count("delivery.timeout.ms") != 0 || attempt_ms > INT32_MAX) {
            return Error(Code::invalid_config,
                         "delivery.timeout.ms=" + std::to_string(client.delivery_timeout_ms) +
                             " is shorter than linger.ms + request.timeout.ms = " +
                             std::to_string(attempt_ms) + "; raise it or lower those");
        }
        client.delivery_timeout_ms = static_cast<int32_t>(attempt_ms);
    }
    return {};
}

} // namespace

Result<ClientConfig> make_client_config(const Options& options) {
    Options normalized;
    for (const auto& [name, value] : options) {
        QT_TRY_ASSIGN(const OptionRow* const row, require_option(client_options(), name));
        QT_TRY_ASSIGN(normalized[name], normalize(*row, value));
    }
    const auto int32 = [&](const char* name) { return to_int32(text(normalized, name)); };
    const auto int64 = [&](const char* name) { return to_int64(text(normalized, name)); };

    ClientConfig client;
    client.bootstrap_servers.clear();
    for (const std::string& server : to_list(text(normalized, "bootstrap.servers"))) {
        QT_TRY_ASSIGN(Endpoint endpoint, parse_endpoint("bootstrap.servers", server));
        if (endpoint.port == 0) {
            return Error(Code::invalid_config,
                         "bootstrap.servers has " + server + "; the port must be 1 to 65535");
        }
        client.bootstrap_servers.push_back(std::move(endpoint));
    }
    client.client_id = text(normalized, "client.id");
    client.request_timeout_ms = int32("request.timeout.ms");
    client.retry_backoff_ms = int64("retry.backoff.ms");
    client.retry_backoff_max_ms = std::max(int64("retry.backoff.max.ms"), client.retry_backoff_ms);
    client.reconnect_backoff_ms = int64("reconnect.backoff.ms");
    client.reconnect_backoff_max_ms =
        std::max(int64("reconnect.backoff.max.ms"), client.reconnect_backoff_ms);
    client.metadata_max_age_ms = int64("metadata.max.age.ms");

    const std::string acks = text(normalized, "acks");
    client.acks = static_cast<int16_t>(acks == "all" ? -1 : to_int32(acks));
    client.linger_ms = int64("linger.ms");
    client.batch_size_bytes = int32("batch.size");
    client.compression_type = to_compression(text(normalized, "compression.type"));
    client.compression_gzip_level = int32("compression.gzip.level");
    client.compression_lz4_level = int32("compression.lz4.level");
    client.compression_zstd_level = int32("compression.zstd.level");
    client.delivery_timeout_ms = int32("delivery.timeout.ms");
    client.retries = int32("retries");
    client.max_in_flight = int32("max.in.flight.requests.per.connection");
    client.enable_idempotence = to_bool(text(normalized, "enable.idempotence"));
    client.buffer_memory_bytes = int64("buffer.memory");
    client.max_request_bytes = int32("max.request.size");

    client.fetch_min_bytes = int32("fetch.min.bytes");
    client.fetch_max_bytes = int32("fetch.max.bytes");
    client.fetch_max_wait_ms = int32("fetch.max.wait.ms");
    client.max_partition_fetch_bytes = int32("max.partition.fetch.bytes");
    client.isolation_level = text(normalized, "isolation.level") == "read_committed"
                                 ? IsolationLevel::read_committed
                                 : IsolationLevel::read_uncommitted;
    QT_TRY(check_together(client, normalized));
    return client;
}

Result<void> add_client_option(Options& options, std::string_view assignment) {
    const size_t equals = assignment.find('=');
    if (equals == std::string_view::npos || equals == 0) {
        constexpr size_t kShownSizeMax = 100;
        return Error(Code::invalid_config, "-X takes key=value, got '" +
                                               std::string(assignment.substr(0, kShownSizeMax)) +
                                               "'");
    }
    const std::string name(assignment.substr(0, equals));
    QT_TRY_ASSIGN(const OptionRow* const row, require_option(client_options(), name));
    QT_TRY_ASSIGN(options[name], normalize(*row, assignment.substr(equals + 1)));
    return {};
}

} // namespace qtool::config
