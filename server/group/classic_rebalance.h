// What moves a classic group from state to state. Functions on the shard's state, used by the
// requests (join, sync, leave) and by timers. Each answers the parked requests it settles.
#pragma once

#include "server/group/classic_group.h"
#include "server/group/shard_state.h"

namespace qtool::group {

/// After a member came, left or changed: starts a rebalance, or lets the one under way go on.
void rebalance(ShardState& state, ClassicGroup& group, coordinator::Host& host);
/// Ends the join phase if everybody joined; else sees that it will end in time.
void complete_join_if_ready(ShardState& state, ClassicGroup& group, coordinator::Host& host);
/// The member is gone: parked requests get `error`, its timers go. Follow with rebalance().
void drop_member(ShardState& state, ClassicGroup& group, std::string_view member_id,
                 KafkaError error, coordinator::Host& host);
/// The session starts again.
void renew_session(ShardState& state, const ClassicGroup& group, const ClassicMember& member,
                   coordinator::Host& host);
/// A member's session or a pending id ran out; the join or sync phase did.
void on_session_due(ShardState& state, const TimerKey& key, coordinator::Host& host);
void on_join_due(ShardState& state, const TimerKey& key, coordinator::Host& host);
void on_sync_due(ShardState& state, const TimerKey& key, coordinator::Host& host);
/// The shard is loaded: sessions of all members start.
void start_classic(ShardState& state, ClassicGroup& group, coordinator::Host& host);

/// group.max.size, within our own bound.
size_t group_size_max(const config::BrokerConfig& config);

/// The answer to a member that has the group's generation. The leader gets the members.
/// `skip_assignment`: it shall not assign, what is assigned stays.
void answer_joined(const ClassicGroup& group, const ClassicMember& member, Parked to,
                   coordinator::Host& host, bool skip_assignment = false);
void answer_join_error(KafkaError error, std::string_view member_id, Parked to,
                       coordinator::Host& host);
/// The assignment, or an error.
void answer_sync(const ClassicGroup& group, KafkaError error, ByteView assignment, Parked to,
                 coordinator::Host& host);

} // namespace qtool::group
