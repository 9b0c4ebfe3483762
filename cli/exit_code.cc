#include "cli/exit_code.h"

namespace qtool::cli {

ExitCode exit_code(Code code) noexcept {
    switch (code) {
    case Code::invalid_argument: // only the command line makes these
        return ExitCode::usage;
    case Code::timed_out:
    case Code::connection_failed:
    case Code::connection_refused:
    case Code::no_broker:
        return ExitCode::unreachable;
    case Code::unknown_topic:
    case Code::unknown_topic_id:
    case Code::unknown_partition:
    case Code::resource_not_found:
        return ExitCode::does_not_exist;
    case Code::topic_exists:
        return ExitCode::exists_already;
    case Code::not_authorized:
    case Code::feature_disabled:
    case Code::policy_violation:
        return ExitCode::not_allowed;
    case Code::corrupt:
    case Code::storage_damaged:
        return ExitCode::data_damaged;
    case Code::truncated:
    case Code::malformed:
    case Code::unsupported_version:
    case Code::unsupported_compression:
    case Code::too_large:
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
    case Code::inconsistent_topic_id:
    case Code::offset_out_of_range:
    case Code::offset_not_available:
    case Code::message_too_large:
    case Code::record_list_too_large:
    case Code::out_of_order_sequence:
    case Code::invalid_producer_epoch:
    case Code::invalid_txn_state:
    case Code::coordinator_loading:
    case Code::coordinator_not_available:
    case Code::not_coordinator:
    case Code::coordinator_fenced:
    case Code::not_leader:
    case Code::fenced_leader_epoch:
    case Code::unknown_leader_epoch:
    case Code::not_enough_replicas:
    case Code::not_enough_replicas_after_append:
    case Code::fetch_session_not_found:
    case Code::invalid_fetch_session_epoch:
    case Code::fetch_session_topic_id:
    case Code::storage_io:
    case Code::storage_full:
    case Code::storage_offline:
    case Code::storage_locked:
    case Code::store_conflict:
    case Code::store_unavailable:
    case Code::cancelled:
    case Code::shutting_down:
    case Code::overloaded:
    case Code::internal:
        return ExitCode::failed;
    }
    return ExitCode::failed;
}

ExitCode combine(ExitCode a, ExitCode b) noexcept {
    return a == b ? a : ExitCode::failed;
}

void fold(std::optional<ExitCode>& all, ExitCode one) noexcept {
    all = all ? combine(*all, one) : one;
}

} // namespace qtool::cli
