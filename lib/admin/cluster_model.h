// Brokers and moves of replicas in the JSON admin protocol; as model.h.
#pragma once

#include "lib/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::admin {

/// PATCH /v1/brokers/{name}, where the name is a broker's id; answered with 204.
struct AlterBrokerRequest {
    bool cordoned = false; // gets no new replicas

    bool operator==(const AlterBrokerRequest&) const = default;
};

// DELETE /v1/brokers/{name} forgets a broker that is not live; 204, no body.

/// One partition of a plan. The first replica is the preferred leader.
struct ReplicaMove {
    std::string topic;
    int32_t partition = 0;
    std::vector<int32_t> from;
    std::vector<int32_t> to;

    bool operator==(const ReplicaMove&) const = default;
};

/// POST /v1/plans: what would have to move. Changes nothing.
struct PlanRequest {
    std::string kind;                   // "rebalance" or "drain"
    std::optional<int32_t> broker = {}; // to be drained

    bool operator==(const PlanRequest&) const = default;
};
struct MovePlan {
    std::vector<ReplicaMove> moves; // by topic and partition
    std::vector<std::string> stuck; // "orders-3": without a leader, or no other broker is left

    bool operator==(const MovePlan&) const = default;
};

struct ReassignmentInfo {
    std::string topic;
    int32_t partition = 0;
    std::vector<int32_t> replicas; // old and new ones
    std::vector<int32_t> adding;
    std::vector<int32_t> removing;

    bool operator==(const ReassignmentInfo&) const = default;
};

/// GET /v1/reassignments: partitions whose replicas change just now, by topic and partition.
struct ReassignmentList {
    std::vector<ReassignmentInfo> reassignments;

    bool operator==(const ReassignmentList&) const = default;
};

struct ReassignmentWish {
    std::string topic;
    int32_t partition = 0;
    std::optional<std::vector<int32_t>> replicas =
        {}; // null or absent: take back what is under way

    bool operator==(const ReassignmentWish&) const = default;
};

/// POST /v1/reassignments; answered with 200 and a result for each wish.
struct AlterReassignmentsRequest {
    std::vector<ReassignmentWish> reassignments; // at least one

    bool operator==(const AlterReassignmentsRequest&) const = default;
};

struct ReassignmentResult {
    std::string topic;
    int32_t partition = 0;
    std::string error; // code; empty: it is begun, or done where nothing has to be copied
    std::string detail;

    bool operator==(const ReassignmentResult&) const = default;
};
struct ReassignmentResults {
    std::vector<ReassignmentResult> results;

    bool operator==(const ReassignmentResults&) const = default;
};

std::string encode(const AlterBrokerRequest& value);
std::string encode(const PlanRequest& value);
std::string encode(const MovePlan& value);
std::string encode(const ReassignmentList& value);
std::string encode(const AlterReassignmentsRequest& value);
std::string encode(const ReassignmentResults& value);

template <class T>
Result<T> decode(std::string_view text);

template <>
Result<AlterBrokerRequest> decode<AlterBrokerRequest>(std::string_view text);
template <>
Result<PlanRequest> decode<PlanRequest>(std::string_view text);
template <>
Result<MovePlan> decode<MovePlan>(std::string_view text);
template <>
Result<ReassignmentList> decode<ReassignmentList>(std::string_view text);
template <>
Result<AlterReassignmentsRequest> decode<AlterReassignmentsRequest>(std::string_view text);
template <>
Result<ReassignmentResults> decode<ReassignmentResults>(std::string_view text);

} // namespace qtool::admin
