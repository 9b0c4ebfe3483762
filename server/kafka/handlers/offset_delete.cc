// OffsetDelete (key 47): committed offsets are forgotten.
#include "lib/protocol/msg/offset_delete.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::OffsetDeleteRequest;
using protocol::OffsetDeleteResponse;

OffsetDeleteResponse make_error(const OffsetDeleteRequest& request, int16_t error_code) {
    static_cast<void>(request);
    OffsetDeleteResponse response;
    response.error_code = error_code;
    return response;
}

} // namespace

Outcome handle_offset_delete(const Context& context) {
    KAFKA_DECODE(OffsetDeleteRequest, request, context);
    const std::string_view group_id = request.group_id;
    return std::make_unique<CoordinatorCall<OffsetDeleteRequest, OffsetDeleteResponse>>(
        context, metadata::kGroupTopic, std::move(request), group_id, make_error);
}

} // namespace qtool::kafka
