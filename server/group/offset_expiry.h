// Offsets that nobody needs any more: older than the retention, or of topics that are gone. Both
// end as tombstones in the log; a group left without offsets and members goes with them.
#pragma once

#include "server/group/shard_state.h"

namespace qtool::group {

/// offsets.retention.minutes, by the rule of each group.
void expire_offsets(ShardState& state, coordinator::Host& host);
void schedule_offset_expiry(ShardState& state, coordinator::Host& host);
/// One for each offset of the group, committed or pending.
void add_offset_tombstones(const ShardState& state, std::string_view group_id,
                           std::vector<coordinator::NewRecord>& tombstones);
/// Looks at the image: a topic that is not there, or there under another id, is gone.
void drop_offsets_of_deleted_topics(ShardState& state, coordinator::Host& host);

} // namespace qtool::group
