// Numbers with a meaning of their own in message fields. Kafka's words, one enum a field.
#pragma once

#include <cstdint>

namespace qtool::protocol {

// ListOffsets, timestamp: the offset asked for when it is not that of a time.
inline constexpr int64_t kTimestampLatest = -1;
inline constexpr int64_t kTimestampEarliest = -2;
inline constexpr int64_t kTimestampMaxTimestamp = -3;  // the record with the highest time; v7+
inline constexpr int64_t kTimestampEarliestLocal = -4; // not yet tiered only; v8+
inline constexpr int64_t kTimestampLatestTiered = -5;  // v9+
inline constexpr int64_t kTimestampEarliestPendingUpload = -6; // v11+

// Fetch and ListOffsets, isolation_level.
enum class IsolationLevel : int8_t { read_uncommitted = 0, read_committed = 1 };

// Fetch, replica_id, and ListOffsets: who asks.
inline constexpr int32_t kConsumerReplicaId = -1;

// Fetch, session_epoch (KIP-227).
inline constexpr int32_t kFetchSessionEpochFinal = -1;  // no session, or close the one named
inline constexpr int32_t kFetchSessionEpochInitial = 0; // open a session

// Produce, acks.
inline constexpr int16_t kAcksNone = 0;
inline constexpr int16_t kAcksLeader = 1;
inline constexpr int16_t kAcksAll = -1;

// FindCoordinator, key_type.
enum class CoordinatorType : int8_t { group = 0, transaction = 1, share = 2 };

// DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: resource_type.
enum class ConfigResourceType : int8_t {
    unknown = 0,
    topic = 2,
    broker = 4,
    broker_logger = 8,
    client_metrics = 16,
    group = 32,
};

// IncrementalAlterConfigs, config_operation.
enum class AlterConfigOp : int8_t { set = 0, remove = 1, append = 2, subtract = 3 };

// Metadata and DescribeCluster: authorized operations were not asked for.
inline constexpr int32_t kOperationsOmitted = INT32_MIN;

} // namespace qtool::protocol
