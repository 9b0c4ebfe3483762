// Bounds of what one shard of groups keeps in memory, with units and reasons. What an operator may
// move is an option (lib/config); these are the ends behind them.
#pragma once

#include "lib/base/units.h"

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace qtool::group {

// Groups of one shard: 50 shards of these are far beyond what one broker serves. Beyond, a new
// group is refused (POLICY_VIOLATION); groups that are in the log are always loaded.
inline constexpr size_t kGroupsMax = 100'000;

// Members of one group, whatever group.max.size says, and ids handed out that were not used yet.
inline constexpr size_t kMembersMax = 10'000;
inline constexpr size_t kPendingMembersMax = 10'000;

// Bytes of what one member says of itself (all its protocols) or is assigned. The record of a group
// holds this for every member and must fit into one batch.
inline constexpr size_t kMemberBytesMax = 1 * MiB;

// A member id is the client id, cut to this many bytes, a dash and a UUID.
inline constexpr size_t kMemberIdPrefixSizeMax = 1024;

// Committed offsets of one shard, pending ones included. New keys beyond are refused.
inline constexpr size_t kOffsetsMax = 4'000'000;

// Records of one batch when a decision writes many (expiry, deletion of a group).
inline constexpr size_t kTombstonesPerBatchMax = 1'000;

// A member's first join waits in the broker and sends no heartbeats, so its session timeout cannot
// count; this long it is kept (Kafka's fixed value).
inline constexpr std::chrono::minutes kNewMemberJoinTimeout{5};

// A subscription's regular expression, and what RE2 may take for it. RE2 matches in linear time, so
// these bound its work as well.
inline constexpr size_t kRegexSizeMax = 4096;
inline constexpr int64_t kRegexProgramBytesMax = 1 * MiB;
// Expressions are not resolved again before this much time has passed (Kafka's fixed value).
inline constexpr std::chrono::seconds kRegexRefreshIntervalMin{10};

// The id a client chooses for itself.
inline constexpr size_t kMemberIdSizeMax = 2048;

// Topics one member of a consumer group may name.
inline constexpr size_t kSubscribedTopicsMax = 100'000;

// Bytes of records that one batch of a consumer group's decision holds; a larger decision is
// several batches, each of which is right on its own.
inline constexpr size_t kDecisionBatchBytesMax = 512 * KiB;

} // namespace qtool::group
