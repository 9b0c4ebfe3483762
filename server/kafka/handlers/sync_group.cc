// SyncGroup (key 14): the group's coordinator answers with the member's assignment.
#include "lib/protocol/msg/sync_group.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::SyncGroupRequest;
using protocol::SyncGroupResponse;

SyncGroupResponse make_error(const SyncGroupRequest& request, int16_t error_code) {
    static_cast<void>(request);
    SyncGroupResponse response;
    response.error_code = error_code;
    return response;
}

} // namespace

Outcome handle_sync_group(const Context& context) {
    KAFKA_DECODE(SyncGroupRequest, request, context);
    const std::string_view group_id = request.group_id;
    return std::make_unique<CoordinatorCall<SyncGroupRequest, SyncGroupResponse>>(
        context, metadata::kGroupTopic, std::move(request), group_id, make_error);
}

} // namespace qtool::kafka
