// ConsumerGroupHeartbeat (key 68): handed to the coordinator of the group (KIP-848).
#include "lib/protocol/msg/consumer_group_heartbeat.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::ConsumerGroupHeartbeatRequest;
using protocol::ConsumerGroupHeartbeatResponse;

ConsumerGroupHeartbeatResponse make_error(const ConsumerGroupHeartbeatRequest& request,
                                          int16_t error_code) {
    static_cast<void>(request);
    ConsumerGroupHeartbeatResponse response;
    response.error_code = error_code;
    return response;
}

} // namespace

Outcome handle_consumer_group_heartbeat(const Context& context) {
    KAFKA_DECODE(ConsumerGroupHeartbeatRequest, request, context);
    const std::string_view group_id = request.group_id;
    return std::make_unique<
        CoordinatorCall<ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse>>(
        context, metadata::kGroupTopic, std::move(request), group_id, make_error);
}

} // namespace qtool::kafka
