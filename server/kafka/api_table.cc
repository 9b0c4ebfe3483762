#include "server/kafka/api_table.h"

#include "lib/protocol/msg/add_offsets_to_txn.h"
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/alter_client_quotas.h"
#include "lib/protocol/msg/alter_configs.h"
#include "lib/protocol/msg/alter_partition_reassignments.h"
#include "lib/protocol/msg/alter_replica_log_dirs.h"
#include "lib/protocol/msg/api_versions.h"
#include "lib/protocol/msg/consumer_group_describe.h"
#include "lib/protocol/msg/consumer_group_heartbeat.h"
#include "lib/protocol/msg/create_partitions.h"
#include "lib/protocol/msg/create_topics.h"
#include "lib/protocol/msg/delete_groups.h"
#include "lib/protocol/msg/delete_records.h"
#include "lib/protocol/msg/delete_topics.h"
#include "lib/protocol/msg/describe_client_quotas.h"
#include "lib/protocol/msg/describe_cluster.h"
#include "lib/protocol/msg/describe_configs.h"
#include "lib/protocol/msg/describe_groups.h"
#include "lib/protocol/msg/describe_log_dirs.h"
#include "lib/protocol/msg/describe_producers.h"
#include "lib/protocol/msg/describe_topic_partitions.h"
#include "lib/protocol/msg/describe_transactions.h"
#include "lib/protocol/msg/describe_user_scram_credentials.h"
#include "lib/protocol/msg/elect_leaders.h"
#include "lib/protocol/msg/end_txn.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/find_coordinator.h"
#include "lib/protocol/msg/heartbeat.h"
#include "lib/protocol/msg/incremental_alter_configs.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/join_group.h"
#include "lib/protocol/msg/leave_group.h"
#include "lib/protocol/msg/list_config_resources.h"
#include "lib/protocol/msg/list_groups.h"
#include "lib/protocol/msg/list_offsets.h"
#include "lib/protocol/msg/list_partition_reassignments.h"
#include "lib/protocol/msg/list_transactions.h"
#include "lib/protocol/msg/metadata.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_delete.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/offset_for_leader_epoch.h"
#include "lib/protocol/msg/produce.h"
#include "lib/protocol/msg/sync_group.h"
#include "lib/protocol/msg/txn_offset_commit.h"
#include "lib/protocol/msg/unregister_broker.h"
#include "lib/protocol/msg/write_txn_markers.h"
#include "server/kafka/handlers/handlers.h"

#include <algorithm>

namespace qtool::kafka {

namespace {

template <class Request>
constexpr ApiRow row(Handler handler) {
    return {Request::kApiKey, Request::kVersionMin, Request::kVersionMax, Request::kVersionMin,
            handler};
}

// librdkafka switches features off when the old Produce versions are missing from the list, so
// Produce is advertised from 0 though 0-2 are refused (SEMANTICS section 2; Kafka does the same).
constexpr ApiRow produce_row() {
    ApiRow produce = row<protocol::ProduceRequest>(handle_produce);
    produce.advertised_min = 0;
    return produce;
}

constexpr ApiRow kTable[] = {
    produce_row(),
    row<protocol::FetchRequest>(handle_fetch),
    row<protocol::ListOffsetsRequest>(handle_list_offsets),
    row<protocol::MetadataRequest>(handle_metadata),
    row<protocol::OffsetCommitRequest>(handle_offset_commit),
    row<protocol::OffsetFetchRequest>(handle_offset_fetch),
    row<protocol::FindCoordinatorRequest>(handle_find_coordinator),
    row<protocol::JoinGroupRequest>(handle_join_group),
    row<protocol::HeartbeatRequest>(handle_heartbeat),
    row<protocol::LeaveGroupRequest>(handle_leave_group),
    row<protocol::SyncGroupRequest>(handle_sync_group),
    row<protocol::DescribeGroupsRequest>(handle_describe_groups),
    row<protocol::ListGroupsRequest>(handle_list_groups),
    row<protocol::ApiVersionsRequest>(handle_api_versions),
    row<protocol::CreateTopicsRequest>(handle_create_topics),
    row<protocol::DeleteTopicsRequest>(handle_delete_topics),
    row<protocol::DeleteRecordsRequest>(handle_delete_records),
    row<protocol::InitProducerIdRequest>(handle_init_producer_id),
    row<protocol::OffsetForLeaderEpochRequest>(handle_offset_for_leader_epoch),
    row<protocol::AddPartitionsToTxnRequest>(handle_add_partitions_to_txn),
    row<protocol::AddOffsetsToTxnRequest>(handle_add_offsets_to_txn),
    row<protocol::EndTxnRequest>(handle_end_txn),
    row<protocol::WriteTxnMarkersRequest>(handle_write_txn_markers),
    row<protocol::TxnOffsetCommitRequest>(handle_txn_offset_commit),
    row<protocol::DescribeConfigsRequest>(handle_describe_configs),
    row<protocol::AlterConfigsRequest>(handle_alter_configs),
    row<protocol::AlterReplicaLogDirsRequest>(handle_alter_replica_log_dirs),
    row<protocol::DescribeLogDirsRequest>(handle_describe_log_dirs),
    row<protocol::CreatePartitionsRequest>(handle_create_partitions),
    row<protocol::DeleteGroupsRequest>(handle_delete_groups),
    row<protocol::ElectLeadersRequest>(handle_elect_leaders),
    row<protocol::IncrementalAlterConfigsRequest>(handle_incremental_alter_configs),
    row<protocol::AlterPartitionReassignmentsRequest>(handle_alter_partition_reassignments),
    row<protocol::ListPartitionReassignmentsRequest>(handle_list_partition_reassignments),
    row<protocol::OffsetDeleteRequest>(handle_offset_delete),
    row<protocol::DescribeClientQuotasRequest>(handle_describe_client_quotas),
    row<protocol::AlterClientQuotasRequest>(handle_alter_client_quotas),
    row<protocol::DescribeUserScramCredentialsRequest>(handle_describe_user_scram_credentials),
    row<protocol::DescribeClusterRequest>(handle_describe_cluster),
    row<protocol::DescribeProducersRequest>(handle_describe_producers),
    row<protocol::UnregisterBrokerRequest>(handle_unregister_broker),
    row<protocol::DescribeTransactionsRequest>(handle_describe_transactions),
    row<protocol::ListTransactionsRequest>(handle_list_transactions),
    row<protocol::ConsumerGroupHeartbeatRequest>(handle_consumer_group_heartbeat),
    row<protocol::ConsumerGroupDescribeRequest>(handle_consumer_group_describe),
    row<protocol::DescribeTopicPartitionsRequest>(handle_describe_topic_partitions),
    row<protocol::ListConfigResourcesRequest>(handle_list_config_resources),
};

} // namespace

std::span<const ApiRow> api_table() {
    return kTable;
}

const ApiRow* find_api(int16_t key) {
    const auto found = std::find_if(std::begin(kTable), std::end(kTable),
                                    [key](const ApiRow& r) { return r.key == key; });
    return found == std::end(kTable) ? nullptr : found;
}

std::string_view api_name(size_t key) {
    return find_api(static_cast<int16_t>(key)) == nullptr
               ? std::string_view()
               : protocol::api_name(static_cast<int16_t>(key));
}

} // namespace qtool::kafka
