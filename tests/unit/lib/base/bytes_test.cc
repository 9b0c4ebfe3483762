// Proves the byte order, varint, reader and writer that every format of the project rests on: known
// encodings, each cut, and values beyond their type.
#include "lib/base/byte_writer.h"
#include "lib/base/prng.h"
#include "lib/base/span_reader.h"

#include <doctest/doctest.h>

#include <array>
#include <limits>

using namespace qtool;

TEST_CASE("bytes: big-endian integers of each width") {
    std::array<std::byte, 8> bytes{};
    store_be<uint64_t>(bytes.data(), 0x0102030405060708);
    CHECK(bytes[0] == std::byte{1});
    CHECK(bytes[7] == std::byte{8});
    CHECK(load_be<int16_t>(bytes.data()) == 0x0102);
    CHECK(load_be<int32_t>(bytes.data() + 4) == 0x05060708);
    store_be<int8_t>(bytes.data(), -2);
    CHECK(load_be<int8_t>(bytes.data()) == -2);
    CHECK(load_be<uint8_t>(bytes.data()) == 254);
    store_be<int64_t>(bytes.data(), std::numeric_limits<int64_t>::min());
    CHECK(load_be<int64_t>(bytes.data()) == std::numeric_limits<int64_t>::min());
}

TEST_CASE("varint: sizes, zigzag and known bytes") {
    CHECK(zigzag_encode(0) == 0);
    CHECK(zigzag_encode(-1) == 1);
    CHECK(zigzag_encode(1) == 2);
    CHECK(zigzag_encode(std::numeric_limits<int64_t>::min()) == ~0ull);
    CHECK(zigzag_decode(~0ull) == std::numeric_limits<int64_t>::min());
    CHECK(varint_size(0) == 1);
    CHECK(varint_size(127) == 1);
    CHECK(varint_size(128) == 2);
    CHECK(varint_size(~0ull) == 10);
    std::byte bytes[kVarlongSizeMax];
    REQUIRE(varint_store(bytes, 300) == 2);
    CHECK(bytes[0] == std::byte{0xac});
    CHECK(bytes[1] == std::byte{0x02});
}

TEST_CASE("varint: what was stored is loaded, and each cut is refused") {
    constexpr uint64_t kSeed = 5;
    MESSAGE("seed " << kSeed);
    Prng prng(kSeed);
    for (int round = 0; round < 5000; round++) {
        const uint64_t value = prng.next() >> prng.below(64);
        std::byte bytes[kVarlongSizeMax];
        const size_t size = varint_store(bytes, value);
        CHECK(size == varint_size(value));
        uint64_t read = 0;
        CHECK(varint_load({bytes, size}, kVarlongSizeMax, read) == size);
        CHECK(read == value);
        CHECK(varint_load({bytes, size - 1}, kVarlongSizeMax, read) == 0);
        CHECK(varint_load({bytes, size}, size - 1, read) == 0);
    }
}

TEST_CASE("span reader: reads what the writer wrote") {
    ByteWriter writer;
    writer.be<int32_t>(-5);
    writer.uvarint(0xffffffff);
    writer.varint(std::numeric_limits<int32_t>::min());
    writer.varlong(std::numeric_limits<int64_t>::max());
    writer.bytes(as_bytes("abc"));
    writer.bytes({});
    writer.patch_be<int32_t>(0, 7);
    SpanReader reader(writer.view());
    CHECK(reader.be<int32_t>() == 7);
    CHECK(reader.uvarint() == 0xffffffff);
    CHECK(reader.varint() == std::numeric_limits<int32_t>::min());
    CHECK(reader.varlong() == std::numeric_limits<int64_t>::max());
    CHECK(as_text(reader.bytes(3)) == "abc");
    CHECK(reader.ok());
    CHECK(reader.left() == 0);
    CHECK(reader.position() == writer.size());
}

TEST_CASE("span reader: the first failure sticks") {
    const std::array<std::byte, 3> bytes{std::byte{1}, std::byte{2}, std::byte{3}};
    SpanReader reader{ByteView(bytes)};
    CHECK(reader.be<int32_t>() == 0);
    CHECK_FALSE(reader.ok());
    CHECK(reader.left() == 0);
    CHECK(reader.be<int8_t>() == 0); // would fit
    CHECK(reader.bytes(1).empty());
    CHECK(reader.uvarint() == 0);

    SpanReader sizes{ByteView(bytes)};
    CHECK(sizes.bytes(std::numeric_limits<size_t>::max()).empty());
    CHECK_FALSE(sizes.ok());
}

TEST_CASE("span reader: a 32-bit varint beyond 32 bits is refused") {
    const std::array<std::byte, 5> bytes{std::byte{0xff}, std::byte{0xff}, std::byte{0xff},
                                         std::byte{0xff}, std::byte{0x1f}};
    SpanReader narrow{ByteView(bytes)};
    CHECK(narrow.uvarint() == 0);
    CHECK_FALSE(narrow.ok());
    SpanReader wide{ByteView(bytes)};
    CHECK(zigzag_encode(wide.varlong()) == 0x1ffffffff);
    CHECK(wide.ok());
}
