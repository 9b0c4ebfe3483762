// ConsumerGroupDescribe (key 69): groups, their members, what these have and are to have.
#include "lib/protocol/msg/consumer_group_describe.h"

#include "lib/base/assert.h"
#include "server/group/consumer_group_changes.h"
#include "server/group/requests.h"

namespace qtool::group {
namespace {

using coordinator::Host;
using protocol::ConsumerGroupDescribeRequest;
using protocol::ConsumerGroupDescribeResponse;

// As members of the classic and of the consumer protocol are told apart (KIP-1099).
constexpr int8_t kTypeClassic = 0;
constexpr int8_t kTypeConsumer = 1;

// All operations on a group: nothing is forbidden here. Read, delete, describe, describe and alter
// configs, as the bits of Kafka's AclOperation.
constexpr int32_t kGroupOperations = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);

ConsumerGroupDescribeResponse::Assignment write_assignment(const Assignment& assignment,
                                                           const metadata::Image& image) {
    ConsumerGroupDescribeResponse::Assignment written;
    for (const auto& [id, partitions] : assignment) {
        if (const metadata::TopicImage* topic = image.topic(id); topic != nullptr) {
            auto& to = written.topic_partitions.emplace_back();
            to.topic_id = id;
            to.topic_name = topic->name;
            to.partitions = partitions;
        }
    }
    return written;
}

} // namespace

void serve_consumer_group_describe(ShardState& state, const coordinator::Request& from,
                                   Host& host) {
    const auto request = ConsumerGroupDescribeRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    ConsumerGroupDescribeResponse response;
    for (const std::string_view id : request->group_ids) {
        auto& out = response.groups.emplace_back();
        out.group_id = id;
        const ConsumerGroup* group = find_consumer_group(state, id);
        if (group == nullptr) {
            // The state stays empty: "Dead" is what classic describe calls such a group.
            out.error_code = static_cast<int16_t>(id.empty() ? KafkaError::invalid_group_id
                                                             : KafkaError::group_id_not_found);
            out.error_message = id.empty() ? "The name of the group is empty."
                                           : "There is no consumer group of this name.";
            continue;
        }
        out.group_state = group->state_name();
        out.group_epoch = group->epoch();
        out.assignment_epoch = group->target_epoch();
        out.assignor_name = group->assignor(host.config().consumer_groups.assignors.front());
        if (request->include_authorized_operations) {
            out.authorized_operations = kGroupOperations;
        }
        for (const auto& [member_id, member] : group->members()) {
            auto& to = out.members.emplace_back();
            to.member_id = member_id;
            to.instance_id = member.metadata.instance_id;
            to.rack_id = member.metadata.rack_id;
            to.member_epoch = member.progress.epoch;
            to.client_id = member.metadata.client_id;
            to.client_host = member.metadata.client_host;
            to.subscribed_topic_names.assign(member.metadata.topic_names.begin(),
                                             member.metadata.topic_names.end());
            to.subscribed_topic_regex = member.metadata.topic_regex; // "" for none, as in Kafka
            to.assignment = write_assignment(plain(member.progress.assigned), host.image());
            to.target_assignment = write_assignment(group->target(member_id), host.image());
            to.member_type = member.metadata.classic ? kTypeClassic : kTypeConsumer;
        }
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
