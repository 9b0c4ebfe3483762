// Uuid: 16 bytes, printed in Kafka's form (URL-safe base64 without padding, 22 characters).
#pragma once

#include "lib/base/result.h"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

namespace qtool {

struct Uuid {
    std::array<uint8_t, 16> bytes{}; // all zero: absent

    [[nodiscard]] bool is_zero() const { return *this == Uuid{}; }
    auto operator<=>(const Uuid&) const = default;
};

/// A version-4 UUID from 128 random bits (RFC 9562 section 5.4).
Uuid make_uuid(uint64_t high_random, uint64_t low_random);

/// 22 characters of URL-safe base64, as Kafka prints topic ids.
std::string to_string(const Uuid& uuid);

/// Reads what to_string wrote. Errors: invalid_argument.
Result<Uuid> parse_uuid(std::string_view text);

} // namespace qtool

template <>
struct std::hash<qtool::Uuid> {
    size_t operator()(const qtool::Uuid& uuid) const noexcept {
        uint64_t low = 0;
        std::memcpy(&low, uuid.bytes.data() + 8, sizeof low); // random bits in every version
        return static_cast<size_t>(low);
    }
};
