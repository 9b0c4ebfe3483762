#include "server/kafka/handlers/coordinator_call.h"

namespace qtool::kafka {

int16_t coordinator_error(const Error& error) {
    switch (kafka_error(error.code)) {
        using enum protocol::KafkaError;
    case unknown_topic_or_partition:
    case unknown_topic_id:
    case request_timed_out:
    case not_enough_replicas:
    case not_enough_replicas_after_append:
        return static_cast<int16_t>(coordinator_not_available);
    case not_leader_or_follower:
    case kafka_storage_error:
        return static_cast<int16_t>(not_coordinator);
    case message_too_large:
    case record_list_too_large:
        return static_cast<int16_t>(unknown_server_error);
    default: // already what clients of coordinators know
        return error_code(error.code);
    }
}

std::string coordinator_client_host(const Context& context) {
    return "/" + context.peer.host;
}

} // namespace qtool::kafka
