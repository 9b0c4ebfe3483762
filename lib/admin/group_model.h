// The JSON admin protocol about groups and transactions, as plain values; see model.h.
#pragma once

#include "lib/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::admin {

struct GroupSummary {
    std::string group;
    std::string type;          // "classic", "consumer"; empty: the coordinator does not say
    std::string protocol_type; // "consumer" for consumers; empty: only offsets
    std::string state;         // "Stable", "Empty", ...

    bool operator==(const GroupSummary&) const = default;
};

/// GET /v1/groups: sorted by name.
struct GroupList {
    std::vector<GroupSummary> groups;

    bool operator==(const GroupList&) const = default;
};

struct TopicPartitions {
    std::string topic;
    std::vector<int32_t> partitions;

    bool operator==(const TopicPartitions&) const = default;
};

struct GroupMember {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string client_host;
    std::vector<TopicPartitions> assignment;

    bool operator==(const GroupMember&) const = default;
};

struct GroupOffset {
    std::string topic;
    int32_t partition = 0;
    int64_t offset = -1;
    int32_t leader_epoch = -1; // -1: none
    std::string metadata;
    // Known only where the partition's log is; absent (null) otherwise.
    std::optional<int64_t> high_watermark;
    std::optional<int64_t> lag; // records up to the high watermark
    /// Age of the first record that is not committed; 0 without lag.
    std::optional<int64_t> lag_ms;

    bool operator==(const GroupOffset&) const = default;
};

/// GET /v1/groups/{name}
struct GroupDescription {
    std::string group;
    std::string type;
    std::string protocol_type;
    std::string protocol; // of the assignment: "range", "uniform", ...
    std::string state;
    std::vector<GroupMember> members;
    std::vector<GroupOffset> offsets; // by topic and partition

    bool operator==(const GroupDescription&) const = default;
};

struct OffsetToSet {
    std::string topic;
    int32_t partition = 0; // 0 or more
    int64_t offset = 0;    // 0 or more; need not be one the partition has
    std::string metadata;

    bool operator==(const OffsetToSet&) const = default;
};

/// PATCH /v1/groups/{name}: commits offsets in one record batch: none when a partition is unknown
/// or the group has members; what else may fail is one partition's alone (metadata too large), and
/// the first failure is the answer. Answered with 204.
struct SetGroupOffsets {
    std::vector<OffsetToSet> offsets; // at least one

    bool operator==(const SetGroupOffsets&) const = default;
};

// DELETE /v1/groups/{name} is answered with 204 and no body.

struct TransactionSummary {
    std::string transactional_id;
    int64_t producer_id = -1;
    std::string state; // "Ongoing", "CompleteCommit", ...

    bool operator==(const TransactionSummary&) const = default;
};

/// GET /v1/transactions: sorted by id.
struct TransactionList {
    std::vector<TransactionSummary> transactions;

    bool operator==(const TransactionList&) const = default;
};

/// GET /v1/transactions/{name}
struct TransactionDescription {
    std::string transactional_id;
    std::string state;
    int64_t producer_id = -1;
    int32_t producer_epoch = -1;
    int32_t timeout_ms = 0;
    int64_t start_ms = -1; // milliseconds since 1970; -1: none is open
    std::vector<TopicPartitions> partitions;

    bool operator==(const TransactionDescription&) const = default;
};

// DELETE /v1/transactions/{name} fences the producer and aborts what it has open; 204, no body.

std::string encode(const GroupList& value);
std::string encode(const GroupDescription& value);
std::string encode(const SetGroupOffsets& value);
std::string encode(const OffsetToSet& value);
std::string encode(const TransactionList& value);
std::string encode(const TransactionDescription& value);

template <class T>
Result<T> decode(std::string_view text);

template <>
Result<GroupList> decode<GroupList>(std::string_view text);
template <>
Result<GroupDescription> decode<GroupDescription>(std::string_view text);
template <>
Result<SetGroupOffsets> decode<SetGroupOffsets>(std::string_view text);
template <>
Result<OffsetToSet> decode<OffsetToSet>(std::string_view text);
template <>
Result<TransactionList> decode<TransactionList>(std::string_view text);
template <>
Result<TransactionDescription> decode<TransactionDescription>(std::string_view text);

} // namespace qtool::admin
