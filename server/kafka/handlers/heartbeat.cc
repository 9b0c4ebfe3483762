// Heartbeat (key 12): while its log is being read, the coordinator cannot know better than
// that the member is well: it says so, as Kafka does, rather than make it look for another one.
#include "lib/protocol/msg/heartbeat.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::HeartbeatRequest;
using protocol::HeartbeatResponse;

HeartbeatResponse make_error(const HeartbeatRequest& request, int16_t error_code) {
    static_cast<void>(request);
    constexpr auto kLoading =
        static_cast<int16_t>(protocol::KafkaError::coordinator_load_in_progress);
    HeartbeatResponse response;
    response.error_code = error_code == kLoading ? int16_t{0} : error_code;
    return response;
}

} // namespace

Outcome handle_heartbeat(const Context& context) {
    KAFKA_DECODE(HeartbeatRequest, request, context);
    const std::string_view group_id = request.group_id;
    return std::make_unique<CoordinatorCall<HeartbeatRequest, HeartbeatResponse>>(
        context, metadata::kGroupTopic, std::move(request), group_id, make_error);
}

} // namespace qtool::kafka
