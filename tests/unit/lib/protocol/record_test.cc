// Proves that the record walk accepts exactly what the format allows: each cut, each lying length
// or count and each stray byte ends it with an error, and nothing outside the area is read (run
// under the address sanitizer to see the latter).
#include "lib/protocol/record.h"
#include "tests/unit/lib/protocol/batch_fixture.h"

using namespace qtool;
using namespace qtool::protocol;
using namespace qtool::protocol::test;

namespace {

/// Records read before the end or the first error.
int walk(ByteView area, int32_t count, bool& ok) {
    RecordIterator records(area, count);
    int read = 0;
    while (const RecordView* record = records.next()) {
        HeaderIterator headers = record->headers();
        int header_count = 0;
        while (headers.next() != nullptr) {
            header_count++;
        }
        CHECK(header_count == record->header_count);
        read++;
    }
    ok = records.status().has_value();
    return read;
}

} // namespace

TEST_CASE("record: golden bytes of a record with a header") {
    // length 16, attributes 0, timestamp +1, offset 0, key "k", value "vw", 2 headers ("h" = "x",
    // "" = null)
    const auto longer = from_hex("20 00 02 00 02 6b 04 7677 04 02 68 02 78 00 01 ");
    const auto exact = from_hex("1e 00 02 00 02 6b 04 7677 04 02 68 02 78 00 01");
    bool ok = false;
    CHECK(walk(longer, 1, ok) == 0);
    CHECK_FALSE(ok);
    CHECK(walk(exact, 1, ok) == 1);
    CHECK(ok);
    RecordIterator records(exact, 1);
    const RecordView* record = records.next();
    REQUIRE(record != nullptr);
    CHECK(record->timestamp_delta == 1);
    CHECK(record->offset_delta == 0);
    CHECK(as_text(*record->key) == "k");
    CHECK(as_text(*record->value) == "vw");
    CHECK(record->header_count == 2);
}

TEST_CASE("record: malformed areas, one by one") {
    struct Case {
        const char* what;
        const char* hex;
        int32_t count;
        int read;
        bool ok;
    };
    const Case cases[] = {
        {"smallest record", "0c 00 00 00 01 01 00", 1, 1, true},
        {"no record, no bytes", "", 0, 0, true},
        {"a count without bytes", "", 1, 0, false},
        {"negative count", "0c 00 00 00 01 01 00", -1, 0, false},
        {"one more claimed than there", "0c 00 00 00 01 01 00", 2, 0, false},
        {"one fewer claimed than there", "0c 00 00 00 01 01 00 0c 00 00 02 01 01 00", 1, 1, false},
        {"stray byte", "0c 00 00 00 01 01 00 00", 1, 1, false},
        {"length 0", "00 00 00 00 01 01 00", 1, 0, false},
        {"length -1", "01 00 00 00 01 01 00", 1, 0, false},
        {"length one too long", "0e 00 00 00 01 01 00", 1, 0, false},
        {"length one too long, byte there", "0e 00 00 00 01 01 00 00", 1, 0, false},
        {"length one too short", "0a 00 00 00 01 01 00", 1, 0, false},
        {"key length -2", "0c 00 00 00 03 01 00", 1, 0, false},
        {"value length -2", "0c 00 00 00 01 03 00", 1, 0, false},
        {"key beyond the record", "0c 00 00 00 08 01 00", 1, 0, false},
        {"header count -1", "0c 00 00 00 01 01 01", 1, 0, false},
        {"header claimed, none there", "0c 00 00 00 01 01 02", 1, 0, false},
        {"header with null key", "10 00 00 00 01 01 02 01 01", 1, 0, false},
        {"header with null value", "10 00 00 00 01 01 02 00 01", 1, 1, true},
        {"header value length -2", "10 00 00 00 01 01 02 00 03", 1, 0, false},
        {"offset delta of 33 bits", "14 00 00 ffffffff1f 01 01 00", 1, 0, false},
        {"varint of six bytes", "16 00 00 808080808000 01 01 00", 1, 0, false},
        {"timestamp of ten bytes", "1e 00 ffffffffffffffffff01 00 01 01 00", 1, 1, true},
    };
    for (const Case& c : cases) {
        CAPTURE(c.what);
        bool ok = false;
        CHECK(walk(from_hex(c.hex), c.count, ok) == c.read);
        CHECK(ok == c.ok);
    }
}

TEST_CASE("record: an area cut at any byte is refused") {
    const std::vector<std::byte> batch = make_batch(4, 30);
    const ByteView area = ByteView(batch).subspan(kBatchHeaderSize);
    for (size_t size = 0; size < area.size(); size++) {
        // A copy of its own size, so that the sanitizer sees reads beyond it.
        const std::vector<std::byte> cut(area.begin(), area.begin() + static_cast<ptrdiff_t>(size));
        bool ok = true;
        CHECK(walk(cut, 4, ok) < 4);
        CHECK_FALSE(ok);
    }
    bool ok = false;
    CHECK(walk(area, 4, ok) == 4);
    CHECK(ok);
}

TEST_CASE("record: random damage never leads outside the area") {
    constexpr uint64_t kSeed = 20260131;
    MESSAGE("seed " << kSeed);
    Prng prng(kSeed);
    const std::vector<std::byte> batch = make_batch(5, 20);
    for (int round = 0; round < 20000; round++) {
        std::vector<std::byte> area(batch.begin() + kBatchHeaderSize, batch.end());
        for (uint64_t flips = 1 + prng.below(4); flips > 0; flips--) {
            area[prng.below(area.size())] = static_cast<std::byte>(prng.next());
        }
        bool ok = false;
        CHECK(walk(area, 5, ok) <= 5);
    }
}
