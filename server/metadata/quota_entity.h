// QuotaEntity: who a client quota is for, and what may be limited. A value.
// Source: KIP-546 (client quota APIs), KIP-612 (connection rate), KIP-599 (topic changes).
#pragma once

#include "lib/base/result.h"

#include <compare>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace qtool::metadata {

/// Parts that are there say whom it holds for: user, client-id, both, or ip alone. A part without
/// a name is the default: it holds for every name without a quota of its own.
struct QuotaEntity {
    using Name = std::optional<std::string>; // nothing: the default
    std::optional<Name> user = {};
    std::optional<Name> client_id = {};
    std::optional<Name> ip = {};

    auto operator<=>(const QuotaEntity&) const = default;
};

inline constexpr std::string_view kQuotaUser = "user";
inline constexpr std::string_view kQuotaClientId = "client-id";
inline constexpr std::string_view kQuotaIp = "ip";

inline constexpr std::string_view kProducerByteRate = "producer_byte_rate";
inline constexpr std::string_view kConsumerByteRate = "consumer_byte_rate";
inline constexpr std::string_view kRequestPercentage = "request_percentage";
inline constexpr std::string_view kControllerMutationRate = "controller_mutation_rate";
inline constexpr std::string_view kConnectionCreationRate = "connection_creation_rate";

/// Longest name of a part, in bytes.
inline constexpr size_t kQuotaNameSizeMax = 1000;

/// Errors: invalid_request (no part, ip with another part, an empty or overlong name, an address
/// that is none).
Result<void> check_quota_entity(const QuotaEntity& entity);

/// Errors: invalid_request (a key that this kind of entity does not have; not above 0; byte and
/// connection rates that are no whole numbers).
Result<void> check_quota_value(const QuotaEntity& entity, std::string_view key, double value);
/// Errors: invalid_request.
Result<void> check_quota_key(const QuotaEntity& entity, std::string_view key);

/// "user=alice,client-id=<default>": one spelling an entity; bytes of names beyond letters, digits,
/// '.', '_' and '-' are %XX.
std::string to_string(const QuotaEntity& entity);
/// Nothing: not what to_string gives.
std::optional<QuotaEntity> parse_quota_entity(std::string_view text);

} // namespace qtool::metadata
