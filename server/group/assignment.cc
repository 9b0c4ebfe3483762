#include "server/group/assignment.h"

#include <algorithm>
#include <iterator>

namespace qtool::group {

Assignment normalized(Assignment assignment) {
    for (auto it = assignment.begin(); it != assignment.end();) {
        std::vector<int32_t>& partitions = it->second;
        std::sort(partitions.begin(), partitions.end());
        partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
        it = partitions.empty() ? assignment.erase(it) : std::next(it);
    }
    return assignment;
}

size_t partition_count(const Assignment& assignment) {
    size_t count = 0;
    for (const auto& [topic, partitions] : assignment) {
        count += partitions.size();
    }
    return count;
}

bool contains(const Assignment& assignment, const PartitionKey& partition) {
    const auto it = assignment.find(partition.topic_id);
    return it != assignment.end() &&
           std::binary_search(it->second.begin(), it->second.end(), partition.index.value());
}

bool is_subset(const Assignment& part, const Assignment& whole) {
    return std::all_of(part.begin(), part.end(), [&](const auto& entry) {
        const auto it = whole.find(entry.first);
        return it != whole.end() && std::includes(it->second.begin(), it->second.end(),
                                                  entry.second.begin(), entry.second.end());
    });
}

bool overlaps(const Assignment& a, const Assignment& b) {
    return !intersection(a, b).empty();
}

Assignment without(const Assignment& from, const Assignment& minus) {
    Assignment rest;
    for (const auto& [topic, partitions] : from) {
        const auto it = minus.find(topic);
        if (it == minus.end()) {
            rest.emplace(topic, partitions);
            continue;
        }
        std::vector<int32_t> left;
        std::set_difference(partitions.begin(), partitions.end(), it->second.begin(),
                            it->second.end(), std::back_inserter(left));
        if (!left.empty()) {
            rest.emplace(topic, std::move(left));
        }
    }
    return rest;
}

Assignment intersection(const Assignment& a, const Assignment& b) {
    Assignment both;
    for (const auto& [topic, partitions] : a) {
        const auto it = b.find(topic);
        if (it == b.end()) {
            continue;
        }
        std::vector<int32_t> common;
        std::set_intersection(partitions.begin(), partitions.end(), it->second.begin(),
                              it->second.end(), std::back_inserter(common));
        if (!common.empty()) {
            both.emplace(topic, std::move(common));
        }
    }
    return both;
}

Assignment plain(const EpochAssignment& assignment) {
    Assignment result;
    for (const auto& [topic, partitions] : assignment) {
        std::vector<int32_t>& list = result[topic];
        list.reserve(partitions.size());
        for (const auto& [partition, epoch] : partitions) {
            list.push_back(partition);
        }
    }
    return result;
}

} // namespace qtool::group
