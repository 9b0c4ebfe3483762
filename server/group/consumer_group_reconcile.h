// How a member of a consumer group gets from what it has to what it is to have (KIP-848): one step,
// a pure function. What a partition needs to change hands: its owner gave it back (said so in a
// heartbeat) or is gone.
#pragma once

#include "server/group/consumer_member.h"

#include <functional>

namespace qtool::group {

struct ReconcileInput {
    const MemberProgress& progress;
    int32_t target_epoch = 0;
    const Assignment& target;
    /// What the member says it owns; nullptr: it did not say, so all of it.
    const Assignment* owned = nullptr;
    /// Nobody owns it. Asked only for partitions that are not the member's own.
    std::function<bool(const PartitionKey&)> is_free;
};

/// The member's progress after this step; equal to `progress` when there is none to make.
///
///   unrevoked, and still owns what it is to give back: stays as it is
///   has what is not in the target, and owns it: gives it back at its old epoch (unrevoked)
///   else: at the target's epoch, with those of its partitions that are free; unreleased when some
///   are not, stable when it has all
MemberProgress reconcile(const ReconcileInput& input);

} // namespace qtool::group
