// What a consumer group answers to members that speak the classic protocol (KIP-848, "Online
// Migration"): JoinGroup takes the place of the heartbeat that reports partitions, SyncGroup brings
// the assignment, and the generation is the member's epoch. Nobody is the leader, nobody waits for
// others: when there is something to give back or to take up, Heartbeat says REBALANCE_IN_PROGRESS
// to the members concerned, who then join again.
#pragma once

#include "lib/protocol/msg/heartbeat.h"
#include "lib/protocol/msg/join_group.h"
#include "lib/protocol/msg/sync_group.h"
#include "server/group/consumer_group.h"
#include "server/group/shard_state.h"

#include <optional>
#include <string_view>

namespace qtool::group {

/// Answers the request. The group has members, and the request is within its own bounds.
void join_consumer_group(ShardState& state, std::string_view group_id,
                         const protocol::JoinGroupRequest& request,
                         const coordinator::Request& from, coordinator::Host& host);
void sync_consumer_group(ShardState& state, ConsumerGroup& group,
                         const protocol::SyncGroupRequest& request,
                         const coordinator::Request& from, coordinator::Host& host);
/// The error to answer.
KafkaError beat_consumer_group(ShardState& state, ConsumerGroup& group,
                               const protocol::HeartbeatRequest& request, coordinator::Host& host);
/// The error to answer. The group may be gone, or of another kind, after it.
KafkaError leave_consumer_group(ShardState& state, std::string_view group_id,
                                std::string_view member_id,
                                const std::optional<std::string_view>& instance_id,
                                coordinator::Host& host);

} // namespace qtool::group
