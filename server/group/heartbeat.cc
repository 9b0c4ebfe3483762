// Heartbeat (key 12): a member lives, and hears whether it has to join again.
#include "lib/protocol/msg/heartbeat.h"

#include "lib/base/assert.h"
#include "server/group/classic_rebalance.h"
#include "server/group/consumer_group_changes.h"
#include "server/group/consumer_group_classic.h"
#include "server/group/requests.h"

namespace qtool::group {

namespace {

using coordinator::Host;
using protocol::HeartbeatRequest;

KafkaError beat(ShardState& state, const HeartbeatRequest& request, Host& host) {
    if (request.group_id.empty()) {
        return KafkaError::invalid_group_id;
    }
    if (ConsumerGroup* consumers = find_consumer_group(state, request.group_id);
        consumers != nullptr) {
        return beat_consumer_group(state, *consumers, request, host);
    }
    ClassicGroup* group = state.find_classic(request.group_id);
    if (group == nullptr) {
        return KafkaError::unknown_member_id;
    }
    const KafkaError error = group->check_member(request.member_id, request.group_instance_id);
    if (error != KafkaError::none) {
        return error;
    }
    if (request.generation_id != group->generation) {
        return KafkaError::illegal_generation;
    }
    if (group->state == ClassicState::empty) {
        return KafkaError::unknown_member_id;
    }
    renew_session(state, *group, *group->find_member(request.member_id), host);
    return group->state == ClassicState::preparing_rebalance ? KafkaError::rebalance_in_progress
                                                             : KafkaError::none;
}

} // namespace

void serve_heartbeat(ShardState& state, const coordinator::Request& from, Host& host) {
    const auto request = HeartbeatRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    protocol::HeartbeatResponse response;
    response.error_code = static_cast<int16_t>(beat(state, *request, host));
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
