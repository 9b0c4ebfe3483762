// Codes in HTTP: status and error body.
#include "lib/admin/codec.h"

#include <algorithm>

namespace qtool::admin {

ErrorBody make_error_body(const Error& error) {
    ErrorBody body;
    body.code = error.code;
    body.message = to_string(error.code);
    std::replace(body.message.begin(), body.message.end(), '_', ' ');
    body.detail = error.detail;
    return body;
}

std::string encode_error(const Error& error) {
    return encode(make_error_body(error));
}

std::optional<Code> parse_code(std::string_view name) {
    for (int i = 0; i <= static_cast<int>(Code::internal); i++) { // internal is the last one
        const auto code = static_cast<Code>(i);
        if (to_string(code) == name) {
            return code;
        }
    }
    return std::nullopt;
}

int http_status(Code code) noexcept {
    switch (code) {
    case Code::truncated:
    case Code::malformed:
    case Code::corrupt:
    case Code::unsupported_version:
    case Code::unsupported_compression:
    case Code::invalid_argument:
    case Code::invalid_request:
    case Code::invalid_topic_name:
    case Code::invalid_config:
    case Code::invalid_partitions:
    case Code::invalid_replication_factor:
    case Code::invalid_replica_assignment:
    case Code::invalid_required_acks:
    case Code::invalid_timestamp:
    case Code::invalid_record:
    case Code::invalid_update_version:
    case Code::policy_violation:
    case Code::offset_out_of_range:
    case Code::fetch_session_not_found:
    case Code::invalid_fetch_session_epoch:
    case Code::fetch_session_topic_id:
        return 400;
    case Code::not_authorized:
    case Code::feature_disabled:
        return 403;
    case Code::unknown_topic:
    case Code::unknown_topic_id:
    case Code::unknown_partition:
    case Code::resource_not_found:
        return 404;
    case Code::inconsistent_topic_id:
    case Code::topic_exists:
    case Code::out_of_order_sequence:
    case Code::invalid_producer_epoch:
    case Code::invalid_txn_state:
    case Code::fenced_leader_epoch:
    case Code::unknown_leader_epoch:
    case Code::store_conflict:
        return 409;
    case Code::too_large:
    case Code::message_too_large:
    case Code::record_list_too_large:
        return 413;
    case Code::cancelled:
    case Code::internal:
    case Code::storage_io:
    case Code::storage_damaged:
    case Code::storage_locked:
        return 500;
    case Code::offset_not_available:
    case Code::coordinator_loading:
    case Code::coordinator_not_available:
    case Code::not_coordinator:
    case Code::coordinator_fenced:
    case Code::not_leader:
    case Code::not_enough_replicas:
    case Code::not_enough_replicas_after_append:
    case Code::storage_offline:
    case Code::store_unavailable:
    case Code::shutting_down:
    case Code::overloaded:
    case Code::connection_failed:
    case Code::connection_refused:
    case Code::no_broker:
        return 503;
    case Code::timed_out:
        return 504;
    case Code::storage_full:
        return 507;
    }
    return 500;
}

} // namespace qtool::admin
