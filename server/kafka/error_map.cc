#include "server/kafka/error_map.h"

#include "lib/base/assert.h"

namespace qtool::kafka {

protocol::KafkaError kafka_error(Code code) noexcept {
    using enum protocol::KafkaError;
    switch (code) {
    case Code::truncated:
        return corrupt_message;
    case Code::malformed:
        return invalid_request;
    case Code::corrupt:
        return corrupt_message;
    case Code::unsupported_version:
        return unsupported_version;
    case Code::unsupported_compression:
        return unsupported_compression_type;
    case Code::too_large:
        return message_too_large;
    case Code::invalid_argument:
        return invalid_request;
    case Code::invalid_request:
        return invalid_request;
    case Code::invalid_topic_name:
        return invalid_topic_exception;
    case Code::invalid_config:
        return invalid_config;
    case Code::invalid_partitions:
        return invalid_partitions;
    case Code::invalid_replication_factor:
        return invalid_replication_factor;
    case Code::invalid_replica_assignment:
        return invalid_replica_assignment;
    case Code::invalid_required_acks:
        return invalid_required_acks;
    case Code::invalid_timestamp:
        return invalid_timestamp;
    case Code::invalid_record:
        return invalid_record;
    case Code::invalid_update_version:
        return invalid_update_version;
    case Code::policy_violation:
        return policy_violation;
    case Code::not_authorized:
        return cluster_authorization_failed;
    case Code::feature_disabled:
        return topic_deletion_disabled;
    case Code::unknown_topic:
        return unknown_topic_or_partition;
    case Code::unknown_topic_id:
        return unknown_topic_id;
    case Code::inconsistent_topic_id:
        return inconsistent_topic_id;
    case Code::unknown_partition:
        return unknown_topic_or_partition;
    case Code::topic_exists:
        return topic_already_exists;
    case Code::resource_not_found:
        return resource_not_found;
    case Code::offset_out_of_range:
        return offset_out_of_range;
    case Code::offset_not_available:
        return offset_not_available;
    case Code::message_too_large:
        return message_too_large;
    case Code::record_list_too_large:
        return record_list_too_large;
    case Code::out_of_order_sequence:
        return out_of_order_sequence_number;
    case Code::invalid_producer_epoch:
        return invalid_producer_epoch;
    case Code::invalid_txn_state:
        return invalid_txn_state;
    case Code::not_leader:
        return not_leader_or_follower;
    case Code::fenced_leader_epoch:
        return fenced_leader_epoch;
    case Code::unknown_leader_epoch:
        return unknown_leader_epoch;
    case Code::not_enough_replicas:
        return not_enough_replicas;
    case Code::not_enough_replicas_after_append:
        return not_enough_replicas_after_append;
    case Code::fetch_session_not_found:
        return fetch_session_id_not_found;
    case Code::invalid_fetch_session_epoch:
        return invalid_fetch_session_epoch;
    case Code::fetch_session_topic_id:
        return fetch_session_topic_id_error;
    case Code::storage_io:
        return kafka_storage_error;
    case Code::storage_full:
        return kafka_storage_error;
    case Code::storage_offline:
        return kafka_storage_error;
    case Code::storage_locked:
        return kafka_storage_error;
    case Code::storage_damaged:
        return kafka_storage_error;
    case Code::store_conflict:
        return request_timed_out;
    case Code::store_unavailable:
        return request_timed_out;
    case Code::timed_out:
        return request_timed_out;
    case Code::cancelled:
        return request_timed_out;
    case Code::shutting_down:
        return not_leader_or_follower;
    case Code::overloaded:
        return request_timed_out;
    case Code::connection_failed:
        return network_exception;
    case Code::no_broker:
        return broker_not_available;
    case Code::internal:
        return unknown_server_error;
    }
    QT_UNREACHABLE();
}

} // namespace qtool::kafka
