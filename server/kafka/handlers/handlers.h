// Every handler, one function an API, one file each beside this one. Listed by api_table.cc.
#pragma once

#include "server/kafka/context.h"

namespace qtool::kafka {

Outcome handle_produce(const Context& context);
Outcome handle_fetch(const Context& context);
Outcome handle_list_offsets(const Context& context);
Outcome handle_metadata(const Context& context);
Outcome handle_api_versions(const Context& context);
Outcome handle_find_coordinator(const Context& context);
Outcome handle_create_topics(const Context& context);
Outcome handle_delete_topics(const Context& context);
Outcome handle_delete_records(const Context& context);
Outcome handle_init_producer_id(const Context& context);
Outcome handle_add_partitions_to_txn(const Context& context);
Outcome handle_add_offsets_to_txn(const Context& context);
Outcome handle_end_txn(const Context& context);
Outcome handle_describe_transactions(const Context& context);
Outcome handle_list_transactions(const Context& context);
Outcome handle_offset_for_leader_epoch(const Context& context);
Outcome handle_write_txn_markers(const Context& context);
Outcome handle_describe_configs(const Context& context);
Outcome handle_alter_configs(const Context& context);
Outcome handle_create_partitions(const Context& context);
Outcome handle_elect_leaders(const Context& context);
Outcome handle_alter_partition_reassignments(const Context& context);
Outcome handle_list_partition_reassignments(const Context& context);
Outcome handle_unregister_broker(const Context& context);
Outcome handle_incremental_alter_configs(const Context& context);
Outcome handle_alter_replica_log_dirs(const Context& context);
Outcome handle_describe_log_dirs(const Context& context);
Outcome handle_list_config_resources(const Context& context);
Outcome handle_describe_client_quotas(const Context& context);
Outcome handle_alter_client_quotas(const Context& context);
Outcome handle_describe_user_scram_credentials(const Context& context);
Outcome handle_describe_cluster(const Context& context);
Outcome handle_describe_producers(const Context& context);
Outcome handle_describe_topic_partitions(const Context& context);
Outcome handle_offset_commit(const Context& context);
Outcome handle_offset_fetch(const Context& context);
Outcome handle_join_group(const Context& context);
Outcome handle_heartbeat(const Context& context);
Outcome handle_leave_group(const Context& context);
Outcome handle_sync_group(const Context& context);
Outcome handle_describe_groups(const Context& context);
Outcome handle_list_groups(const Context& context);
Outcome handle_txn_offset_commit(const Context& context);
Outcome handle_delete_groups(const Context& context);
Outcome handle_offset_delete(const Context& context);
Outcome handle_consumer_group_heartbeat(const Context& context);
Outcome handle_consumer_group_describe(const Context& context);

} // namespace qtool::kafka
