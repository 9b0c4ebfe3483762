// Proves the parts of compaction that touch no file: the hash against its published vectors, the
// map's bound, the plan's shares and bounds, the groups.
#include "server/storage/compaction_map.h"
#include "server/storage/compaction_plan.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>

using namespace qtool;
using namespace qtool::storage;

TEST_CASE("key hash: the vectors of the SipHash authors, 128 bits") {
    const HashSeed seed{0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    std::vector<std::byte> input;
    CHECK(hash_key(seed, input) == Hash128{0xe6a825ba047f81a3u, 0x930255c71472f66du});
    input.push_back(std::byte{0});
    CHECK(hash_key(seed, input) == Hash128{0x44af996bd8c187dau, 0x45fc229b11597634u});
}

TEST_CASE("offset map: the latest offset of each key, up to its bound") {
    OffsetMap map(1000 * OffsetMap::kBytesPerKey, {3, 4});
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++) {
            REQUIRE(map.put(as_bytes("key" + std::to_string(i)), Offset(round * 1000 + i)));
        }
    }
    CHECK(map.size() == 1000);
    CHECK_FALSE(map.put(as_bytes("one more"), Offset(5000)));
    CHECK(map.put(as_bytes("key7"), Offset(5000)));
    CHECK(map.latest(as_bytes("key7")) == Offset(5000));
    CHECK(map.latest(as_bytes("key8")) == Offset(1008));
    CHECK(map.latest(as_bytes("one more")) == kNoOffset);
    OffsetMap tiny(0, {});
    CHECK(tiny.latest(as_bytes("a")) == kNoOffset);
    CHECK(tiny.put(as_bytes("a"), Offset(1)));
    CHECK_FALSE(tiny.put(as_bytes("b"), Offset(2)));
}

namespace {

CompactionFacts three_segments() {
    CompactionFacts facts;
    facts.segments = {{Offset(0), Offset(10), 100, 1, 10},
                      {Offset(10), Offset(20), 100, 11, 20},
                      {Offset(20), Offset(30), 200, 21, 30}};
    facts.limit = Offset(100);
    facts.now_ms = 1000;
    return facts;
}

} // namespace

TEST_CASE("plan: dirty bytes over all bytes, above the ratio and not at it") {
    CompactionFacts facts = three_segments();
    facts.cleaned_to = Offset(20);
    LogConfig config; // 0.5
    CompactionPlan plan = plan_compaction(facts, config);
    CHECK(plan.clean_bytes == 200);
    CHECK(plan.dirty_bytes == 200);
    CHECK(plan.first_dirty == Offset(20));
    CHECK(plan.end == Offset(30));
    CHECK_FALSE(plan.is_due);
    config.min_cleanable_dirty_ratio_ppm = 499'999;
    CHECK(plan_compaction(facts, config).is_due);
    facts.cleaned_to = Offset(30);
    config.min_cleanable_dirty_ratio_ppm = 0;
    plan = plan_compaction(facts, config);
    CHECK_FALSE(plan.is_due);
    CHECK(plan.dirty_bytes == 0);
}

TEST_CASE("plan: limit, lags and log start bound it") {
    CompactionFacts facts = three_segments();
    LogConfig config;
    facts.limit = Offset(29);
    CHECK(plan_compaction(facts, config).end == Offset(20));
    facts.limit = Offset(9);
    CHECK_FALSE(plan_compaction(facts, config).is_due);
    facts.limit = Offset(30);
    config.min_compaction_lag_ms = 975; // younger than 25
    CHECK(plan_compaction(facts, config).end == Offset(20));
    facts.log_start = Offset(15);
    CHECK(plan_compaction(facts, config).first_dirty == Offset(15));
    config = LogConfig();
    config.min_cleanable_dirty_ratio_ppm = 1'000'000;
    config.max_compaction_lag_ms = 989; // the oldest dirty record is of 11
    CHECK_FALSE(plan_compaction(facts, config).is_overdue);
    config.max_compaction_lag_ms = 988;
    CHECK(plan_compaction(facts, config).is_overdue);
    CHECK(plan_compaction(facts, config).is_due);
}

TEST_CASE("groups: neighbours up to segment.bytes and 31 bits of offsets") {
    std::vector<SegmentFacts> segments = three_segments().segments;
    const auto counts = [&](Offset end, uint32_t bytes) {
        std::vector<size_t> result;
        for (const SegmentGroup& group : group_segments(segments, end, bytes)) {
            result.push_back(group.count);
        }
        return result;
    };
    CHECK(counts(Offset(30), 400) == std::vector<size_t>{3});
    CHECK(counts(Offset(30), 399) == std::vector<size_t>{2, 1});
    CHECK(counts(Offset(30), 50) == std::vector<size_t>{1, 1, 1});
    CHECK(counts(Offset(20), 400) == std::vector<size_t>{2});
    CHECK(counts(Offset(0), 400).empty());
    segments.back().next = Offset(std::numeric_limits<int32_t>::max());
    CHECK(counts(Offset(30), 400) == std::vector<size_t>{3});
    segments.back().next = segments.back().next + 1;
    CHECK(counts(Offset(30), 400) == std::vector<size_t>{2, 1});
}
