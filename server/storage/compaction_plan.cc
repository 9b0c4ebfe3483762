#include "server/storage/compaction_plan.h"

#include <algorithm>
#include <limits>

namespace qtool::storage {

namespace {

constexpr uint64_t kMillion = 1'000'000;

// dirty / (clean + dirty) > ratio, in integers: the sizes of one partition are below 2^64 / 10^6.
bool is_above_ratio(const CompactionPlan& plan, uint32_t ratio_ppm) {
    const uint64_t total = plan.clean_bytes + plan.dirty_bytes;
    return plan.dirty_bytes * kMillion > total * ratio_ppm;
}

} // namespace

CompactionPlan plan_compaction(const CompactionFacts& facts, const LogConfig& config) {
    CompactionPlan plan;
    plan.first_dirty = std::max(facts.cleaned_to, facts.log_start);
    plan.end = plan.first_dirty;
    bool has_dirty = false;
    int64_t oldest_dirty = -1;
    for (const SegmentFacts& segment : facts.segments) {
        if (segment.next > facts.limit) {
            break;
        }
        if (segment.next <= plan.first_dirty) {
            plan.clean_bytes += segment.size_bytes;
            continue;
        }
        if (config.min_compaction_lag_ms > 0 && segment.max_timestamp >= 0 &&
            segment.max_timestamp > facts.now_ms - config.min_compaction_lag_ms) {
            break;
        }
        if (!has_dirty) {
            oldest_dirty = segment.first_timestamp;
        }
        has_dirty = true;
        plan.dirty_bytes += segment.size_bytes;
        plan.end = segment.next;
    }
    plan.is_overdue = has_dirty && oldest_dirty >= 0 &&
                      facts.now_ms - oldest_dirty > config.max_compaction_lag_ms;
    plan.is_due = has_dirty &&
                  (plan.is_overdue || is_above_ratio(plan, config.min_cleanable_dirty_ratio_ppm));
    return plan;
}

std::vector<SegmentGroup> group_segments(std::span<const SegmentFacts> segments, Offset end,
                                         uint32_t segment_bytes) {
    constexpr int64_t kOffsetsMax = std::numeric_limits<int32_t>::max();
    std::vector<SegmentGroup> groups;
    uint64_t size = 0;
    for (size_t i = 0; i < segments.size() && segments[i].base < end; i++) {
        const bool fits = !groups.empty() && size + segments[i].size_bytes <= segment_bytes &&
                          segments[i].next - segments[groups.back().first].base <= kOffsetsMax;
        if (fits) {
            groups.back().count++;
            size += segments[i].size_bytes;
        } else {
            groups.push_back({i, 1});
            size = segments[i].size_bytes;
        }
    }
    return groups;
}

} // namespace qtool::storage
