// OffsetDelete (key 47): committed offsets go, unless a member still reads the topic.
#include "lib/protocol/msg/offset_delete.h"

#include "lib/base/assert.h"
#include "lib/protocol/msg/offset_commit_record.h"
#include "server/group/replay.h"
#include "server/group/requests.h"

namespace qtool::group {

using coordinator::Host;
using protocol::OffsetDeleteRequest;
using protocol::OffsetDeleteResponse;

void serve_offset_delete(ShardState& state, const coordinator::Request& from, Host& host) {
    const auto request = OffsetDeleteRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    const Group* group = state.find(request->group_id);
    OffsetDeleteResponse response;
    const KafkaError error = request->group_id.empty() ? KafkaError::invalid_group_id
                             : group == nullptr        ? KafkaError::group_id_not_found
                                                       : group->check_offset_delete();
    if (error != KafkaError::none) {
        response.error_code = static_cast<int16_t>(error);
        answer(response, from.id, from.api_version, host);
        return;
    }
    std::vector<coordinator::NewRecord> tombstones;
    for (const auto& topic : request->topics) {
        KafkaError topic_error = KafkaError::none;
        const metadata::TopicImage* const image = host.image().topic(topic.name);
        if (image == nullptr) {
            topic_error = KafkaError::unknown_topic_or_partition;
        } else if (group->is_subscribed(topic.name)) {
            topic_error = KafkaError::group_subscribed_to_topic;
        }
        auto& topic_out = response.topics.emplace_back();
        topic_out.name = topic.name;
        for (const auto& partition : topic.partitions) {
            const int32_t index = partition.partition_index;
            const bool exists = image != nullptr && index >= 0 &&
                                static_cast<size_t>(index) < image->partitions.size();
            const KafkaError partition_error =
                exists ? topic_error : KafkaError::unknown_topic_or_partition;
            topic_out.partitions.push_back({index, static_cast<int16_t>(partition_error)});
            if (partition_error == KafkaError::none &&
                (state.offsets.find(request->group_id, topic.name, partition.partition_index) !=
                     nullptr ||
                 state.offsets.has_pending(request->group_id, topic.name,
                                           partition.partition_index))) {
                tombstones.push_back(make_tombstone(protocol::OffsetCommitKey{
                    request->group_id, topic.name, partition.partition_index}));
            }
        }
    }
    if (const auto appended = append_in_batches(std::move(tombstones), host); !appended) {
        response.topics.clear();
        response.error_code = static_cast<int16_t>(append_error(appended.error().code));
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
