#include "lib/client/broker_error.h"

#include <string>

namespace qtool::client {

using protocol::KafkaError;

namespace {

Code code_of(KafkaError error) {
    // A client meets few of Kafka's codes; the name of any other stands in the detail.
    switch (error) {
    case KafkaError::offset_out_of_range:
        return Code::offset_out_of_range;
    case KafkaError::corrupt_message:
        return Code::corrupt;
    case KafkaError::unknown_topic_or_partition:
        return Code::unknown_topic;
    case KafkaError::unknown_topic_id:
        return Code::unknown_topic_id;
    case KafkaError::inconsistent_topic_id:
        return Code::inconsistent_topic_id;
    case KafkaError::leader_not_available:
    case KafkaError::not_leader_or_follower:
        return Code::not_leader;
    case KafkaError::fenced_leader_epoch:
        return Code::fenced_leader_epoch;
    case KafkaError::unknown_leader_epoch:
        return Code::unknown_leader_epoch;
    case KafkaError::request_timed_out:
        return Code::timed_out;
    case KafkaError::message_too_large:
        return Code::message_too_large;
    case KafkaError::record_list_too_large:
        return Code::record_list_too_large;
    case KafkaError::invalid_topic_exception:
        return Code::invalid_topic_name;
    case KafkaError::not_enough_replicas:
        return Code::not_enough_replicas;
    case KafkaError::not_enough_replicas_after_append:
        return Code::not_enough_replicas_after_append;
    case KafkaError::invalid_required_acks:
        return Code::invalid_required_acks;
    case KafkaError::topic_authorization_failed:
    case KafkaError::group_authorization_failed:
    case KafkaError::cluster_authorization_failed:
        return Code::not_authorized;
    case KafkaError::invalid_timestamp:
        return Code::invalid_timestamp;
    case KafkaError::unsupported_version:
    case KafkaError::unsupported_for_message_format:
        return Code::unsupported_version;
    case KafkaError::policy_violation:
        return Code::policy_violation;
    case KafkaError::out_of_order_sequence_number:
    case KafkaError::unknown_producer_id:
        return Code::out_of_order_sequence;
    case KafkaError::invalid_producer_epoch:
    case KafkaError::producer_fenced:
        return Code::invalid_producer_epoch;
    case KafkaError::kafka_storage_error:
        return Code::storage_damaged;
    case KafkaError::unsupported_compression_type:
        return Code::unsupported_compression;
    case KafkaError::invalid_record:
        return Code::invalid_record;
    case KafkaError::offset_not_available:
        return Code::offset_not_available;
    case KafkaError::invalid_request:
        return Code::invalid_request;
    case KafkaError::topic_already_exists:
        return Code::topic_exists;
    case KafkaError::invalid_partitions:
        return Code::invalid_partitions;
    case KafkaError::invalid_replication_factor:
        return Code::invalid_replication_factor;
    case KafkaError::invalid_config:
        return Code::invalid_config;
    case KafkaError::topic_deletion_disabled:
        return Code::feature_disabled;
    default:
        return Code::internal;
    }
}

} // namespace

Error error_of_broker(KafkaError error, std::string_view what) {
    std::string detail(what);
    detail += ": ";
    detail += to_string(error);
    detail += " (";
    detail += describe(error);
    detail += ')';
    return {code_of(error), std::move(detail)};
}

bool wants_metadata(KafkaError error) {
    switch (error) {
    case KafkaError::unknown_topic_or_partition:
    case KafkaError::unknown_topic_id:
    case KafkaError::inconsistent_topic_id:
    case KafkaError::leader_not_available:
    case KafkaError::not_leader_or_follower:
    case KafkaError::replica_not_available:
    case KafkaError::network_exception:
    case KafkaError::fenced_leader_epoch:
    case KafkaError::unknown_leader_epoch:
    case KafkaError::kafka_storage_error:
    case KafkaError::listener_not_found:
        return true;
    default:
        return false;
    }
}

bool is_refusal(KafkaError error) {
    // What a broker checks before it appends anything.
    switch (error) {
    case KafkaError::corrupt_message:
    case KafkaError::message_too_large:
    case KafkaError::invalid_topic_exception:
    case KafkaError::record_list_too_large:
    case KafkaError::not_enough_replicas:
    case KafkaError::invalid_required_acks:
    case KafkaError::topic_authorization_failed:
    case KafkaError::cluster_authorization_failed:
    case KafkaError::invalid_timestamp:
    case KafkaError::unsupported_version:
    case KafkaError::invalid_request:
    case KafkaError::unsupported_for_message_format:
    case KafkaError::policy_violation:
    case KafkaError::out_of_order_sequence_number:
    case KafkaError::invalid_producer_epoch:
    case KafkaError::unknown_producer_id:
    case KafkaError::unsupported_compression_type:
    case KafkaError::invalid_record:
    case KafkaError::producer_fenced:
        return true;
    default:
        return false;
    }
}

} // namespace qtool::client
