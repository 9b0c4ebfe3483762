// Proves the gate for produced batches: what it reports of good ones, and that each lie (counts,
// deltas, sizes, checksums, codecs, expansion) is refused with the code Produce answers with.
#include "lib/protocol/batch_check.h"
#include "tests/unit/lib/protocol/batch_fixture.h"

#include <zlib.h>

using namespace qtool;
using namespace qtool::protocol;
using namespace qtool::protocol::test;

namespace {

Code code_of(ByteView batch, const BatchRules& rules = {}) {
    const auto facts = check_producer_batch(batch, rules);
    REQUIRE_FALSE(facts);
    return facts.error().code;
}

/// The batch with header fields changed by `f`, checksum made anew.
template <class F>
std::vector<std::byte> with_header(std::vector<std::byte> batch, F&& f) {
    BatchHeader header = view_of(batch).header;
    f(header);
    write_batch_header(batch, header);
    return batch;
}

} // namespace

TEST_CASE("batch check: reports times, null keys and sizes for every codec") {
    for (Compression compression : kAllCompressions) {
        CAPTURE(to_string(compression));
        BatchBuilder builder;
        const std::vector<std::byte> value = log_like_bytes(200'000); // larger than the window
        REQUIRE(builder.append(as_bytes("a"), ByteView(value), {}, 500));
        REQUIRE(builder.append(as_bytes("b"), ByteView(value), {}, 900));
        REQUIRE(builder.append({}, ByteView(value), {}, 900));
        REQUIRE(builder.append({}, {}, {}, 100));
        const size_t plain_size = builder.size_bytes();
        const std::vector<std::byte> batch = builder.finish(with(compression)).value();
        BatchRules rules;
        rules.timestamp_min = 200;
        rules.timestamp_max = 900;
        CheckScratch scratch;
        for (int twice = 0; twice < 2; twice++) { // scratch may be used again
            const auto facts = check_producer_batch(batch, rules, scratch);
            REQUIRE(facts);
            CHECK(facts->header.records_count == 4);
            CHECK(facts->first_timestamp == 500);
            CHECK(facts->max_timestamp == 900);
            CHECK(facts->max_timestamp_offset_delta == 1);
            CHECK(facts->null_key_index == 2);
            CHECK(facts->timestamp_outside_index == 3);
            CHECK(facts->records_size_bytes == plain_size - kBatchHeaderSize);
        }
        CHECK(scratch.window.size() == (compression == Compression::none ? 0 : kCheckWindowSize));
    }
}

TEST_CASE("batch check: records of every size cross the window's edge unharmed") {
    constexpr uint64_t kSeed = 4711;
    MESSAGE("seed " << kSeed);
    Prng prng(kSeed);
    CheckScratch scratch;
    for (int round = 0; round < 60; round++) {
        BatchBuilder builder;
        const auto count = static_cast<int>(1 + prng.below(300));
        const std::vector<std::byte> value = log_like_bytes(3000);
        for (int i = 0; i < count; i++) {
            const RecordHeader header{"h", ByteView(value).first(prng.below(40))};
            const std::span<const RecordHeader> headers(&header, prng.below(2));
            REQUIRE(builder.append(ByteView(value).first(prng.below(200)),
                                   ByteView(value).first(prng.below(3000)), headers,
                                   prng.between(-5, 1'000'000)));
        }
        const size_t plain_size = builder.size_bytes();
        const Compression compression = kAllCompressions[1 + prng.below(4)];
        const std::vector<std::byte> batch = builder.finish(with(compression)).value();
        const auto facts = check_producer_batch(batch, BatchRules{}, scratch);
        REQUIRE(facts);
        CHECK(facts->records_size_bytes == plain_size - kBatchHeaderSize);
        CHECK(facts->max_timestamp == facts->header.max_timestamp);
    }
}

TEST_CASE("batch check: no time passes every time rule, LogAppendTime takes the batch's time") {
    BatchBuilder builder;
    REQUIRE(builder.append({}, {}, {}, kNoTimestamp));
    std::vector<std::byte> batch = builder.finish({}).value();
    BatchRules rules;
    rules.timestamp_min = 1000;
    auto facts = check_producer_batch(batch, rules);
    REQUIRE(facts);
    CHECK_FALSE(facts->timestamp_outside_index);
    CHECK(facts->max_timestamp == kNoTimestamp);

    patch_log_append_time(batch, WallTime(2000ms));
    facts = check_producer_batch(batch, rules);
    REQUIRE(facts);
    CHECK(facts->first_timestamp == 2000);
    CHECK(facts->max_timestamp == 2000);
}

TEST_CASE("batch check: header rules") {
    const std::vector<std::byte> good = make_batch(3, 10);
    REQUIRE(check_producer_batch(good, BatchRules{}));
    const auto refused = [&](auto f) { return code_of(with_header(good, f)); };
    CHECK(refused([](BatchHeader& h) { h.base_offset = Offset(1); }) == Code::invalid_record);
    CHECK(refused([](BatchHeader& h) { h.records_count = 0; }) == Code::invalid_record);
    CHECK(refused([](BatchHeader& h) { h.last_offset_delta = 3; }) == Code::invalid_record);
    CHECK(refused([](BatchHeader& h) { h.attributes = kBatchControl; }) == Code::invalid_record);
    CHECK(refused([](BatchHeader& h) { h.producer_id = ProducerId(4); }) == Code::invalid_record);
    CHECK(refused([](BatchHeader& h) { h.attributes = kBatchTransactional; }) ==
          Code::invalid_record);
    CHECK(refused([](BatchHeader& h) { h.attributes = 5; }) == Code::unsupported_compression);
    CHECK(refused([](BatchHeader& h) { h.base_timestamp = std::numeric_limits<int64_t>::max(); }) ==
          Code::invalid_record);
    // A count that lies in either direction, with a fitting last offset delta.
    for (int32_t count : {1, 2, 4, 1'000'000}) {
        CHECK(refused([&](BatchHeader& h) {
                  h.records_count = count;
                  h.last_offset_delta = count - 1;
              }) == Code::invalid_record);
    }
    BatchRules rules;
    rules.size_bytes_max = static_cast<uint32_t>(good.size());
    CHECK(check_producer_batch(good, rules));
    rules.size_bytes_max--;
    CHECK(code_of(good, rules) == Code::message_too_large);
}

TEST_CASE("batch check: exactly one whole batch with the right checksum") {
    std::vector<std::byte> batch = make_batch(3, 10);
    for (size_t size = 0; size < batch.size(); size++) {
        CHECK(code_of(ByteView(batch).first(size)) == Code::invalid_record);
    }
    std::vector<std::byte> two = batch;
    two.insert(two.end(), batch.begin(), batch.end());
    CHECK(code_of(two) == Code::invalid_record);
    batch.back() ^= std::byte{1};
    CHECK(code_of(batch) == Code::corrupt);
}

TEST_CASE("batch check: offset deltas must count up from 0") {
    const auto good = from_hex("0c 00 00 00 01 01 00 0c 00 00 02 01 01 00");
    const auto twice = from_hex("0c 00 00 00 01 01 00 0c 00 00 00 01 01 00");
    const auto gap = from_hex("0c 00 00 00 01 01 00 0c 00 00 04 01 01 00");
    CHECK(check_producer_batch(wrap_area(good, 2, Compression::none), BatchRules{}));
    CHECK(code_of(wrap_area(twice, 2, Compression::none)) == Code::invalid_record);
    CHECK(code_of(wrap_area(gap, 2, Compression::none)) == Code::invalid_record);
}

TEST_CASE("batch check: lying counts and cut streams inside compressed batches") {
    for (Compression compression : kAllCompressions) {
        if (compression == Compression::none) {
            continue;
        }
        CAPTURE(to_string(compression));
        const std::vector<std::byte> plain = make_batch(20, 300);
        const ByteView area = ByteView(plain).subspan(kBatchHeaderSize);
        const std::vector<std::byte> packed = compress(compression, area).value();
        CHECK(check_producer_batch(wrap_area(packed, 20, compression), BatchRules{}));
        CHECK(code_of(wrap_area(packed, 19, compression)) == Code::invalid_record);
        CHECK(code_of(wrap_area(packed, 21, compression)) == Code::invalid_record);
        CHECK(code_of(wrap_area(packed, 0x7fffffff, compression)) == Code::invalid_record);
        for (size_t size = 0; size < packed.size(); size++) {
            const auto cut = wrap_area(ByteView(packed).first(size), 20, compression);
            const auto facts = check_producer_batch(cut, BatchRules{});
            CHECK_FALSE(facts);
        }
        std::vector<std::byte> longer = packed;
        longer.push_back(std::byte{0x55});
        CHECK(code_of(wrap_area(longer, 20, compression)) == Code::invalid_record);
    }
}

TEST_CASE("batch check: zstd is refused where the request version does not know it") {
    const std::vector<std::byte> batch = make_batch(20, 300, with(Compression::zstd));
    BatchRules rules;
    rules.zstd_allowed = false;
    CHECK(code_of(batch, rules) == Code::unsupported_compression);
    CHECK(check_producer_batch(make_batch(20, 300, with(Compression::lz4)), rules));
}

TEST_CASE("batch check: a bomb is refused at the limit with a window's memory") {
    // One record of a value of 200 MB of zeros: gzip makes about 200 KB of it, zstd about 18 KB.
    constexpr size_t kValueSize = 200'000'000;
    BatchBuilder builder;
    {
        const std::vector<std::byte> zeros(kValueSize);
        REQUIRE(builder.append({}, ByteView(zeros), {}, 1));
    }
    const std::vector<std::byte> batch = builder.finish(with(Compression::zstd)).value();
    REQUIRE(batch.size() < 60'000);
    CheckScratch scratch;
    const auto facts = check_producer_batch(batch, BatchRules{}, scratch);
    REQUIRE_FALSE(facts);
    CHECK(facts.error().code == Code::message_too_large);
    CHECK(scratch.window.size() == kCheckWindowSize);
}
