// LogConfig: what one partition's log must know of its topic's options. Plain values.
#pragma once

#include "lib/protocol/record_batch.h"

#include <cstdint>
#include <limits>
#include <optional>

namespace qtool::storage {

/// The defaults are Kafka's.
struct LogConfig {
    uint32_t segment_bytes = 1'073'741'824;
    int64_t segment_ms = 604'800'000;
    int64_t segment_jitter_ms = 0;
    uint32_t segment_index_bytes = 10'485'760;
    uint32_t index_interval_bytes = 4096;
    int64_t retention_ms = 604'800'000; // -1: for ever
    int64_t retention_bytes = -1;       // -1: unlimited
    uint32_t max_message_bytes = 1'048'588;
    protocol::TimestampType timestamp_type = protocol::TimestampType::create_time;
    int64_t timestamp_before_max_ms = std::numeric_limits<int64_t>::max();
    int64_t timestamp_after_max_ms = 3'600'000;
    int64_t file_delete_delay_ms = 60'000;
    int64_t producer_id_expiration_ms = 86'400'000;
    bool compacted = false; // true: records need a key, and only the last of each key is kept
    bool deletes = true;    // retention by time and size
    uint32_t min_cleanable_dirty_ratio_ppm = 500'000;
    int64_t min_compaction_lag_ms = 0;
    int64_t max_compaction_lag_ms = std::numeric_limits<int64_t>::max();
    int64_t delete_retention_ms = 86'400'000;
    /// Stored batches have this codec; nothing: the one the producer chose.
    std::optional<protocol::Compression> compression;
    std::optional<int> compression_level; // nothing: the codec's default

    // Read by server/replica, which decides when to flush; the log does not look at them.
    int64_t flush_messages = std::numeric_limits<int64_t>::max();
    int64_t flush_ms = std::numeric_limits<int64_t>::max();

    bool operator==(const LogConfig&) const = default;
};

} // namespace qtool::storage
