#include "lib/base/error.h"

#include "lib/base/assert.h"

#include <cstring>

namespace qtool {

std::string_view to_string(Code code) noexcept {
    switch (code) {
    case Code::truncated:
        return "truncated";
    case Code::malformed:
        return "malformed";
    case Code::corrupt:
        return "corrupt";
    case Code::unsupported_version:
        return "unsupported_version";
    case Code::unsupported_compression:
        return "unsupported_compression";
    case Code::too_large:
        return "too_large";
    case Code::invalid_argument:
        return "invalid_argument";
    case Code::invalid_request:
        return "invalid_request";
    case Code::invalid_topic_name:
        return "invalid_topic_name";
    case Code::invalid_config:
        return "invalid_config";
    case Code::invalid_partitions:
        return "invalid_partitions";
    case Code::invalid_replication_factor:
        return "invalid_replication_factor";
    case Code::invalid_replica_assignment:
        return "invalid_replica_assignment";
    case Code::invalid_required_acks:
        return "invalid_required_acks";
    case Code::invalid_timestamp:
        return "invalid_timestamp";
    case Code::invalid_record:
        return "invalid_record";
    case Code::invalid_update_version:
        return "invalid_update_version";
    case Code::policy_violation:
        return "policy_violation";
    case Code::not_authorized:
        return "not_authorized";
    case Code::feature_disabled:
        return "feature_disabled";
    case Code::unknown_topic:
        return "unknown_topic";
    case Code::unknown_topic_id:
        return "unknown_topic_id";
    case Code::inconsistent_topic_id:
        return "inconsistent_topic_id";
    case Code::unknown_partition:
        return "unknown_partition";
    case Code::topic_exists:
        return "topic_exists";
    case Code::resource_not_found:
        return "resource_not_found";
    case Code::offset_out_of_range:
        return "offset_out_of_range";
    case Code::offset_not_available:
        return "offset_not_available";
    case Code::message_too_large:
        return "message_too_large";
    case Code::record_list_too_large:
        return "record_list_too_large";
    case Code::out_of_order_sequence:
        return "out_of_order_sequence";
    case Code::invalid_producer_epoch:
        return "invalid_producer_epoch";
    case Code::invalid_txn_state:
        return "invalid_txn_state";
    case Code::coordinator_loading:
        return "coordinator_loading";
    case Code::coordinator_not_available:
        return "coordinator_not_available";
    case Code::not_coordinator:
        return "not_coordinator";
    case Code::coordinator_fenced:
        return "coordinator_fenced";
    case Code::not_leader:
        return "not_leader";
    case Code::fenced_leader_epoch:
        return "fenced_leader_epoch";
    case Code::unknown_leader_epoch:
        return "unknown_leader_epoch";
    case Code::not_enough_replicas:
        return "not_enough_replicas";
    case Code::not_enough_replicas_after_append:
        return "not_enough_replicas_after_append";
    case Code::fetch_session_not_found:
        return "fetch_session_not_found";
    case Code::invalid_fetch_session_epoch:
        return "invalid_fetch_session_epoch";
    case Code::fetch_session_topic_id:
        return "fetch_session_topic_id";
    case Code::storage_io:
        return "storage_io";
    case Code::storage_full:
        return "storage_full";
    case Code::storage_offline:
        return "storage_offline";
    case Code::storage_locked:
        return "storage_locked";
    case Code::storage_damaged:
        return "storage_damaged";
    case Code::store_conflict:
        return "store_conflict";
    case Code::store_unavailable:
        return "store_unavailable";
    case Code::timed_out:
        return "timed_out";
    case Code::cancelled:
        return "cancelled";
    case Code::shutting_down:
        return "shutting_down";
    case Code::overloaded:
        return "overloaded";
    case Code::connection_failed:
        return "connection_failed";
    case Code::connection_refused:
        return "connection_refused";
    case Code::no_broker:
        return "no_broker";
    case Code::internal:
        return "internal";
    }
    QT_UNREACHABLE();
}

std::string to_string(const Error& error) {
    std::string text(to_string(error.code));
    if (!error.detail.empty()) {
        text += ": ";
        text += error.detail;
    }
    if (error.sys_errno != 0) {
        text += " (";
        text += std::strerror(error.sys_errno);
        text += ")";
    }
    return text;
}

} // namespace qtool
