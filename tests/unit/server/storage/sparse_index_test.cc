#include "lib/base/prng.h"
#include "server/storage/sparse_index.h"
#include "tests/unit/server/storage/memory_disk.h"

#include <doctest/doctest.h>

#include <vector>

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

constexpr const char* kPath = "/0.qindex";

struct IndexFixture {
    MemoryDisk disk;
    SparseIndex index{disk, kPath, Offset(100)};
    std::vector<IndexEntry> entries;

    IndexFixture() { index.reset(); }

    /// `written` of them are in the file, the others in memory alone.
    void fill(uint32_t count, uint32_t written) {
        for (uint32_t i = 0; i < count; i++) {
            if (i == written) {
                REQUIRE(index.write());
            }
            entries.push_back({i * 3 + 1, i * 4096 + 7, i * 10});
            index.add(entries.back());
        }
        if (written == count) {
            REQUIRE(index.write());
        }
        REQUIRE(index.count() == count);
    }
    [[nodiscard]] std::optional<IndexEntry> expected(uint32_t relative_offset) const {
        std::optional<IndexEntry> found;
        for (const IndexEntry& entry : entries) {
            if (entry.relative_offset <= relative_offset) {
                found = entry;
            }
        }
        return found;
    }
    void check(uint32_t relative_offset) {
        const auto found = index.find_offset(relative_offset);
        REQUIRE(found);
        CHECK(*found == expected(relative_offset));
    }
};

} // namespace

TEST_CASE_FIXTURE(IndexFixture,
                  "an index finds the last entry at or before, wherever it looked before") {
    SUBCASE("none") {}
    SUBCASE("one") {
        fill(1, 1);
    }
    SUBCASE("a block") {
        fill(204, 204);
    }
    SUBCASE("a block and one more") {
        fill(205, 205);
    }
    SUBCASE("all in memory") {
        fill(30, 0);
    }
    SUBCASE("many, the last of them in memory") {
        fill(1500, 1450);
    }
    const auto end = static_cast<uint32_t>(entries.size() * 3 + 5);
    for (uint32_t at = 0; at < end; at += 7) {
        check(at);
    }
    for (uint32_t at = end; at > 11; at -= 11) {
        check(at);
    }
    Prng random(7);
    for (int i = 0; i < 500; i++) {
        check(static_cast<uint32_t>(random.below(end)));
        const auto position = static_cast<uint64_t>(random.below(end) * 1400);
        const auto found = index.find_position(position);
        REQUIRE(found);
        CHECK((*found ? (*found)->position <= position : entries.empty() || position < 7));
        if (*found && **found != entries.back()) {
            CHECK((*found)->position + 4096 > position);
        }
    }
}

TEST_CASE_FIXTURE(IndexFixture, "who goes on where he was reads a block of the index once") {
    fill(3000, 3000);
    check(0);
    const int reads = disk.reads;
    for (uint32_t at = 0; at < 9000; at += 30) {
        check(at);
        CHECK(index.find_position(at * 1365)); // the same place
    }
    CHECK(disk.reads - reads <= 3000 / 204 + 1);
}

TEST_CASE_FIXTURE(IndexFixture,
                  "what is in memory of an index goes when it is written anew, or closed") {
    fill(300, 300);
    check(450);
    SUBCASE("closed, and damaged meanwhile") {
        index.close();
        disk.bytes(kPath)[kIndexHeaderSize + 151 * kIndexEntrySize] ^= std::byte{1};
        const auto found = index.find_offset(455);
        REQUIRE_FALSE(found);
        CHECK(found.error().code == Code::corrupt);
    }
    SUBCASE("written anew") {
        index.reset();
        entries.clear();
        for (uint32_t i = 0; i < 250; i++) {
            entries.push_back({i * 5, i * 4096 + 9, 1});
            index.add(entries.back());
        }
        REQUIRE(index.write());
        for (uint32_t at = 0; at < 1300; at += 3) {
            check(at);
        }
    }
    SUBCASE("grown") {
        entries.push_back({5000, 5'000'000, 1});
        index.add(entries.back());
        REQUIRE(index.write());
        check(899);
        check(5000);
        check(4999);
    }
}
