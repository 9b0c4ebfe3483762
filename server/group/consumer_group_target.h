// What a consumer group's members subscribe to, as of now, and who of them is to have what: the
// part of the group's decisions that looks at the topics. Each function appends the records of one
// decision, if there is something to decide.
#pragma once

#include "lib/base/result.h"
#include "server/coordinator/machine.h"
#include "server/group/consumer_group.h"
#include "server/group/shard_state.h"

namespace qtool::group {

/// A number for what a group's topics look like: names, ids, partitions, racks. Never 0.
int64_t topics_hash(const std::set<std::string, std::less<>>& topics, const metadata::Image& image);

/// Resolves the group's regular expressions when that is due: an expression is new, topics came or
/// went, or the last time is long ago; but never twice within kRegexRefreshIntervalMin, then a
/// timer is set. Expressions nobody uses any more go. Errors: those of an append.
Result<void> refresh_regexes(ShardState& state, ConsumerGroup& group, coordinator::Host& host);

/// Raises the group's epoch when its topics differ from what they were at the last epoch.
Result<void> refresh_topics(ConsumerGroup& group, coordinator::Host& host);

/// Computes a new target when the group's epoch is ahead of the last one; within the assignment
/// interval it sets a timer instead.
Result<void> refresh_target(ShardState& state, ConsumerGroup& group, coordinator::Host& host);

/// Appends `records` as one batch, or as several when they are many bytes; for records each of
/// which is right on its own. The first error ends it.
Result<void> append_decision(std::vector<coordinator::NewRecord> records, coordinator::Host& host);

} // namespace qtool::group
