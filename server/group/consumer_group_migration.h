// Groups that change between the classic and the consumer protocol while they live (KIP-848,
// "Online Migration"): what may change, and the records of the change.
//
//   classic, empty        a consumer joins            the name is free, then a consumer group
//   classic, members      a consumer joins            consumer group; its classic members stay, and
//                                                     are told to join again (policy: upgrade)
//   consumer group        the last member that speaks the consumer protocol leaves others behind
//                                                     classic group, in a rebalance (downgrade)
#pragma once

#include "server/group/consumer_group.h"
#include "server/group/shard_state.h"

#include <string_view>

namespace qtool::group {

/// There is a classic group of that name. True: a consumer may join under it now, be it that the
/// group became a consumer group or that it is gone. Errors: those of an append.
Result<bool> open_to_consumers(ShardState& state, std::string_view group_id,
                               coordinator::Host& host);

/// The group just lost a member. True: it is a classic group now. Errors: those of an append.
Result<bool> downgrade_if_due(ShardState& state, std::string_view group_id,
                              coordinator::Host& host);

/// Partitions by topic name as a classic consumer writes them; topics that do not exist are left
/// out.
template <class TopicPartitions>
Assignment to_assignment(const std::vector<TopicPartitions>& from, const metadata::Image& image) {
    Assignment assignment;
    for (const auto& entry : from) {
        if (const metadata::TopicImage* topic = image.topic(entry.topic); topic != nullptr) {
            std::vector<int32_t>& to = assignment[topic->id];
            to.insert(to.end(), entry.partitions.begin(), entry.partitions.end());
        }
    }
    return normalized(std::move(assignment));
}

/// What the member may own now, as bytes for a classic consumer.
std::vector<std::byte> classic_assignment(const ConsumerMember& member,
                                          const metadata::Image& image);

} // namespace qtool::group
