// What a log's compaction should do, decided from facts alone: which segments may be cleaned,
// whether it is worth it, which of them become one. Pure functions without state or files.
#pragma once

#include "lib/base/ids.h"
#include "server/storage/log_config.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace qtool::storage {

struct SegmentFacts {
    Offset base;
    Offset next; // behind the last batch; where the following segment begins
    uint64_t size_bytes = 0;
    int64_t first_timestamp = -1; // ms; -1: none, or not asked for
    int64_t max_timestamp = -1;   // ms; -1: none, or not asked for
};

struct CompactionFacts {
    std::vector<SegmentFacts> segments; // sealed ones, rising, each begins where the last ended
    Offset log_start;
    Offset cleaned_to; // of each key with a record below, no older one is left below
    Offset limit;      // nothing at or behind is touched: not committed, not durable
    int64_t now_ms = 0;
};

/// Cleanable and dirty segments; due: the shares or the times ask for it.
///
///   log start          cleaned_to              end          limit       active
///   |---- clean ----------|------ dirty --------|--- too young or not committed ---|
///
/// due: dirty bytes / (clean + dirty) > min.cleanable.dirty.ratio, or the oldest dirty record is
/// older than max.compaction.lag.ms.
struct CompactionPlan {
    Offset first_dirty;
    Offset end; // cleaning reaches to here: where a segment ends
    uint64_t clean_bytes = 0;
    uint64_t dirty_bytes = 0;
    bool is_due = false;
    bool is_overdue = false; // by max.compaction.lag.ms: goes before all others
};
CompactionPlan plan_compaction(const CompactionFacts& facts, const LogConfig& config);

/// Neighbours [first, first + count) that are written into one new segment.
struct SegmentGroup {
    size_t first = 0;
    size_t count = 0;
};
/// Of the segments that begin below `end`. A group's sources fit into segment.bytes, and its
/// offsets into 31 bits; a larger single segment is a group of its own.
std::vector<SegmentGroup> group_segments(std::span<const SegmentFacts> segments, Offset end,
                                         uint32_t segment_bytes);

} // namespace qtool::storage
