#include "server/group/offset_expiry.h"

#include "lib/protocol/msg/offset_commit_record.h"
#include "server/group/replay.h"

#include <algorithm>

namespace qtool::group {

namespace {

using coordinator::Host;
using coordinator::NewRecord;
using protocol::OffsetCommitKey;

bool is_expired(const CommittedOffset& offset, const ExpiryRule& rule, int64_t retention_ms,
                int64_t now_ms) {
    if (offset.expire_ms >= 0) {
        return now_ms >= offset.expire_ms;
    }
    const int64_t since_ms =
        rule.since == ExpiryRule::Since::group_empty ? rule.group_empty_ms : offset.commit_ms;
    return now_ms - since_ms >= retention_ms;
}

// The expired offsets of one group. Returns whether none is left, pending ones included.
bool add_expired(const ShardState& state, const Group& group, int64_t retention_ms, int64_t now_ms,
                 std::vector<NewRecord>& tombstones, uint64_t& expired) {
    bool is_none_left = !state.offsets.has_pending(group.id());
    const TopicOffsets* topics = state.offsets.find_group(group.id());
    if (topics == nullptr) {
        return is_none_left;
    }
    const auto rule = group.expiry_rule();
    if (!rule) {
        return false;
    }
    for (const auto& [topic, partitions] : *topics) {
        const bool is_spared = rule->spares_subscribed && group.is_subscribed(topic);
        for (const auto& [partition, offset] : partitions) {
            if (!is_spared && is_expired(offset, *rule, retention_ms, now_ms) &&
                !state.offsets.has_pending(group.id(), topic, partition)) {
                tombstones.push_back(make_tombstone(OffsetCommitKey{group.id(), topic, partition}));
                expired++;
            } else {
                is_none_left = false;
            }
        }
    }
    return is_none_left;
}

bool is_gone(const metadata::Image& image, std::string_view topic, const TopicId& topic_id) {
    const metadata::TopicImage* known = image.topic(topic);
    return known == nullptr || (!topic_id.is_zero() && known->id != topic_id);
}

} // namespace

// What an append could not write is found again at the next check.
void expire_offsets(ShardState& state, Host& host) {
    const auto now_ms = host.wall_now_ms();
    const int64_t retention_ms =
        static_cast<int64_t>(host.config().offsets_retention_minutes) * 60 * 1000;
    std::vector<NewRecord> tombstones;
    uint64_t expired = 0;
    for (const auto& [id, group] : state.groups) {
        if (add_expired(state, *group, retention_ms, now_ms, tombstones, expired) &&
            group->is_empty()) {
            group->add_tombstones(tombstones);
        }
    }
    if (append_in_batches(std::move(tombstones), host)) {
        state.counts.offsets_expired += expired;
    }
}

void schedule_offset_expiry(ShardState& state, Host& host) {
    state.timers.set({.kind = TimerKind::offset_expiry},
                     host.now() + clamped_ms(host.config().offsets_retention_check_interval_ms));
}

void add_offset_tombstones(const ShardState& state, std::string_view group_id,
                           std::vector<NewRecord>& tombstones) {
    if (const TopicOffsets* topics = state.offsets.find_group(group_id); topics != nullptr) {
        for (const auto& [topic, partitions] : *topics) {
            for (const auto& [partition, offset] : partitions) {
                tombstones.push_back(make_tombstone(OffsetCommitKey{group_id, topic, partition}));
            }
        }
    }
    const auto open = state.offsets.open().find(group_id);
    if (open == state.offsets.open().end()) {
        return;
    }
    for (const auto& [topic, partitions] : open->second) {
        for (const auto& [partition, producers] : partitions) {
            if (state.offsets.find(group_id, topic, partition) == nullptr) {
                tombstones.push_back(make_tombstone(OffsetCommitKey{group_id, topic, partition}));
            }
        }
    }
}

void drop_offsets_of_deleted_topics(ShardState& state, Host& host) {
    std::vector<NewRecord> tombstones;
    for (const auto& [group_id, topics] : state.offsets.groups()) {
        for (const auto& [topic, partitions] : topics) {
            for (const auto& [partition, offset] : partitions) {
                if (is_gone(host.image(), topic, offset.topic_id)) {
                    tombstones.push_back(
                        make_tombstone(OffsetCommitKey{group_id, topic, partition}));
                }
            }
        }
    }
    for (const auto& [group_id, topics] : state.offsets.open()) {
        for (const auto& [topic, partitions] : topics) {
            for (const auto& [partition, producers] : partitions) {
                if (is_gone(host.image(), topic, TopicId()) &&
                    state.offsets.find(group_id, topic, partition) == nullptr) {
                    tombstones.push_back(
                        make_tombstone(OffsetCommitKey{group_id, topic, partition}));
                }
            }
        }
    }
    // What fails is found again when the next topic comes or goes, or the shard is loaded.
    static_cast<void>(append_in_batches(std::move(tombstones), host));
}

} // namespace qtool::group
