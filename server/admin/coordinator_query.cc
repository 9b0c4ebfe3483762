#include "server/admin/coordinator_query.h"

namespace qtool::admin {

Error coordinator_answer_error(int16_t error_code, std::string_view what) {
    using enum protocol::KafkaError;
    const protocol::KafkaError error = protocol::kafka_error_of(error_code);
    const auto code = [&] {
        switch (error) {
        case group_id_not_found:
        case transactional_id_not_found:
            return Code::resource_not_found;
        case unknown_topic_or_partition:
        case unknown_topic_id:
            return Code::unknown_partition;
        case coordinator_load_in_progress:
            return Code::coordinator_loading;
        case coordinator_not_available:
            return Code::coordinator_not_available;
        case protocol::KafkaError::not_coordinator:
            return Code::not_coordinator;
        case group_authorization_failed:
        case topic_authorization_failed:
            return Code::not_authorized;
        case invalid_group_id:
            return Code::invalid_argument;
        case unknown_server_error:
            return Code::internal;
        default: // what the state of the group or transaction does not allow now
            return Code::invalid_request;
        }
    }();
    std::string detail(what);
    detail.append(": ").append(protocol::describe(error));
    detail.append(" (").append(protocol::to_string(error)).append(")");
    return {code, std::move(detail)};
}

bool is_coordinator_away(int16_t error_code) {
    using enum protocol::KafkaError;
    const protocol::KafkaError error = protocol::kafka_error_of(error_code);
    return error == coordinator_load_in_progress || error == coordinator_not_available ||
           error == not_coordinator;
}

} // namespace qtool::admin
