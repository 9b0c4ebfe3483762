// AdminDoor: what commands ask of a cluster, whichever protocol carries it. JsonDoor speaks the
// JSON admin protocol; a door on Kafka's requests can join without a change in the commands.
#pragma once

#include "lib/admin/http_client.h"

namespace qtool::cli {

/// Blocking, one thread. Errors are the broker's own codes, or no_broker, timed_out,
/// connection_failed.
class AdminDoor {
public:
    virtual ~AdminDoor() = default;
    virtual Result<admin::ClusterInfo> cluster() = 0;
    virtual Result<admin::TopicList> topics() = 0;
    virtual Result<admin::TopicDescription> describe_topic(std::string_view name) = 0;
    virtual Result<admin::TopicSummary> create_topic(const admin::CreateTopicRequest& request) = 0;
    virtual Result<admin::TopicSummary> alter_topic(std::string_view name,
                                                    const admin::AlterTopicRequest& request) = 0;
    virtual Result<void> delete_topic(std::string_view name) = 0;
    virtual Result<admin::GroupList> groups() = 0;
    virtual Result<admin::GroupDescription> describe_group(std::string_view name) = 0;
    virtual Result<void> set_group_offsets(std::string_view name,
                                           const admin::SetGroupOffsets& request) = 0;
    virtual Result<void> delete_group(std::string_view name) = 0;
    virtual Result<admin::TransactionList> transactions() = 0;
    virtual Result<admin::TransactionDescription> describe_transaction(std::string_view id) = 0;
    virtual Result<void> abort_transaction(std::string_view id) = 0;
    virtual Result<admin::ConfigResourceList> config_resources() = 0;
    virtual Result<admin::ResourceConfigs>
    describe_configs(const admin::ConfigResource& resource) = 0;
    virtual Result<admin::ResourceConfigs>
    alter_configs(const admin::ConfigResource& resource,
                  const admin::AlterConfigsRequest& request) = 0;
    virtual Result<admin::QuotaList> quotas() = 0;
    virtual Result<admin::QuotaEntry> alter_quota(const admin::AlterQuotaRequest& request) = 0;
    virtual Result<admin::MoveList> moves() = 0;
    virtual Result<admin::MovePartition> move_partition(const admin::MovePartition& request) = 0;
    virtual Result<void> alter_broker(int32_t id, const admin::AlterBrokerRequest& request) = 0;
    virtual Result<void> forget_broker(int32_t id) = 0;
    virtual Result<admin::MovePlan> plan(const admin::PlanRequest& request) = 0;
    virtual Result<admin::ReassignmentList> reassignments() = 0;
    virtual Result<admin::ReassignmentResults>
    reassign(const admin::AlterReassignmentsRequest& request) = 0;
};

class JsonDoor final : public AdminDoor {
public:
    explicit JsonDoor(admin::HttpClient client) : client_(std::move(client)) {}

    Result<admin::ClusterInfo> cluster() override { return client_.cluster(); }
    Result<admin::TopicList> topics() override { return client_.topics(); }
    Result<admin::TopicDescription> describe_topic(std::string_view name) override {
        return client_.describe_topic(name);
    }
    Result<admin::TopicSummary> create_topic(const admin::CreateTopicRequest& request) override {
        return client_.create_topic(request);
    }
    Result<admin::TopicSummary> alter_topic(std::string_view name,
                                            const admin::AlterTopicRequest& request) override {
        return client_.alter_topic(name, request);
    }
    Result<void> delete_topic(std::string_view name) override { return client_.delete_topic(name); }
    Result<admin::GroupList> groups() override { return client_.groups(); }
    Result<admin::GroupDescription> describe_group(std::string_view name) override {
        return client_.describe_group(name);
    }
    Result<void> set_group_offsets(std::string_view name,
                                   const admin::SetGroupOffsets& request) override {
        return client_.set_group_offsets(name, request);
    }
    Result<void> delete_group(std::string_view name) override { return client_.delete_group(name); }
    Result<admin::TransactionList> transactions() override { return client_.transactions(); }
    Result<admin::TransactionDescription> describe_transaction(std::string_view id) override {
        return client_.describe_transaction(id);
    }
    Result<void> abort_transaction(std::string_view id) override {
        return client_.abort_transaction(id);
    }
    Result<admin::ConfigResourceList> config_resources() override {
        return client_.config_resources();
    }
    Result<admin::ResourceConfigs>
    describe_configs(const admin::ConfigResource& resource) override {
        return client_.describe_configs(resource);
    }
    Result<admin::ResourceConfigs>
    alter_configs(const admin::ConfigResource& resource,
                  const admin::AlterConfigsRequest& request) override {
        return client_.alter_configs(resource, request);
    }
    Result<admin::QuotaList> quotas() override { return client_.quotas(); }
    Result<admin::QuotaEntry> alter_quota(const admin::AlterQuotaRequest& request) override {
        return client_.alter_quota(request);
    }
    Result<admin::MoveList> moves() override { return client_.moves(); }
    Result<admin::MovePartition> move_partition(const admin::MovePartition& request) override {
        return client_.move_partition(request);
    }
    Result<void> alter_broker(int32_t id, const admin::AlterBrokerRequest& request) override {
        return client_.alter_broker(id, request);
    }
    Result<void> forget_broker(int32_t id) override { return client_.forget_broker(id); }
    Result<admin::MovePlan> plan(const admin::PlanRequest& request) override {
        return client_.plan(request);
    }
    Result<admin::ReassignmentList> reassignments() override { return client_.reassignments(); }
    Result<admin::ReassignmentResults>
    reassign(const admin::AlterReassignmentsRequest& request) override {
        return client_.reassign(request);
    }

private:
    admin::HttpClient client_;
};

} // namespace qtool::cli
