// Server-side assignors (KIP-848): who in a consumer group gets which partitions. Pure functions of
// what they are given, so that the same group always comes to the same assignment.
//
//   uniform  moves as little as it can and balances: each member ends within one partition of the
//            others that could take its partitions. Where members have racks, a partition goes to
//            one with a replica in its rack that has room, from one that has none.
//   range    for each topic, subscribers in order get neighbouring partitions: topics with the same
//            subscribers and partition counts are split alike, so that joins find both sides.
//            Static members come first, by instance id: a restart does not move their ranges.
//
// Cost: uniform O((P + M) log M) for equal subscriptions, and a pass over the topics' subscribers
// for each partition moved otherwise; both are made for 1,000 members and 1,000s of partitions.
#pragma once

#include "server/group/assignment.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::group {

struct AssignorMember {
    std::string_view member_id;
    std::optional<std::string_view> instance_id; // static member
    std::string_view rack;                       // empty: unknown
    const std::set<TopicId>* topics = nullptr;   // subscribed; members may share a set
    const Assignment* current = nullptr;         // its last target; nullptr: none
};

struct AssignorTopic {
    int32_t partition_count = 0;
    /// Racks with a replica, by partition; empty: not known.
    std::vector<std::set<std::string, std::less<>>> racks;
};

struct AssignorInput {
    std::vector<AssignorMember> members;     // ascending member ids
    std::map<TopicId, AssignorTopic> topics; // subscribed topics that are not here do not exist
};

/// The target of each member, in the order of the input. Every partition of a topic that somebody
/// subscribes to is in exactly one of them.
std::vector<Assignment> assign_uniform(const AssignorInput& input);
std::vector<Assignment> assign_range(const AssignorInput& input);

inline constexpr std::string_view kUniformAssignor = "uniform";
inline constexpr std::string_view kRangeAssignor = "range";
[[nodiscard]] bool is_assignor(std::string_view name);
/// By name, which is_assignor.
std::vector<Assignment> assign(std::string_view assignor, const AssignorInput& input);

} // namespace qtool::group
