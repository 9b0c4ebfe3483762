// OffsetCommit (key 8), and the rules it shares with TxnOffsetCommit.
#include "server/group/offset_commit.h"

#include "lib/base/assert.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_commit_record.h"
#include "server/group/classic_group.h"
#include "server/group/classic_rebalance.h"
#include "server/group/limits.h"
#include "server/group/replay.h"
#include "server/group/requests.h"

#include <algorithm>

namespace qtool::group {

namespace {

using coordinator::Host;
using protocol::OffsetCommitRequest;
using protocol::OffsetCommitResponse;

constexpr int16_t kTopicIdFrom = 10;
constexpr int16_t kGroupIdNotFoundFrom = 9; // below, an unknown group is an old generation

// Versions of the record's value: an expiry of its own exists in 1 alone, the topic's id from 4 on.
constexpr int16_t kValueWithExpiry = 1;
constexpr int16_t kValueWithTopicId = 4;

KafkaError check_group(const ShardState& state, const Group* group, const Commit& commit) {
    if (group != nullptr) {
        return group->check_commit(commit.who);
    }
    if (commit.who.generation_or_epoch < 0) {
        return state.has_room() ? KafkaError::none : KafkaError::policy_violation;
    }
    return !commit.who.is_transactional && commit.who.api_version >= kGroupIdNotFoundFrom
               ? KafkaError::group_id_not_found
               : KafkaError::illegal_generation;
}

coordinator::NewRecord make_offset_record(const Commit& commit, const CommitItem& item,
                                          int64_t now_ms) {
    protocol::OffsetCommitKey key;
    key.group = commit.group_id;
    key.topic = item.topic;
    key.partition = item.partition;
    protocol::OffsetCommitValue value;
    value.offset = item.offset;
    value.leader_epoch = item.leader_epoch;
    value.metadata = item.metadata;
    value.commit_timestamp = now_ms;
    value.topic_id = item.topic_id;
    if (commit.retention_ms < 0) {
        return make_record(key, value, kValueWithTopicId);
    }
    // A retention of a hundred years is as good as any longer one, and does not overflow.
    const auto retention_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(clamped_ms(commit.retention_ms));
    value.expire_timestamp = now_ms + retention_ms.count();
    return make_record(key, value, kValueWithExpiry);
}

// A member that commits lives.
void renew_committer(ShardState& state, const Commit& commit, Host& host) {
    const ClassicGroup* group = state.find_classic(commit.group_id);
    if (group != nullptr && (group->state == ClassicState::stable ||
                             group->state == ClassicState::preparing_rebalance)) {
        if (const ClassicMember* member = group->find_member(commit.who.member_id);
            member != nullptr && !member->is_new) {
            renew_session(state, *group, *member, host);
        }
    }
}

// offset.metadata.max.bytes counts what Java calls characters: units of UTF-16.
size_t utf16_size(std::string_view text) {
    size_t size = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool continues = (byte & 0xc0) == 0x80;
        const bool is_beyond_bmp = byte >= 0xf0; // two units
        size += continues ? 0 : is_beyond_bmp ? 2 : 1;
    }
    return size;
}

// A partition that is not there is told so, whatever else is wrong: Kafka looks at topics first.
void fail(Commit& commit, KafkaError error) {
    for (CommitItem& item : commit.items) {
        if (item.error == KafkaError::none) {
            item.error = error;
        }
    }
}

} // namespace

void check_partition(CommitItem& item, const metadata::TopicImage* topic, KafkaError if_unknown) {
    if (topic == nullptr) {
        item.error = if_unknown;
    } else {
        item.topic = topic->name;
        item.topic_id = topic->id;
        if (item.partition < 0 || static_cast<size_t>(item.partition) >= topic->partitions.size()) {
            item.error = KafkaError::unknown_topic_or_partition;
        }
    }
}

void commit_offsets(ShardState& state, Commit& commit, Host& host) {
    std::vector<CommitPartition> partitions;
    partitions.reserve(commit.items.size());
    for (const CommitItem& item : commit.items) {
        if (item.error == KafkaError::none) {
            partitions.push_back({item.topic, item.topic_id, item.partition});
        }
    }
    commit.who.partitions = partitions;
    const Group* group = state.find(commit.group_id);
    if (const KafkaError error = check_group(state, group, commit); error != KafkaError::none) {
        fail(commit, error);
        return;
    }
    renew_committer(state, commit, host);

    const auto now_ms = host.wall_now_ms();
    const auto metadata_max = static_cast<size_t>(host.config().offset_metadata_bytes_max);
    coordinator::NewBatch batch;
    batch.producer_id = commit.producer_id;
    batch.producer_epoch = commit.producer_epoch;
    for (CommitItem& item : commit.items) {
        if (item.error != KafkaError::none) {
            continue;
        }
        if (utf16_size(item.metadata) > metadata_max) {
            item.error = KafkaError::offset_metadata_too_large;
        } else if (state.offsets.size() + batch.records.size() >= kOffsetsMax &&
                   state.offsets.find(commit.group_id, item.topic, item.partition) == nullptr) {
            item.error = KafkaError::policy_violation;
        } else {
            batch.records.push_back(make_offset_record(commit, item, now_ms));
        }
    }
    if (batch.records.empty()) {
        return;
    }
    if (const auto appended = host.append(batch); !appended) {
        const KafkaError error = append_error(appended.error().code);
        for (CommitItem& item : commit.items) {
            if (item.error == KafkaError::none) {
                item.error = error;
            }
        }
    }
}

void serve_offset_commit(ShardState& state, const coordinator::Request& from, Host& host) {
    const auto request = OffsetCommitRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    Commit commit;
    commit.group_id = request->group_id;
    commit.who.member_id = request->member_id;
    commit.who.instance_id = request->group_instance_id;
    commit.who.generation_or_epoch = request->generation_id_or_member_epoch;
    commit.who.api_version = from.api_version;
    commit.retention_ms = request->retention_time_ms;
    const bool by_id = from.api_version >= kTopicIdFrom;
    for (const auto& topic : request->topics) {
        const metadata::TopicImage* image =
            by_id ? host.image().topic(topic.topic_id) : host.image().topic(topic.name);
        for (const auto& partition : topic.partitions) {
            CommitItem& item = commit.items.emplace_back(make_item(topic.name, partition));
            check_partition(item, image,
                            by_id ? KafkaError::unknown_topic_id
                                  : KafkaError::unknown_topic_or_partition);
        }
    }
    commit_offsets(state, commit, host);

    OffsetCommitResponse response;
    auto item = commit.items.begin();
    for (const auto& topic : request->topics) {
        auto& topic_out = response.topics.emplace_back();
        topic_out.name = topic.name;
        topic_out.topic_id = topic.topic_id;
        for (const auto& partition : topic.partitions) {
            topic_out.partitions.push_back(
                {partition.partition_index, static_cast<int16_t>((item++)->error)});
        }
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
