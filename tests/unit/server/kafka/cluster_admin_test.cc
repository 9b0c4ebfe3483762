// Proves ElectLeaders, AlterPartitionReassignments, ListPartitionReassignments and
// UnregisterBroker, and what Metadata, DescribeCluster and DescribeTopicPartitions tell of several
// brokers.
#include "lib/protocol/msg/alter_partition_reassignments.h"
#include "lib/protocol/msg/describe_cluster.h"
#include "lib/protocol/msg/describe_topic_partitions.h"
#include "lib/protocol/msg/elect_leaders.h"
#include "lib/protocol/msg/list_partition_reassignments.h"
#include "lib/protocol/msg/metadata.h"
#include "lib/protocol/msg/unregister_broker.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using namespace qtool::protocol;

namespace {

// Brokers 1 to 3, of which 3 is not live and 2 is controller; topic "t": partition 0 is moving from
// 1, 2 to 2, 3; partition 1 lost its leader 3 and can be led by 2 (ELR); partition 2 is led by 2
// though it prefers 1.
struct ClusterFixture : KafkaFixture {
    ClusterFixture() {
        auto image = make_image();
        for (int32_t id = 2; id <= 3; id++) {
            metadata::BrokerImage broker;
            broker.id = BrokerId(id);
            broker.host = "broker" + std::to_string(id);
            broker.port = 9092;
            broker.epoch = id == 2 ? Revision(2) : Revision(0);
            image->brokers[broker.id] = broker;
        }
        image->controller = {BrokerId(2), Revision(3)};
        auto topic = make_topic("t", 9, 3);
        metadata::PartitionImage& moving = topic->partitions[0];
        moving.replicas = {BrokerId(2), BrokerId(3), BrokerId(1)};
        moving.isr = {BrokerId(1), BrokerId(2)};
        moving.adding_replicas = {BrokerId(3)};
        moving.removing_replicas = {BrokerId(1)};
        metadata::PartitionImage& headless = topic->partitions[1];
        headless.replicas = {BrokerId(3), BrokerId(2)};
        headless.isr = {BrokerId(3)};
        headless.elr = {BrokerId(2)};
        headless.leader = kNoBroker;
        headless.last_known_leader = BrokerId(3);
        metadata::PartitionImage& astray = topic->partitions[2];
        astray.replicas = {BrokerId(1), BrokerId(2)};
        astray.isr = {BrokerId(1), BrokerId(2)};
        astray.leader = BrokerId(2);
        add_topic(*image, topic);
        services.image_ = image;
    }
};

} // namespace

TEST_CASE_FIXTURE(ClusterFixture, "metadata: live brokers, the controller, offline replicas") {
    MetadataRequest request;
    request.topics.emplace();
    request.topics->emplace_back().name = "t";
    const auto response = call<MetadataResponse>(request, 12);
    REQUIRE(response.brokers.size() == 2);
    CHECK(response.brokers[1].node_id == 2);
    CHECK(response.controller_id == 2);
    const auto& partitions = response.topics.at(0).partitions;
    CHECK(partitions[0].leader_id == 1);
    CHECK(partitions[0].offline_replicas == std::vector<int32_t>{3});
    CHECK(partitions[1].leader_id == -1);
    CHECK(partitions[1].error_code == 5); // LEADER_NOT_AVAILABLE
    CHECK(partitions[2].offline_replicas.empty());
}

TEST_CASE_FIXTURE(ClusterFixture, "describe cluster: fenced brokers when they are asked for") {
    DescribeClusterRequest request;
    auto response = call<DescribeClusterResponse>(request, 2);
    CHECK(response.brokers.size() == 2);
    CHECK(response.controller_id == 2);
    request.include_fenced_brokers = true;
    response = call<DescribeClusterResponse>(request, 2);
    REQUIRE(response.brokers.size() == 3);
    CHECK_FALSE(response.brokers[1].is_fenced);
    CHECK(response.brokers[2].is_fenced);
}

TEST_CASE_FIXTURE(ClusterFixture, "describe topic partitions: eligible leaders and the last one") {
    DescribeTopicPartitionsRequest request;
    request.topics.emplace_back().name = "t";
    const auto response = call<DescribeTopicPartitionsResponse>(request, 0);
    const auto& partitions = response.topics.at(0).partitions;
    CHECK(partitions.at(1).eligible_leader_replicas == std::vector<int32_t>{2});
    CHECK(partitions.at(1).last_known_elr == std::vector<int32_t>{3});
    CHECK(partitions.at(2).eligible_leader_replicas->empty());
}

TEST_CASE_FIXTURE(ClusterFixture, "list reassignments: all, or those asked for") {
    ListPartitionReassignmentsRequest request;
    auto response = call<ListPartitionReassignmentsResponse>(request, 0);
    REQUIRE(response.topics.size() == 1);
    REQUIRE(response.topics[0].partitions.size() == 1);
    const auto& partition = response.topics[0].partitions[0];
    CHECK(response.topics[0].name == "t");
    CHECK(partition.partition_index == 0);
    CHECK(partition.replicas == std::vector<int32_t>{2, 3, 1});
    CHECK(partition.adding_replicas == std::vector<int32_t>{3});
    CHECK(partition.removing_replicas == std::vector<int32_t>{1});
    request.topics.emplace();
    auto& asked = request.topics->emplace_back();
    asked.name = "t";
    asked.partition_indexes = {1, 7};
    request.topics->emplace_back().name = "nowhere";
    response = call<ListPartitionReassignmentsResponse>(request, 0);
    CHECK(response.topics.empty());
    CHECK(response.error_code == 0);
}

TEST_CASE("alter reassignments: each partition has its result") {
    for (int16_t version = 0; version <= 1; version++) {
        CAPTURE(version);
        ClusterFixture fixture;
        AlterPartitionReassignmentsRequest request;
        auto& topic = request.topics.emplace_back();
        topic.name = "t";
        topic.partitions.emplace_back().partition_index = 0; // cancel
        topic.partitions.emplace_back().partition_index = 2; // nothing to cancel
        auto& odd = topic.partitions.emplace_back();
        odd.partition_index = 1;
        odd.replicas = std::vector<int32_t>{2, 9};
        fixture.send(request, version);
        REQUIRE(fixture.services.changes.size() == 1);
        CHECK(fixture.services.changes[0].transaction.writes.size() == 1);
        fixture.services.commit();
        const auto response = fixture.receive<AlterPartitionReassignmentsResponse>(version);
        const auto& partitions = response.responses.at(0).partitions;
        CHECK(partitions.at(0).error_code == 0);
        CHECK(partitions.at(0).error_message == std::nullopt);
        CHECK(partitions.at(1).error_code == 85); // NO_REASSIGNMENT_IN_PROGRESS
        CHECK(partitions.at(2).error_code == 39); // INVALID_REPLICA_ASSIGNMENT
        CHECK(partitions.at(2).error_message.has_value());
    }
}

TEST_CASE("elect leaders: preferred ones, each partition with its result") {
    for (int16_t version = 0; version <= 2; version++) {
        CAPTURE(version);
        ClusterFixture fixture;
        ElectLeadersRequest request;
        request.topic_partitions.emplace();
        auto& topic = request.topic_partitions->emplace_back();
        topic.topic = "t";
        topic.partitions = {2, 1, 8};
        fixture.send(request, version);
        REQUIRE(fixture.services.changes.size() == 1);
        fixture.services.commit();
        const auto response = fixture.receive<ElectLeadersResponse>(version);
        CHECK(response.error_code == 0);
        REQUIRE(response.replica_election_results.size() == 1);
        const auto& results = response.replica_election_results[0].partition_result;
        REQUIRE(results.size() == 3);
        CHECK(results[0].error_code == 0);
        CHECK(results[1].error_code == 80); // PREFERRED_LEADER_NOT_AVAILABLE
        CHECK(results[2].error_code == 3);
    }
}

TEST_CASE_FIXTURE(ClusterFixture,
                  "elect leaders: unclean, all, and what there is no such kind of") {
    ElectLeadersRequest request;
    request.election_type = 1;
    request.topic_partitions.reset();
    send(request, 2);
    REQUIRE(services.changes.size() == 1);
    services.commit();
    const auto response = receive<ElectLeadersResponse>(2);
    REQUIRE(response.replica_election_results.size() == 1);
    CHECK(response.replica_election_results[0].partition_result.at(0).partition_id == 1);
    request.election_type = 2;
    CHECK(call<ElectLeadersResponse>(request, 2).error_code == 42);
}

TEST_CASE_FIXTURE(ClusterFixture, "unregister broker: only one that is known and gone") {
    UnregisterBrokerRequest request;
    request.broker_id = 9;
    CHECK(call<UnregisterBrokerResponse>(request, 0).error_code == 102);
    request.broker_id = 2;
    CHECK(call<UnregisterBrokerResponse>(request, 0).error_code == 42);
    request.broker_id = 3;
    send(request, 0);
    REQUIRE(services.changes.size() == 1);
    services.commit();
    CHECK(receive<UnregisterBrokerResponse>(0).error_code == 0);
}
