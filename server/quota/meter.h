// Meter: which quota holds for a client, and what it may still use. Each core asks the one of its
// broker; it keeps nothing but the shared buckets. Thread-safe.
// Source: KIP-13, KIP-55 (user and client quotas), KIP-124 (request time), KIP-599, KIP-612.
#pragma once

#include "lib/config/broker_config.h"
#include "server/metadata/image.h"
#include "server/quota/buckets.h"

#include <optional>
#include <string_view>

namespace qtool::quota {

/// Who everybody is without authentication.
inline constexpr std::string_view kAnonymousUser = "ANONYMOUS";

enum class Kind : uint8_t {
    produce,  // bytes a second, producer_byte_rate
    fetch,    // bytes a second, consumer_byte_rate
    request,  // seconds of a core a second, request_percentage / 100
    mutation, // partitions made or removed a second, controller_mutation_rate
    connect,  // connections a second, connection_creation_rate; of an address
};

struct Client {
    std::string_view user = kAnonymousUser;
    std::string_view client_id;
};

class Meter {
public:
    /// The windows are options that take a restart.
    explicit Meter(const config::BrokerConfig& start)
        : window_samples_(start.quota_window_num),
          window_sample_seconds_(start.quota_window_size_seconds),
          controller_samples_(start.controller_quota_window_num),
          controller_sample_seconds_(start.controller_quota_window_size_seconds) {}

    /// The bucket of this client for anything but connections; nothing: no quota holds.
    [[nodiscard]] std::optional<Bucket> find(Kind kind, const metadata::Image& image,
                                             const Client& client) const;
    /// The bucket of connections from this address.
    [[nodiscard]] std::optional<Bucket> find_address(const metadata::Image& image,
                                                     std::string_view ip) const;
    /// The longest pause for request time: it is one sample, as in Kafka.
    [[nodiscard]] Duration request_pause_max() const {
        return std::chrono::seconds(window_sample_seconds_);
    }

    Buckets& buckets() { return buckets_; }

private:
    [[nodiscard]] Duration capacity(Kind kind) const;

    int32_t window_samples_;
    int32_t window_sample_seconds_;
    int32_t controller_samples_;
    int32_t controller_sample_seconds_;
    Buckets buckets_;
};

} // namespace qtool::quota
