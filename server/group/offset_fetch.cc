// OffsetFetch (key 9): committed offsets. One group at the top level up to version 7, a list of
// groups from 8 on; topics by id from 10 on.
#include "lib/protocol/msg/offset_fetch.h"

#include "lib/base/assert.h"
#include "server/group/requests.h"

namespace qtool::group {

namespace {

using coordinator::Host;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;

constexpr int16_t kTopLevelErrorFrom = 2;
constexpr int16_t kGroupsFrom = 8;
constexpr int16_t kTopicIdFrom = 10;

// What one partition is answered. Views into the store.
struct Fetched {
    int64_t offset = -1;
    int32_t leader_epoch = -1;
    std::string_view metadata = {};
    KafkaError error = KafkaError::none;
};

class Reader {
public:
    Reader(const ShardState& state, const Host& host, std::string_view group_id,
           bool require_stable)
        : state_(state),
          host_(host),
          group_id_(group_id),
          require_stable_(require_stable) {}

    // Offsets of a topic that was made again under the same name belong to the one before.
    [[nodiscard]] Fetched fetch(std::string_view topic, int32_t partition) const {
        if (require_stable_ && state_.offsets.has_pending(group_id_, topic, partition)) {
            return {.error = KafkaError::unstable_offset_commit};
        }
        const CommittedOffset* committed = state_.offsets.find(group_id_, topic, partition);
        if (committed == nullptr || is_of_former_topic(topic, *committed)) {
            return {};
        }
        return {committed->offset, committed->leader_epoch, committed->metadata};
    }
    // All committed and, when stability matters, all pending partitions, by topic.
    [[nodiscard]] std::map<std::string_view, std::set<int32_t>> all() const {
        std::map<std::string_view, std::set<int32_t>> topics;
        if (const TopicOffsets* known = state_.offsets.find_group(group_id_); known != nullptr) {
            for (const auto& [topic, partitions] : *known) {
                for (const auto& [partition, offset] : partitions) {
                    if (!is_of_former_topic(topic, offset)) {
                        topics[topic].insert(partition);
                    }
                }
            }
        }
        const auto open = state_.offsets.open().find(group_id_);
        if (require_stable_ && open != state_.offsets.open().end()) {
            for (const auto& [topic, partitions] : open->second) {
                for (const auto& [partition, producers] : partitions) {
                    topics[topic].insert(partition);
                }
            }
        }
        return topics;
    }

private:
    [[nodiscard]] bool is_of_former_topic(std::string_view topic,
                                          const CommittedOffset& offset) const {
        const metadata::TopicImage* image = host_.image().topic(topic);
        return image != nullptr && !offset.topic_id.is_zero() && offset.topic_id != image->id;
    }

    const ShardState& state_;
    const Host& host_;
    std::string_view group_id_;
    bool require_stable_;
};

template <class PartitionOut>
void put(PartitionOut& out, int32_t partition, const Fetched& fetched) {
    out.partition_index = partition;
    out.committed_offset = fetched.offset;
    out.committed_leader_epoch = fetched.leader_epoch;
    out.metadata = fetched.metadata;
    out.error_code = static_cast<int16_t>(fetched.error);
}

KafkaError check_group(ShardState& state, std::string_view group_id,
                       const std::optional<std::string_view>& member_id, int32_t member_epoch) {
    const Group* group = state.find(group_id);
    return group == nullptr ? KafkaError::none : group->check_fetch(member_id, member_epoch);
}

void serve_one(ShardState& state, const OffsetFetchRequest& request, int16_t version,
               const Host& host, OffsetFetchResponse& response) {
    const Reader reader(state, host, request.group_id, request.require_stable);
    const KafkaError error = check_group(state, request.group_id, std::nullopt, -1);
    if (error != KafkaError::none && version >= kTopLevelErrorFrom) {
        response.error_code = static_cast<int16_t>(error);
        return;
    }
    const auto add = [&](OffsetFetchResponse::OffsetFetchResponseTopic& topic, int32_t partition) {
        put(topic.partitions.emplace_back(), partition,
            error == KafkaError::none ? reader.fetch(topic.name, partition)
                                      : Fetched{.error = error});
    };
    if (!request.topics) {
        for (const auto& [name, partitions] : reader.all()) {
            auto& topic = response.topics.emplace_back();
            topic.name = name;
            for (const int32_t partition : partitions) {
                add(topic, partition);
            }
        }
        return;
    }
    for (const auto& asked : *request.topics) {
        auto& topic = response.topics.emplace_back();
        topic.name = asked.name;
        for (const int32_t partition : asked.partition_indexes) {
            add(topic, partition);
        }
    }
}

void serve_group(ShardState& state, const OffsetFetchRequest::OffsetFetchRequestGroup& asked,
                 bool require_stable, bool by_id, const Host& host,
                 OffsetFetchResponse::OffsetFetchResponseGroup& out) {
    out.group_id = asked.group_id;
    const KafkaError error =
        check_group(state, asked.group_id, asked.member_id, asked.member_epoch);
    if (error != KafkaError::none) {
        out.error_code = static_cast<int16_t>(error);
        return;
    }
    const Reader reader(state, host, asked.group_id, require_stable);
    if (!asked.topics) {
        for (const auto& [name, partitions] : reader.all()) {
            const metadata::TopicImage* image = host.image().topic(name);
            if (by_id && image == nullptr) {
                continue; // it has no id by which it could be named
            }
            auto& topic = out.topics.emplace_back();
            topic.name = name;
            topic.topic_id = image == nullptr ? TopicId() : image->id;
            for (const int32_t partition : partitions) {
                put(topic.partitions.emplace_back(), partition, reader.fetch(name, partition));
            }
        }
        return;
    }
    for (const auto& asked_topic : *asked.topics) {
        const metadata::TopicImage* image =
            by_id ? host.image().topic(asked_topic.topic_id) : nullptr;
        const bool is_unknown_id = by_id && image == nullptr;
        auto& topic = out.topics.emplace_back();
        topic.name = by_id && image != nullptr ? std::string_view(image->name) : asked_topic.name;
        topic.topic_id = asked_topic.topic_id;
        for (const int32_t partition : asked_topic.partition_indexes) {
            put(topic.partitions.emplace_back(), partition,
                is_unknown_id ? Fetched{.error = KafkaError::unknown_topic_id}
                              : reader.fetch(topic.name, partition));
        }
    }
}

} // namespace

void serve_offset_fetch(ShardState& state, const coordinator::Request& from, Host& host) {
    const auto request = OffsetFetchRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    OffsetFetchResponse response;
    if (from.api_version < kGroupsFrom) {
        serve_one(state, *request, from.api_version, host, response);
    } else {
        for (const auto& group : request->groups) {
            serve_group(state, group, request->require_stable, from.api_version >= kTopicIdFrom,
                        host, response.groups.emplace_back());
        }
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
