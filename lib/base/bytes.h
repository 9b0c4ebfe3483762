// Views of bytes and the two conversions everyone needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace qtool {

using ByteView = std::span<const std::byte>;
using ByteSpan = std::span<std::byte>;

inline ByteView as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Big-endian, the byte order of Kafka's protocol and log.
template <class T>
inline T load_be(const std::byte* at) {
    using U = std::make_unsigned_t<T>;
    U value = 0;
    for (size_t i = 0; i < sizeof(T); i++) {
        value = static_cast<U>(static_cast<U>(value << (sizeof(T) > 1 ? 8 : 0)) |
                               static_cast<U>(at[i]));
    }
    return static_cast<T>(value);
}

template <class T>
inline void store_be(std::byte* at, T value) {
    using U = std::make_unsigned_t<T>;
    U bits = static_cast<U>(value);
    for (size_t i = sizeof(T); i-- > 0;) {
        at[i] = static_cast<std::byte>(bits & 0xff);
        if constexpr (sizeof(T) > 1) {
            bits = static_cast<U>(bits >> 8);
        }
    }
}

} // namespace qtool
