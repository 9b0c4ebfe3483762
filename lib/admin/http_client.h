// HttpClient: the JSON admin protocol asked over one kept HTTP connection, blocking. One thread at
// a time. A request costs one round trip; the first one also a connection.
#pragma once

#include "lib/admin/cluster_model.h"
#include "lib/admin/connection.h"
#include "lib/admin/group_model.h"
#include "lib/admin/model.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/config/option.h"

#include <string>
#include <string_view>
#include <vector>

namespace qtool::admin {

/// Errors of every call: no_broker (no address could be reached), timed_out, connection_failed (the
/// connection broke after a change was sent: whether it happened is unknown), malformed (what
/// answered is not this protocol), and whatever the broker answered with, by its own code.
class HttpClient {
public:
    /// `bootstrap` (at least one) are tried in order, for what only reads until one answers;
    /// `timeout` bounds each call as a whole.
    HttpClient(std::vector<config::Endpoint> bootstrap, Duration timeout)
        : bootstrap_(std::move(bootstrap)),
          timeout_(timeout) {}

    Result<ClusterInfo> cluster();
    Result<TopicList> topics();
    Result<TopicDescription> describe_topic(std::string_view name);
    Result<TopicSummary> create_topic(const CreateTopicRequest& request);
    Result<TopicSummary> alter_topic(std::string_view name, const AlterTopicRequest& request);
    Result<void> delete_topic(std::string_view name);
    Result<BrokerConfigs> broker_configs();
    Result<GroupList> groups();
    Result<GroupDescription> describe_group(std::string_view name);
    Result<void> set_group_offsets(std::string_view name, const SetGroupOffsets& request);
    Result<void> delete_group(std::string_view name);
    Result<TransactionList> transactions();
    Result<TransactionDescription> describe_transaction(std::string_view id);
    Result<void> abort_transaction(std::string_view id);
    Result<ConfigResourceList> config_resources();
    /// `resource.type` is "topic", "broker" or "group".
    Result<ResourceConfigs> describe_configs(const ConfigResource& resource);
    Result<ResourceConfigs> alter_configs(const ConfigResource& resource,
                                          const AlterConfigsRequest& request);
    Result<QuotaList> quotas();
    Result<QuotaEntry> alter_quota(const AlterQuotaRequest& request);
    Result<MoveList> moves();
    Result<MovePartition> move_partition(const MovePartition& request);
    Result<void> alter_broker(int32_t id, const AlterBrokerRequest& request);
    Result<void> forget_broker(int32_t id);
    Result<MovePlan> plan(const PlanRequest& request);
    Result<ReassignmentList> reassignments();
    Result<ReassignmentResults> reassign(const AlterReassignmentsRequest& request);

private:
    /// The body of a 2xx answer.
    Result<std::string> call(std::string_view method, const std::string& target, std::string body);
    Result<std::string> call_once(std::string_view method, const std::string& target,
                                  const std::string& body, MonoTime deadline);
    /// Tries the addresses from that index on; the index of the one that answered.
    Result<size_t> connect(size_t from, MonoTime deadline);

    std::vector<config::Endpoint> bootstrap_;
    Duration timeout_;
    Connection connection_;
    config::Endpoint peer_; // of connection_
};

} // namespace qtool::admin
