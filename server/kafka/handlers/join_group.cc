// JoinGroup (key 11): the group's coordinator decides; the answer may wait for other members.
#include "lib/protocol/msg/join_group.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::JoinGroupRequest;
using protocol::JoinGroupResponse;

JoinGroupResponse make_error(const JoinGroupRequest& request, int16_t error_code) {
    JoinGroupResponse response;
    response.error_code = error_code;
    response.member_id = request.member_id;
    return response;
}

} // namespace

Outcome handle_join_group(const Context& context) {
    KAFKA_DECODE(JoinGroupRequest, request, context);
    const std::string_view group_id = request.group_id;
    return std::make_unique<CoordinatorCall<JoinGroupRequest, JoinGroupResponse>>(
        context, metadata::kGroupTopic, std::move(request), group_id, make_error);
}

} // namespace qtool::kafka
