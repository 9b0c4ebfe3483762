#include "server/group/consumer_group_reconcile.h"

namespace qtool::group {
namespace {

bool owns_any(const Assignment* owned, const Assignment& partitions) {
    return owned == nullptr || overlaps(*owned, partitions);
}

// The partitions of `from` that are in `plain_part`, with their epochs.
EpochAssignment pick(const EpochAssignment& from, const Assignment& plain_part) {
    EpochAssignment picked;
    for_each_partition(plain_part, [&](const PartitionKey& key) {
        const int32_t partition = key.index.value();
        picked[key.topic_id][partition] = from.at(key.topic_id).at(partition);
    });
    return picked;
}

} // namespace

MemberProgress reconcile(const ReconcileInput& input) {
    const MemberProgress& before = input.progress;
    if (before.state == MemberState::unrevoked && owns_any(input.owned, plain(before.revoking))) {
        return before;
    }
    if (before.state == MemberState::stable && before.epoch == input.target_epoch) {
        return before;
    }
    const Assignment had = plain(before.assigned);
    const Assignment kept = intersection(had, input.target);
    const Assignment given_back = without(had, kept);
    MemberProgress after;
    after.assigned = pick(before.assigned, kept);
    if (!given_back.empty() && owns_any(input.owned, given_back)) {
        after.epoch = before.epoch;
        after.previous_epoch = before.previous_epoch;
        after.state = MemberState::unrevoked;
        after.revoking = pick(before.assigned, given_back);
        return after;
    }
    after.epoch = input.target_epoch;
    after.previous_epoch =
        before.epoch == input.target_epoch ? before.previous_epoch : before.epoch;
    bool has_all = true;
    for_each_partition(without(input.target, kept), [&](const PartitionKey& key) {
        // What the member is just giving back comes to it again at once, should the target say so.
        const auto topic = before.revoking.find(key.topic_id);
        const bool is_own =
            topic != before.revoking.end() && topic->second.contains(key.index.value());
        if (is_own || input.is_free(key)) {
            after.assigned[key.topic_id][key.index.value()] = input.target_epoch;
        } else {
            has_all = false;
        }
    });
    after.state = has_all ? MemberState::stable : MemberState::unreleased;
    return after;
}

} // namespace qtool::group
