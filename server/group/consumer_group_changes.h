// How a consumer group changes, whoever asks: heartbeats (KIP-848), requests of the classic
// protocol that it serves, time, and topics. Each function appends the records of its decision; the
// state has changed when it returns. Errors are those of an append: then nothing, or a part that
// stands on its own, has happened, and the client tries again.
#pragma once

#include "server/group/consumer_group.h"
#include "server/group/shard_state.h"

#include <string>
#include <string_view>

namespace qtool::group {

/// nullptr: none of that name and kind.
ConsumerGroup* find_consumer_group(ShardState& state, std::string_view group_id);

/// Writes the member, new or with what it says of itself now; with a new group epoch when its
/// subscription differs. A group that is not there comes into being. True: the subscription
/// differs.
Result<bool> write_member(ShardState& state, std::string_view group_id, std::string_view member_id,
                          const MemberMetadata& metadata, coordinator::Host& host);
/// What follows a change of members or subscriptions: expressions, topics, target.
Result<void> refresh(ShardState& state, ConsumerGroup& group, coordinator::Host& host);
/// One step towards the target; `owned` as in ReconcileInput. The member exists. True: what it may
/// own differs from before.
Result<bool> reconcile_member(ShardState& state, ConsumerGroup& group, std::string_view member_id,
                              const Assignment* owned, coordinator::Host& host);
Result<void> write_progress(const ConsumerGroup& group, std::string_view member_id,
                            const MemberProgress& progress, coordinator::Host& host);
/// Gives a static member's place to `member_id`: subscription, partitions and target.
Result<void> replace_static_member(ShardState& state, const ConsumerGroup& group,
                                   std::string old_id, std::string_view member_id,
                                   coordinator::Host& host);
/// Takes the member out of the group, whose epoch rises. Its partitions are free then. The group
/// may be another kind after that: one whose last member of the consumer protocol left.
Result<void> remove_consumer_member(ShardState& state, ConsumerGroup& group, std::string member_id,
                                    coordinator::Host& host);
/// The session starts again.
void renew_consumer_session(ShardState& state, const ConsumerGroup& group,
                            const ConsumerMember& member, coordinator::Host& host);

/// The shard is loaded: sessions and revocations of all members start anew.
void start_consumer_group(ShardState& state, ConsumerGroup& group, coordinator::Host& host);
/// A timer of one of the consumer kinds is due.
void on_consumer_timer(ShardState& state, const TimerKey& key, coordinator::Host& host);
/// Topics came, went or grew: what concerns a group raises its epoch.
void on_topics_changed(ShardState& state, const metadata::Delta& delta, coordinator::Host& host);

} // namespace qtool::group
