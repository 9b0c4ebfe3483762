// Varints as Kafka uses them: unsigned in messages, zigzag in records. Low seven bits first.
// Source: Kafka protocol guide "Protocol Primitive Types"; protobuf encoding for zigzag.
#pragma once

#include "lib/base/bytes.h"

#include <cstdint>

namespace qtool {

inline constexpr size_t kVarintSizeMax = 5;   // bytes of a 32-bit varint
inline constexpr size_t kVarlongSizeMax = 10; // bytes of a 64-bit varint

constexpr uint64_t zigzag_encode(int64_t value) {
    return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t zigzag_decode(uint64_t bits) {
    return static_cast<int64_t>(bits >> 1) ^ -static_cast<int64_t>(bits & 1);
}

constexpr size_t varint_size(uint64_t bits) {
    size_t size = 1;
    while (bits >= 0x80) {
        bits >>= 7;
        size++;
    }
    return size;
}

/// Writes at most kVarlongSizeMax bytes; returns how many.
inline size_t varint_store(std::byte* at, uint64_t bits) {
    size_t size = 0;
    while (bits >= 0x80) {
        at[size++] = static_cast<std::byte>(bits | 0x80);
        bits >>= 7;
    }
    at[size++] = static_cast<std::byte>(bits);
    return size;
}

/// Reads an unsigned varint of at most `size_max` bytes. Returns the bytes used, 0 when the input
/// ends inside it or it is longer than `size_max`.
inline size_t varint_load(ByteView bytes, size_t size_max, uint64_t& bits) {
    bits = 0;
    const size_t limit = bytes.size() < size_max ? bytes.size() : size_max;
    for (size_t i = 0; i < limit; i++) {
        const auto b = static_cast<uint8_t>(bytes[i]);
        bits |= static_cast<uint64_t>(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            return i + 1;
        }
    }
    return 0;
}

} // namespace qtool
