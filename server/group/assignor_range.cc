#include "lib/base/assert.h"
#include "server/group/assignor.h"

#include <algorithm>

namespace qtool::group {

std::vector<Assignment> assign_range(const AssignorInput& input) {
    // Static members in front by instance id, then the others by member id.
    std::vector<size_t> order(input.members.size());
    for (size_t i = 0; i < order.size(); i++) {
        order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t left, size_t right) {
        const AssignorMember& a = input.members[left];
        const AssignorMember& b = input.members[right];
        if (a.instance_id.has_value() != b.instance_id.has_value()) {
            return a.instance_id.has_value();
        }
        return a.instance_id && *a.instance_id != *b.instance_id ? *a.instance_id < *b.instance_id
                                                                 : a.member_id < b.member_id;
    });
    std::map<TopicId, std::vector<size_t>> subscribers;
    for (const size_t index : order) {
        for (const TopicId& topic : *input.members[index].topics) {
            subscribers[topic].push_back(index);
        }
    }
    std::vector<Assignment> targets(input.members.size());
    for (const auto& [topic, members] : subscribers) {
        const auto it = input.topics.find(topic);
        if (it == input.topics.end()) {
            continue;
        }
        const auto member_count = static_cast<int32_t>(members.size());
        const int32_t share = it->second.partition_count / member_count;
        const int32_t extra = it->second.partition_count % member_count;
        int32_t next = 0;
        for (int32_t i = 0; i < member_count; i++) {
            const int32_t size = share + (i < extra ? 1 : 0);
            if (size == 0) {
                break;
            }
            std::vector<int32_t>& list = targets[members[static_cast<size_t>(i)]][topic];
            for (int32_t n = 0; n < size; n++) {
                list.push_back(next++);
            }
        }
        QT_ASSERT(next == it->second.partition_count);
    }
    return targets;
}

bool is_assignor(std::string_view name) {
    return name == kUniformAssignor || name == kRangeAssignor;
}

std::vector<Assignment> assign(std::string_view assignor, const AssignorInput& input) {
    QT_ASSERT(is_assignor(assignor));
    return assignor == kRangeAssignor ? assign_range(input) : assign_uniform(input);
}

} // namespace qtool::group
