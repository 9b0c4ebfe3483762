#include "lib/protocol/api.h"

#include <algorithm>

namespace qtool::protocol {

namespace {

// Source: Kafka 4.3.1, the versions its broker accepts. ApiVersions answers with header 0 at every
// version, so that a client which guessed too high can still read the answer (KIP-511).
constexpr ApiInfo kApis[] = {
    {ApiKey::produce, "Produce", 3, 13, 9, 9},
    {ApiKey::fetch, "Fetch", 4, 18, 12, 12},
    {ApiKey::list_offsets, "ListOffsets", 1, 11, 6, 6},
    {ApiKey::metadata, "Metadata", 0, 13, 9, 9},
    {ApiKey::offset_commit, "OffsetCommit", 2, 10, 8, 8},
    {ApiKey::offset_fetch, "OffsetFetch", 1, 10, 6, 6},
    {ApiKey::find_coordinator, "FindCoordinator", 0, 6, 3, 3},
    {ApiKey::join_group, "JoinGroup", 0, 9, 6, 6},
    {ApiKey::heartbeat, "Heartbeat", 0, 4, 4, 4},
    {ApiKey::leave_group, "LeaveGroup", 0, 5, 4, 4},
    {ApiKey::sync_group, "SyncGroup", 0, 5, 4, 4},
    {ApiKey::describe_groups, "DescribeGroups", 0, 6, 5, 5},
    {ApiKey::list_groups, "ListGroups", 0, 5, 3, 3},
    {ApiKey::sasl_handshake, "SaslHandshake", 0, 1, kVersionNever, kVersionNever},
    {ApiKey::api_versions, "ApiVersions", 0, 4, 3, kVersionNever},
    {ApiKey::create_topics, "CreateTopics", 2, 7, 5, 5},
    {ApiKey::delete_topics, "DeleteTopics", 1, 6, 4, 4},
    {ApiKey::delete_records, "DeleteRecords", 0, 2, 2, 2},
    {ApiKey::init_producer_id, "InitProducerId", 0, 5, 2, 2},
    {ApiKey::offset_for_leader_epoch, "OffsetForLeaderEpoch", 2, 4, 4, 4},
    {ApiKey::add_partitions_to_txn, "AddPartitionsToTxn", 0, 5, 3, 3},
    {ApiKey::add_offsets_to_txn, "AddOffsetsToTxn", 0, 4, 3, 3},
    {ApiKey::end_txn, "EndTxn", 0, 5, 3, 3},
    {ApiKey::write_txn_markers, "WriteTxnMarkers", 1, 2, 1, 1},
    {ApiKey::txn_offset_commit, "TxnOffsetCommit", 0, 5, 3, 3},
    {ApiKey::describe_acls, "DescribeAcls", 1, 3, 2, 2},
    {ApiKey::create_acls, "CreateAcls", 1, 3, 2, 2},
    {ApiKey::delete_acls, "DeleteAcls", 1, 3, 2, 2},
    {ApiKey::describe_configs, "DescribeConfigs", 1, 4, 4, 4},
    {ApiKey::alter_configs, "AlterConfigs", 0, 2, 2, 2},
    {ApiKey::alter_replica_log_dirs, "AlterReplicaLogDirs", 1, 2, 2, 2},
    {ApiKey::describe_log_dirs, "DescribeLogDirs", 1, 5, 2, 2},
    {ApiKey::sasl_authenticate, "SaslAuthenticate", 0, 2, 2, 2},
    {ApiKey::create_partitions, "CreatePartitions", 0, 3, 2, 2},
    {ApiKey::create_delegation_token, "CreateDelegationToken", 1, 3, 2, 2},
    {ApiKey::renew_delegation_token, "RenewDelegationToken", 1, 2, 2, 2},
    {ApiKey::expire_delegation_token, "ExpireDelegationToken", 1, 2, 2, 2},
    {ApiKey::describe_delegation_token, "DescribeDelegationToken", 1, 3, 2, 2},
    {ApiKey::delete_groups, "DeleteGroups", 0, 2, 2, 2},
    {ApiKey::elect_leaders, "ElectLeaders", 0, 2, 2, 2},
    {ApiKey::incremental_alter_configs, "IncrementalAlterConfigs", 0, 1, 1, 1},
    {ApiKey::alter_partition_reassignments, "AlterPartitionReassignments", 0, 1, 0, 0},
    {ApiKey::list_partition_reassignments, "ListPartitionReassignments", 0, 0, 0, 0},
    {ApiKey::offset_delete, "OffsetDelete", 0, 0, kVersionNever, kVersionNever},
    {ApiKey::describe_client_quotas, "DescribeClientQuotas", 0, 1, 1, 1},
    {ApiKey::alter_client_quotas, "AlterClientQuotas", 0, 1, 1, 1},
    {ApiKey::describe_user_scram_credentials, "DescribeUserScramCredentials", 0, 0, 0, 0},
    {ApiKey::alter_user_scram_credentials, "AlterUserScramCredentials", 0, 0, 0, 0},
    {ApiKey::vote, "Vote", 0, 2, 0, 0},
    {ApiKey::begin_quorum_epoch, "BeginQuorumEpoch", 0, 1, 1, 1},
    {ApiKey::end_quorum_epoch, "EndQuorumEpoch", 0, 1, 1, 1},
    {ApiKey::describe_quorum, "DescribeQuorum", 0, 2, 0, 0},
    {ApiKey::alter_partition, "AlterPartition", 2, 3, 2, 2},
    {ApiKey::update_features, "UpdateFeatures", 0, 2, 0, 0},
    {ApiKey::envelope, "Envelope", 0, 0, 0, 0},
    {ApiKey::fetch_snapshot, "FetchSnapshot", 0, 1, 0, 0},
    {ApiKey::describe_cluster, "DescribeCluster", 0, 2, 0, 0},
    {ApiKey::describe_producers, "DescribeProducers", 0, 0, 0, 0},
    {ApiKey::broker_registration, "BrokerRegistration", 0, 4, 0, 0},
    {ApiKey::broker_heartbeat, "BrokerHeartbeat", 0, 2, 0, 0},
    {ApiKey::unregister_broker, "UnregisterBroker", 0, 0, 0, 0},
    {ApiKey::describe_transactions, "DescribeTransactions", 0, 0, 0, 0},
    {ApiKey::list_transactions, "ListTransactions", 0, 2, 0, 0},
    {ApiKey::allocate_producer_ids, "AllocateProducerIds", 0, 0, 0, 0},
    {ApiKey::consumer_group_heartbeat, "ConsumerGroupHeartbeat", 0, 1, 0, 0},
    {ApiKey::consumer_group_describe, "ConsumerGroupDescribe", 0, 1, 0, 0},
    {ApiKey::controller_registration, "ControllerRegistration", 0, 0, 0, 0},
    {ApiKey::get_telemetry_subscriptions, "GetTelemetrySubscriptions", 0, 0, 0, 0},
    {ApiKey::push_telemetry, "PushTelemetry", 0, 0, 0, 0},
    {ApiKey::assign_replicas_to_dirs, "AssignReplicasToDirs", 0, 0, 0, 0},
    {ApiKey::list_config_resources, "ListConfigResources", 0, 1, 0, 0},
    {ApiKey::describe_topic_partitions, "DescribeTopicPartitions", 0, 0, 0, 0},
    {ApiKey::share_group_heartbeat, "ShareGroupHeartbeat", 1, 1, 1, 1},
    {ApiKey::share_group_describe, "ShareGroupDescribe", 1, 1, 1, 1},
    {ApiKey::share_fetch, "ShareFetch", 1, 2, 1, 1},
    {ApiKey::share_acknowledge, "ShareAcknowledge", 1, 2, 1, 1},
    {ApiKey::add_raft_voter, "AddRaftVoter", 0, 1, 0, 0},
    {ApiKey::remove_raft_voter, "RemoveRaftVoter", 0, 0, 0, 0},
    {ApiKey::update_raft_voter, "UpdateRaftVoter", 0, 0, 0, 0},
    {ApiKey::initialize_share_group_state, "InitializeShareGroupState", 0, 0, 0, 0},
    {ApiKey::read_share_group_state, "ReadShareGroupState", 0, 0, 0, 0},
    {ApiKey::write_share_group_state, "WriteShareGroupState", 0, 1, 0, 0},
    {ApiKey::delete_share_group_state, "DeleteShareGroupState", 0, 0, 0, 0},
    {ApiKey::read_share_group_state_summary, "ReadShareGroupStateSummary", 0, 1, 0, 0},
    {ApiKey::streams_group_heartbeat, "StreamsGroupHeartbeat", 0, 0, 0, 0},
    {ApiKey::streams_group_describe, "StreamsGroupDescribe", 0, 0, 0, 0},
    {ApiKey::describe_share_group_offsets, "DescribeShareGroupOffsets", 0, 1, 0, 0},
    {ApiKey::alter_share_group_offsets, "AlterShareGroupOffsets", 0, 0, 0, 0},
    {ApiKey::delete_share_group_offsets, "DeleteShareGroupOffsets", 0, 0, 0, 0},
};

constexpr bool is_ascending() {
    for (size_t i = 1; i < std::size(kApis); i++) {
        if (kApis[i - 1].key >= kApis[i].key) {
            return false;
        }
    }
    return static_cast<size_t>(kApis[std::size(kApis) - 1].key) + 1 == kApiKeyEnd;
}
static_assert(is_ascending());

} // namespace

std::span<const ApiInfo> all_apis() noexcept {
    return kApis;
}

const ApiInfo* find_api_info(int16_t key) noexcept {
    const auto* const found = std::lower_bound(
        std::begin(kApis), std::end(kApis), key,
        [](const ApiInfo& api, int16_t k) { return static_cast<int16_t>(api.key) < k; });
    return found != std::end(kApis) && static_cast<int16_t>(found->key) == key ? found : nullptr;
}

std::string_view api_name(int16_t key) noexcept {
    const ApiInfo* const api = find_api_info(key);
    return api != nullptr ? api->name : std::string_view();
}

} // namespace qtool::protocol
