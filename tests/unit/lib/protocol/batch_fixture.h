// Batches for the tests of this folder: hex, random bytes, and a builder of n similar records.
#pragma once

#include "lib/base/prng.h"
#include "lib/protocol/batch_builder.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace qtool::protocol::test {

/// Bytes of hex digits; blanks between them are skipped.
inline std::vector<std::byte> from_hex(std::string_view text) {
    std::vector<std::byte> bytes;
    int held = -1;
    for (char c : text) {
        if (c == ' ') {
            continue;
        }
        const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
        if (held < 0) {
            held = digit;
        } else {
            bytes.push_back(static_cast<std::byte>(held * 16 + digit));
            held = -1;
        }
    }
    return bytes;
}

inline std::vector<std::byte> random_bytes(Prng& prng, size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& b : bytes) {
        b = static_cast<std::byte>(prng.next());
    }
    return bytes;
}

/// Text that every codec shrinks, different at each place.
inline std::vector<std::byte> log_like_bytes(size_t size) {
    std::string text;
    for (size_t line = 0; text.size() < size; line++) {
        text += "2026-01-31 GET /orders/" + std::to_string(line * 7919) + " 200\n";
    }
    const ByteView view = as_bytes(text).first(size);
    return {view.begin(), view.end()};
}

/// `count` records with key "k<i>", a value of `value_size` bytes and times 1000, 1001, ...
inline std::vector<std::byte> make_batch(int count, size_t value_size, BatchClose close = {}) {
    BatchBuilder builder;
    const std::vector<std::byte> value = log_like_bytes(value_size);
    for (int i = 0; i < count; i++) {
        const std::string key = "k" + std::to_string(i);
        REQUIRE(builder.append(as_bytes(key), ByteView(value), {}, 1000 + i));
    }
    auto batch = builder.finish(close);
    REQUIRE(batch);
    return std::move(*batch);
}

inline BatchClose with(Compression compression) {
    BatchClose close;
    close.compression = compression;
    return close;
}

/// A batch around a records area that the test made itself.
inline std::vector<std::byte> wrap_area(ByteView area, int32_t count, Compression compression) {
    std::vector<std::byte> batch(kBatchHeaderSize);
    batch.insert(batch.end(), area.begin(), area.end());
    BatchHeader header;
    header.attributes = static_cast<int16_t>(compression);
    header.last_offset_delta = count - 1;
    header.base_timestamp = header.max_timestamp = 1000;
    header.records_count = count;
    write_batch_header(batch, header);
    return batch;
}

inline BatchView view_of(ByteView batch) {
    const auto header = parse_batch_header(batch);
    REQUIRE(header);
    return {*header, batch};
}

inline constexpr Compression kAllCompressions[] = {
    Compression::none, Compression::gzip, Compression::snappy, Compression::lz4, Compression::zstd};

} // namespace qtool::protocol::test
