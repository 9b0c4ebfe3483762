// Proves the checksum against published vectors (RFC 3720 appendix B.4) and that it may be
// continued.
#include "lib/base/crc32c.h"

#include <doctest/doctest.h>

#include <vector>

using namespace qtool;

TEST_CASE("crc32c: known vectors") {
    CHECK(crc32c({}) == 0);
    CHECK(crc32c(as_bytes("123456789")) == 0xe3069283);
    CHECK(crc32c(std::vector<std::byte>(32)) == 0x8a9136aa);
    CHECK(crc32c(std::vector<std::byte>(32, std::byte{0xff})) == 0x62a8ab43);
    std::vector<std::byte> rising(32);
    for (size_t i = 0; i < rising.size(); i++) {
        rising[i] = static_cast<std::byte>(i);
    }
    CHECK(crc32c(rising) == 0x46dd794e);
}

TEST_CASE("crc32c: pieces give the checksum of the whole, at every split and alignment") {
    std::vector<std::byte> bytes(300);
    for (size_t i = 0; i < bytes.size(); i++) {
        bytes[i] = static_cast<std::byte>(i * 37);
    }
    const ByteView all = bytes;
    for (size_t split = 0; split <= bytes.size(); split++) {
        CHECK(crc32c(all.subspan(split), crc32c(all.first(split))) == crc32c(all));
        const std::vector<std::byte> moved(all.begin() + static_cast<ptrdiff_t>(split), all.end());
        CHECK(crc32c(all.subspan(split)) == crc32c(moved));
    }
}
