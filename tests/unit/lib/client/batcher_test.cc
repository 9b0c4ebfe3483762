// The queue of one partition: order of retries, splitting, sequences; frames cut at every byte.
#include "lib/client/batcher.h"
#include "lib/client/fetcher.h"
#include "lib/client/frame.h"

#include <doctest/doctest.h>

#include <string>

using namespace qtool;
using namespace qtool::client;

namespace {

constexpr MonoTime kStart{};

void add(Batcher& batcher, const std::string& value, uint64_t tag) {
    const RecordParts parts{std::nullopt, as_bytes(value), {}, 1000};
    REQUIRE(batcher.add(parts, tag, value.size(), kStart));
}

} // namespace

TEST_CASE("batcher: a retry goes alone and nothing passes it") {
    const BatchOptions options;
    Batcher batcher(options);
    for (uint64_t tag = 0; tag < 3; tag++) {
        add(batcher, "v", tag);
        batcher.close();
    }
    std::vector<uint64_t> ids;
    while (ClosedBatch* batch = batcher.next_to_send(kStart, 5)) {
        batcher.sent(*batch);
        ids.push_back(batch->id);
    }
    REQUIRE(ids.size() == 3);
    batcher.returned(*batcher.find(ids[1])); // out of order, the first still out
    CHECK(batcher.next_to_send(kStart, 5) == nullptr);
    batcher.returned(*batcher.find(ids[0]));
    batcher.find(ids[0])->retry_at = kStart + 1s;
    CHECK(batcher.next_to_send(kStart, 5) == nullptr);
    REQUIRE(batcher.next_to_send(kStart + 1s, 5) != nullptr);
    CHECK(batcher.next_to_send(kStart + 1s, 5)->id == ids[0]);
}

TEST_CASE("batcher: a split batch keeps records, tags and place") {
    const BatchOptions options;
    Batcher batcher(options);
    for (uint64_t tag = 0; tag < 3; tag++) {
        add(batcher, "v" + std::to_string(tag), tag);
    }
    batcher.close();
    const auto split = batcher.split(batcher.batches().front().id);
    REQUIRE(split);
    CHECK(*split);
    REQUIRE(batcher.batches().size() == 2);
    CHECK(batcher.batches()[0].tags == std::vector<uint64_t>{0});
    CHECK(batcher.batches()[1].tags == std::vector<uint64_t>{1, 2});
    const auto alone = batcher.split(batcher.batches()[0].id);
    REQUIRE(alone);
    CHECK_FALSE(*alone);
}

TEST_CASE("batcher: what comes after a split is closed at the size of its halves") {
    BatchOptions options;
    options.size_bytes_max = 10'000;
    Batcher batcher(options);
    for (uint64_t tag = 0; tag < 95; tag++) {
        add(batcher, std::string(90, 'v'), tag);
    }
    batcher.close();
    REQUIRE(batcher.batches().size() == 1);
    const size_t size = batcher.batches().front().bytes.size();
    REQUIRE(batcher.split(batcher.batches().front().id));
    for (uint64_t tag = 95; tag < 190; tag++) {
        add(batcher, std::string(90, 'v'), tag);
    }
    REQUIRE(batcher.batches().size() >= 4);
    CHECK(batcher.batches()[2].bytes.size() <= size / 2);
    CHECK(batcher.batches()[2].bytes.size() > size / 4);
}

TEST_CASE("fetcher: a flipped bit is an error at the batch's position, a good batch reads back") {
    const BatchOptions options;
    Batcher batcher(options);
    add(batcher, "hello", 0);
    batcher.close();
    std::vector<std::byte> bytes = batcher.batches().front().bytes;
    Fetcher good(bytes, 0, {});
    REQUIRE(good.open().value());
    CHECK(as_text(*(*good.next())->record.value) == "hello");
    CHECK(*good.next() == nullptr);
    CHECK(good.position() == 1);
    bytes.back() ^= std::byte{1};
    Fetcher bad(bytes, 0, {});
    const auto opened = bad.open();
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Code::corrupt);
    CHECK(bad.position() == 0);
}

TEST_CASE("frame: whole however the bytes are cut; too large names the limit") {
    const std::vector<std::byte> wire{std::byte{0}, std::byte{0}, std::byte{0},
                                      std::byte{5}, std::byte{1}, std::byte{2},
                                      std::byte{3}, std::byte{4}, std::byte{9}};
    for (size_t cut = 1; cut <= wire.size(); cut++) {
        CAPTURE(cut);
        FrameReader reader(100, "the limit");
        size_t at = 0;
        bool whole = false;
        while (at < wire.size()) {
            const ByteSpan space = reader.space();
            const size_t size = std::min({space.size(), cut, wire.size() - at});
            std::copy_n(wire.begin() + static_cast<std::ptrdiff_t>(at), size, space.begin());
            at += size;
            const auto result = reader.received(size);
            REQUIRE(result);
            whole = *result;
        }
        REQUIRE(whole);
        CHECK(reader.take().view().back() == std::byte{9});
    }
    FrameReader small(4, "the limit");
    std::copy_n(wire.begin(), 4, small.space().begin());
    const auto result = small.received(4);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Code::too_large);
    CHECK(result.error().detail.find("the limit") != std::string::npos);
}
