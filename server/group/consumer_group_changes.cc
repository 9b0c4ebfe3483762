#include "server/group/consumer_group_changes.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/group/consumer_group_migration.h"
#include "server/group/consumer_group_reconcile.h"
#include "server/group/consumer_group_records.h"
#include "server/group/consumer_group_settings.h"
#include "server/group/consumer_group_target.h"

#include <algorithm>
#include <array>

namespace qtool::group {
namespace {

using coordinator::Host;
using coordinator::NewBatch;
using coordinator::NewRecord;

// The hash with the names the member is about to add, so that its join is one step of the epoch and
// not two. What it no longer names shows at the next look.
int64_t hash_with(const ConsumerGroup* group, const MemberMetadata& metadata, Host& host) {
    std::set<std::string, std::less<>> topics;
    if (group != nullptr) {
        const bool adds_nothing = std::all_of(
            metadata.topic_names.begin(), metadata.topic_names.end(),
            [&](const std::string& name) { return group->subscribed_names().contains(name); });
        if (adds_nothing) {
            return group->metadata_hash();
        }
        topics = group->subscribed_topics();
    }
    topics.insert(metadata.topic_names.begin(), metadata.topic_names.end());
    return topics_hash(topics, host.image());
}

bool differs_in_subscription(const MemberMetadata& a, const MemberMetadata& b) {
    return a.topic_names != b.topic_names || a.topic_regex != b.topic_regex ||
           a.assignor != b.assignor || a.rack_id != b.rack_id;
}

// The session or the revocation ran out.
void expire_member(ShardState& state, ConsumerGroup& group, const std::string& member_id,
                   const char* why, Host& host) {
    log_line(LogLevel::info, "group_member_fenced",
             {{"group", group.id()}, {"member", member_id}, {"why", why}});
    const TimerKey retry{group.id(), TimerKind::consumer_session, member_id};
    if (const Result<void> removed = remove_consumer_member(state, group, member_id, host);
        !removed) {
        // The log takes no records now. The member stays until it does.
        state.timers.set(retry, host.now() + std::chrono::seconds(1));
    }
}

} // namespace

ConsumerGroup* find_consumer_group(ShardState& state, std::string_view group_id) {
    Group* group = state.find(group_id);
    return group == nullptr || group->kind() != GroupKind::consumer
               ? nullptr
               : static_cast<ConsumerGroup*>(group);
}

Result<bool> write_member(ShardState& state, std::string_view group_id, std::string_view member_id,
                          const MemberMetadata& metadata, Host& host) {
    const ConsumerGroup* group = find_consumer_group(state, group_id);
    const ConsumerMember* member = group == nullptr ? nullptr : group->member(member_id);
    if (member != nullptr && member->metadata == metadata) {
        return false;
    }
    const bool is_new_subscription =
        member == nullptr || differs_in_subscription(member->metadata, metadata);
    NewBatch batch;
    batch.records.push_back(member_record(group_id, member_id, metadata));
    if (is_new_subscription) {
        const int32_t epoch = group == nullptr ? 0 : group->epoch();
        batch.records.push_back(
            group_record(group_id, epoch + 1, hash_with(group, metadata, host)));
    }
    QT_TRY(host.append(batch));
    return is_new_subscription;
}

Result<void> refresh(ShardState& state, ConsumerGroup& group, Host& host) {
    QT_TRY(refresh_regexes(state, group, host));
    QT_TRY(refresh_topics(group, host));
    return refresh_target(state, group, host);
}

Result<bool> reconcile_member(ShardState& state, ConsumerGroup& group, std::string_view member_id,
                              const Assignment* owned, Host& host) {
    const ConsumerMember* member = group.member(member_id);
    QT_ASSERT(member != nullptr);
    const ReconcileInput input{member->progress, group.target_epoch(), group.target(member_id),
                               owned, [&](const PartitionKey& partition) {
                                   const std::string* owner = group.owner(partition);
                                   return owner == nullptr || *owner == member_id;
                               }};
    const MemberProgress after = reconcile(input);
    if (after == member->progress) {
        return false;
    }
    const bool has_changed = plain(after.assigned) != plain(member->progress.assigned);
    const TimerKey timer{group.id(), TimerKind::consumer_revocation, member->id};
    const Duration timeout = clamped_ms(member->metadata.rebalance_timeout_ms);
    QT_TRY(write_progress(group, member_id, after, host));
    if (after.state == MemberState::unrevoked) {
        state.timers.set(timer, host.now() + timeout);
    } else {
        state.timers.cancel(timer);
    }
    return has_changed;
}

Result<void> write_progress(const ConsumerGroup& group, std::string_view member_id,
                            const MemberProgress& progress, Host& host) {
    NewBatch batch;
    batch.records.push_back(progress_record(group.id(), member_id, progress));
    return host.append(batch);
}

Result<void> replace_static_member(ShardState& state, const ConsumerGroup& group,
                                   std::string old_id, std::string_view member_id, Host& host) {
    const ConsumerMember& old = *group.member(old_id);
    MemberProgress progress = old.progress;
    progress.epoch = kEpochJoin;
    progress.previous_epoch = kEpochJoin;
    NewBatch batch;
    add_member_tombstones(group.id(), old_id, batch.records);
    batch.records.push_back(member_record(group.id(), member_id, old.metadata));
    batch.records.push_back(target_record(group.id(), member_id, group.target(old_id)));
    batch.records.push_back(progress_record(group.id(), member_id, progress));
    QT_TRY(host.append(batch));
    state.timers.cancel({group.id(), TimerKind::consumer_session, old_id});
    state.timers.cancel({group.id(), TimerKind::consumer_revocation, old_id});
    return {};
}

Result<void> remove_consumer_member(ShardState& state, ConsumerGroup& group, std::string member_id,
                                    Host& host) {
    NewBatch batch;
    add_member_tombstones(group.id(), member_id, batch.records);
    batch.records.push_back(group_record(group.id(), group.epoch() + 1, group.metadata_hash()));
    QT_TRY(host.append(batch));
    const std::string group_id = group.id();
    for (const TimerKind kind : {TimerKind::consumer_session, TimerKind::consumer_revocation,
                                 TimerKind::consumer_join, TimerKind::consumer_sync}) {
        state.timers.cancel({group_id, kind, member_id});
    }
    QT_TRY_ASSIGN(const bool is_classic, downgrade_if_due(state, group_id, host));
    return is_classic ? Result<void>() : refresh(state, group, host);
}

void renew_consumer_session(ShardState& state, const ConsumerGroup& group,
                            const ConsumerMember& member, Host& host) {
    const Duration timeout = member.metadata.classic
                                 ? clamped_ms(member.metadata.classic->session_timeout_ms)
                                 : consumer_group_settings(host, group.id()).session_timeout;
    state.timers.set({group.id(), TimerKind::consumer_session, member.id}, host.now() + timeout);
}

void start_consumer_group(ShardState& state, ConsumerGroup& group, Host& host) {
    for (const auto& [id, member] : group.members()) {
        renew_consumer_session(state, group, member, host);
        if (member.progress.state == MemberState::unrevoked) {
            state.timers.set({group.id(), TimerKind::consumer_revocation, id},
                             host.now() + clamped_ms(member.metadata.rebalance_timeout_ms));
        }
    }
    // What changed while nobody coordinated; an append that fails now is made up for by heartbeats.
    static_cast<void>(refresh(state, group, host));
}

void on_consumer_timer(ShardState& state, const TimerKey& key, Host& host) {
    ConsumerGroup* group = find_consumer_group(state, key.group);
    if (group == nullptr) {
        return;
    }
    switch (key.kind) {
    case TimerKind::consumer_session:
        return expire_member(state, *group, key.member, "session timeout", host);
    case TimerKind::consumer_revocation:
        return expire_member(state, *group, key.member, "kept revoked partitions too long", host);
    case TimerKind::consumer_join:
        return expire_member(state, *group, key.member, "did not join again", host);
    case TimerKind::consumer_sync:
        return expire_member(state, *group, key.member, "did not sync", host);
    case TimerKind::consumer_target:
    case TimerKind::consumer_regex:
        // An append that fails is made up for by the next heartbeat.
        static_cast<void>(refresh(state, *group, host));
        return;
    case TimerKind::offset_expiry:
    case TimerKind::classic_session:
    case TimerKind::classic_join:
    case TimerKind::classic_sync:
        break;
    }
    QT_UNREACHABLE();
}

void on_topics_changed(ShardState& state, const metadata::Delta& delta, Host& host) {
    const bool came_or_went = !delta.topics_created.empty() || !delta.topics_deleted.empty();
    if (!came_or_went && delta.topics_changed.empty()) {
        return;
    }
    for (const auto& [id, entry] : state.groups) {
        if (entry->kind() != GroupKind::consumer) {
            continue;
        }
        auto& group = static_cast<ConsumerGroup&>(*entry);
        group.now.is_metadata_unsure = true;
        group.now.has_topics_changed = group.now.has_topics_changed || came_or_went;
        if (!group.is_empty()) { // an append that fails is made up for by the next heartbeat
            static_cast<void>(refresh(state, group, host));
        }
    }
}

} // namespace qtool::group
