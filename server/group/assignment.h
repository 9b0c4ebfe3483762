// Sets of partitions: what a member of a group is to have, has, or must give back.
#pragma once

#include "lib/base/ids.h"

#include <cstdint>
#include <map>
#include <vector>

namespace qtool::group {

/// Partitions by topic. Invariant of every function here: partition lists are sorted, without
/// repetitions and not empty. Bytes from outside go through `normalized` first.
using Assignment = std::map<TopicId, std::vector<int32_t>>;

/// Partitions with the member epoch at which each was assigned (KIP-1251). No empty topic.
using EpochAssignment = std::map<TopicId, std::map<int32_t, int32_t>>;

/// Sorts, drops repetitions and empty topics.
Assignment normalized(Assignment assignment);
[[nodiscard]] size_t partition_count(const Assignment& assignment);
[[nodiscard]] bool contains(const Assignment& assignment, const PartitionKey& partition);
[[nodiscard]] bool is_subset(const Assignment& part, const Assignment& whole);
[[nodiscard]] bool overlaps(const Assignment& a, const Assignment& b);
[[nodiscard]] Assignment without(const Assignment& from, const Assignment& minus);
[[nodiscard]] Assignment intersection(const Assignment& a, const Assignment& b);
[[nodiscard]] Assignment plain(const EpochAssignment& assignment);

/// Calls visit(PartitionKey) for each partition, in order.
template <class F>
void for_each_partition(const Assignment& assignment, F&& visit) {
    for (const auto& [topic, partitions] : assignment) {
        for (const int32_t partition : partitions) {
            visit(PartitionKey{topic, PartitionIndex(partition)});
        }
    }
}

} // namespace qtool::group
