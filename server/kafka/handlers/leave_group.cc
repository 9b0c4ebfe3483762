// LeaveGroup (key 13): members leave their group.
#include "lib/protocol/msg/leave_group.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::LeaveGroupRequest;
using protocol::LeaveGroupResponse;

LeaveGroupResponse make_error(const LeaveGroupRequest& request, int16_t error_code) {
    static_cast<void>(request);
    LeaveGroupResponse response;
    response.error_code = error_code;
    return response;
}

} // namespace

Outcome handle_leave_group(const Context& context) {
    KAFKA_DECODE(LeaveGroupRequest, request, context);
    const std::string_view group_id = request.group_id;
    return std::make_unique<CoordinatorCall<LeaveGroupRequest, LeaveGroupResponse>>(
        context, metadata::kGroupTopic, std::move(request), group_id, make_error);
}

} // namespace qtool::kafka
