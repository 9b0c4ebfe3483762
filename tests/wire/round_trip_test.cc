// Every message at every version, with random values from a fixed seed: what is encoded decodes to
// the same value; no cut of it and no damage to it crashes the decoder; a cut one is always an
// error.
#include "tests/wire/message_rows.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::protocol;
using namespace qtool::protocol::test;

namespace {

constexpr int kRounds = 60; // random messages of each version

template <class F>
void for_each_message(uint64_t seed, F&& check) {
    Prng prng(seed);
    for (const MessageRow& row : kMessageRows) {
        for (int16_t version = row.version_min; version <= row.version_max; version++) {
            INFO(row.name, " version ", version, " seed ", seed);
            for (int round = 0; round < kRounds; round++) {
                Filler filler(prng.next());
                bool is_same = false;
                const std::vector<std::byte> bytes = row.round_trip(filler, version, is_same);
                check(row, version, bytes, is_same, prng);
            }
        }
    }
}

} // namespace

TEST_CASE("messages: each version decodes to what was encoded, and encodes to the same bytes") {
    for_each_message(1, [](const MessageRow& row, int16_t version,
                           const std::vector<std::byte>& bytes, bool is_same, Prng&) {
        REQUIRE(is_same);
        const auto again = row.recode(bytes, version);
        REQUIRE(again.has_value());
        REQUIRE(*again == bytes);
    });
}

TEST_CASE("messages: one cut at any byte is an error") {
    for_each_message(2, [](const MessageRow& row, int16_t version,
                           const std::vector<std::byte>& bytes, bool, Prng&) {
        for (size_t size = 0; size < bytes.size(); size++) {
            // A copy of its own, so that a read beyond its end is seen by the sanitizer.
            const std::vector<std::byte> cut(bytes.begin(),
                                             bytes.begin() + static_cast<ptrdiff_t>(size));
            const auto result = row.recode(cut, version);
            REQUIRE_FALSE(result.has_value());
            const Code code = result.error().code;
            REQUIRE((code == Code::truncated || code == Code::malformed));
        }
    });
}

TEST_CASE("messages: a byte behind the last field is an error") {
    for_each_message(3, [](const MessageRow& row, int16_t version,
                           const std::vector<std::byte>& bytes, bool, Prng&) {
        std::vector<std::byte> longer = bytes;
        longer.push_back(std::byte{0});
        REQUIRE_FALSE(row.recode(longer, version).has_value());
    });
}

TEST_CASE("messages: damaged bytes give an error or another message, never a crash") {
    for_each_message(4, [](const MessageRow& row, int16_t version,
                           const std::vector<std::byte>& bytes, bool, Prng& prng) {
        for (int i = 0; i < 8 && !bytes.empty(); i++) {
            std::vector<std::byte> damaged = bytes;
            const uint64_t hits = 1 + prng.below(3);
            for (uint64_t hit = 0; hit < hits; hit++) {
                damaged[prng.below(damaged.size())] =
                    prng.chance(300'000) ? std::byte{0xff} : static_cast<std::byte>(prng.next());
            }
            const auto first = row.recode(damaged, version);
            if (first) { // our own bytes are canonical: a second time nothing changes
                const auto second = row.recode(*first, version);
                REQUIRE(second.has_value());
                REQUIRE(*second == *first);
            }
        }
    });
}

TEST_CASE("messages: versions outside the range are refused") {
    for (const MessageRow& row : kMessageRows) {
        for (const int version : {row.version_min - 1, row.version_max + 1, -32768, 32767}) {
            const auto result = row.recode({}, static_cast<int16_t>(version));
            REQUIRE_FALSE(result.has_value());
            REQUIRE(result.error().code == Code::unsupported_version);
        }
    }
}
