// TopicConfig: a topic's options, typed. What a topic does not set comes from the broker's options
// (log.retention.ms, log.retention.minutes, log.retention.hours: the first one set wins) and then
// from the table. A value without identity: copied to the core that owns the partition.
#pragma once

#include "lib/base/result.h"
#include "lib/config/describe.h"
#include "lib/config/overrides.h"

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qtool::config {

struct BrokerConfig;

enum class TimestampType : int8_t { create_time = 0, log_append_time = 1 };

inline constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// A default constructed TopicConfig holds the defaults of the table.
struct TopicConfig {
    int64_t retention_ms = 604'800'000; // -1: for ever
    int64_t retention_bytes = -1;       // of one partition; < 0: unlimited
    int32_t segment_bytes = 1'073'741'824;
    int64_t segment_ms = 604'800'000;
    int64_t segment_jitter_ms = 0;
    int32_t segment_index_bytes = 10'485'760;
    int32_t index_interval_bytes = 4096;
    int32_t max_message_bytes = 1'048'588; // of one record batch
    TimestampType timestamp_type = TimestampType::create_time;
    int64_t timestamp_before_max_ms = kUnlimited;
    int64_t timestamp_after_max_ms = 3'600'000;
    int64_t file_delete_delay_ms = 60'000;
    int32_t min_insync_replicas = 1; // in force: min(this, replicas of the partition)
    bool unclean_leader_election_enable = false;
    int64_t flush_messages = kUnlimited;
    int64_t flush_ms = kUnlimited;
    bool write_caching = false;                      // true: acknowledge from the page cache
    bool cleanup_delete = true;                      // retention by time and size
    bool cleanup_compact = false;                    // only the last record of each key stays
    int32_t min_cleanable_dirty_ratio_ppm = 500'000; // in millionths
    int64_t min_compaction_lag_ms = 0;
    int64_t max_compaction_lag_ms = kUnlimited;
    int64_t delete_retention_ms = 86'400'000;  // of tombstones in a compacted topic
    std::string compression_type = "producer"; // or "uncompressed", or a codec's name
    int32_t compression_gzip_level = -1;       // -1: the library's default
    int32_t compression_lz4_level = 9;
    int32_t compression_zstd_level = 3;

    bool operator==(const TopicConfig&) const = default;
};

/// Options set on the topic itself, by name; values normalized.
using TopicOverrides = Overrides;

/// Errors: invalid_config (unknown option, bad value, or a value that is not served yet).
Result<TopicConfig> make_topic_config(const TopicOverrides& overrides, const BrokerConfig& broker);

/// make_overrides for topics.
Result<TopicOverrides> make_topic_overrides(std::span<const RequestedOption> options);

/// All or nothing: the overrides after the alterations, or why not. `append` and `subtract` work on
/// lists only, starting from the value in force; appending what is there changes nothing.
/// Errors: invalid_config; invalid_request (a name twice, a null value where one is needed).
Result<TopicOverrides> apply_alterations(const TopicOverrides& current,
                                         std::span<const Alteration> alterations,
                                         const BrokerConfig& broker);

/// Every row, sorted by name. Overrides as stored; one that this version no longer knows is left
/// out.
std::vector<DescribedOption> describe_topic(const TopicOverrides& overrides,
                                            const BrokerConfig& broker);

} // namespace qtool::config
