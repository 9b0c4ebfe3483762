// Reading the zigzag varints of records from plain pointers: the inner loop of walking records,
// where nearly every varint is one or two bytes. For record.cc and batch_check.cc only.
#pragma once

#include "lib/base/varint.h"

#include <cstdint>

namespace qtool::protocol {

/// Bytes of the smallest record with its length: seven fields of one byte.
inline constexpr size_t kRecordSizeMin = 7;

/// Reads a zigzag value of at most `size_max` bytes and moves `at` behind it; false when the bytes
/// end inside it or it does not fit.
inline bool scan_zigzag(const std::byte*& at, const std::byte* end, size_t size_max,
                        uint64_t bits_max, int64_t& value) {
    if (end - at >= 2) {
        const auto first = static_cast<uint8_t>(at[0]);
        if (first < 0x80) {
            value = zigzag_decode(first);
            at++;
            return true;
        }
        const auto second = static_cast<uint8_t>(at[1]);
        if (second < 0x80) {
            value = zigzag_decode(static_cast<uint64_t>(first & 0x7f) | uint64_t{second} << 7);
            at += 2;
            return true;
        }
    }
    uint64_t bits = 0;
    const size_t used = varint_load({at, end}, size_max, bits);
    if (used == 0 || bits > bits_max) {
        return false;
    }
    at += used;
    value = zigzag_decode(bits);
    return true;
}

inline bool scan_varint(const std::byte*& at, const std::byte* end, int32_t& value) {
    int64_t wide = 0;
    const bool ok = scan_zigzag(at, end, kVarintSizeMax, 0xffffffffu, wide);
    value = static_cast<int32_t>(wide);
    return ok;
}

inline bool scan_varlong(const std::byte*& at, const std::byte* end, int64_t& value) {
    return scan_zigzag(at, end, kVarlongSizeMax, ~uint64_t{0}, value);
}

} // namespace qtool::protocol
