// Proves Metadata, DescribeCluster and DescribeTopicPartitions on a fixed image, and automatic
// creation of topics.
#include "lib/protocol/msg/describe_cluster.h"
#include "lib/protocol/msg/describe_topic_partitions.h"
#include "lib/protocol/msg/metadata.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::DescribeClusterRequest;
using protocol::DescribeClusterResponse;
using protocol::DescribeTopicPartitionsRequest;
using protocol::DescribeTopicPartitionsResponse;
using protocol::MetadataRequest;
using protocol::MetadataResponse;

namespace {

MetadataRequest ask(std::vector<std::string_view> names) {
    MetadataRequest request;
    request.topics.emplace();
    for (const std::string_view name : names) {
        request.topics->emplace_back().name = name;
    }
    return request;
}

Uuid id_of(uint8_t byte) {
    Uuid id;
    id.bytes.fill(byte);
    return id;
}

// The image with one more topic, as if a change had been applied.
void apply_topic(FakeServices& services, std::string name, uint8_t id) {
    auto image = std::make_shared<metadata::Image>(*services.image_);
    add_topic(*image, make_topic(std::move(name), id, 1));
    services.image_ = image;
}

} // namespace

TEST_CASE("metadata: every version lists brokers and topics") {
    for (int16_t version = 0; version <= 13; version++) {
        CAPTURE(version);
        KafkaFixture fixture;
        MetadataRequest all;
        if (version == 0) {
            all.topics.emplace(); // empty: all topics, in version 0 alone
        } else {
            all.topics.reset();
        }
        const auto response = fixture.call<MetadataResponse>(all, version);
        REQUIRE(response.brokers.size() == 1);
        CHECK(response.brokers[0].host == "broker.example");
        CHECK(response.brokers[0].port == 9092);
        CHECK(response.brokers[0].rack == std::nullopt);
        REQUIRE(response.topics.size() == 3);
        CHECK(response.topics[0].name == "__consumer_offsets");
        CHECK(response.topics[0].is_internal == (version >= 1));
        CHECK(response.topics[2].name == "orders");
        REQUIRE(response.topics[2].partitions.size() == 3);
        CHECK(response.topics[2].partitions[2].partition_index == 2);
        CHECK(response.topics[2].partitions[2].leader_id == 1);
        CHECK(response.topics[2].partitions[2].leader_epoch == (version >= 7 ? 7 : -1));
        CHECK(response.topics[2].topic_id == (version >= 10 ? id_of(2) : Uuid{}));
        CHECK(response.topics[2].topic_authorized_operations == INT32_MIN);
        CHECK(response.controller_id == (version >= 1 ? 1 : -1));
    }
}

TEST_CASE("metadata: an empty list asks for no topic from version 1 on") {
    KafkaFixture fixture;
    const auto response = fixture.call<MetadataResponse>(ask({}), 1);
    CHECK(response.topics.empty());
    CHECK(response.brokers.size() == 1);
}

TEST_CASE("metadata: authorized operations are all of the kind, when asked") {
    KafkaFixture fixture;
    MetadataRequest request = ask({"events"});
    request.include_cluster_authorized_operations = true;
    request.include_topic_authorized_operations = true;
    const auto response = fixture.call<MetadataResponse>(request, 8);
    CHECK(response.cluster_authorized_operations == 0x1fa0);
    CHECK(response.topics.at(0).topic_authorized_operations == 0x0df8);
}

TEST_CASE("metadata: names asked twice collapse; unknown and bad names have their errors") {
    KafkaFixture fixture;
    MetadataRequest request = ask({"events", "missing", "events", "", "a b"});
    request.allow_auto_topic_creation = false;
    const auto response = fixture.call<MetadataResponse>(request, 9);
    REQUIRE(response.topics.size() == 4);
    CHECK(response.topics[0].error_code == 0);
    CHECK(response.topics[1].error_code == 3);
    CHECK(response.topics[1].name == "missing");
    CHECK(response.topics[2].error_code == 17);
    CHECK(response.topics[3].error_code == 17);
}

TEST_CASE("metadata: ids are for version 12 and later") {
    KafkaFixture fixture;
    MetadataRequest request;
    request.topics.emplace();
    request.topics->emplace_back().topic_id = id_of(2);
    request.topics->back().name.reset();
    request.topics->emplace_back().topic_id = id_of(9);
    request.topics->back().name.reset();
    const auto response = fixture.call<MetadataResponse>(request, 12);
    REQUIRE(response.topics.size() == 2);
    CHECK(response.topics[0].name == "orders");
    CHECK(response.topics[1].error_code == 100);
    CHECK(response.topics[1].name == std::nullopt);
    CHECK(response.topics[1].topic_id == id_of(9));
    for (const int16_t version : {int16_t{10}, int16_t{11}}) {
        const auto refused = fixture.call<MetadataResponse>(request, version);
        REQUIRE(refused.topics.size() == 2);
        CHECK(refused.topics[0].error_code == 42);
        CHECK(refused.topics[1].error_code == 42);
    }
}

TEST_CASE("metadata: a partition without live leader says so and still tells its epoch") {
    KafkaFixture fixture;
    auto image = std::make_shared<metadata::Image>(*fixture.services.image_);
    auto topic = make_topic("lost", 8, 1);
    topic->partitions[0].replicas = {BrokerId(2), BrokerId(1)};
    topic->partitions[0].leader = BrokerId(2);
    add_topic(*image, topic);
    fixture.services.image_ = image;
    const auto response = fixture.call<MetadataResponse>(ask({"lost"}), 9);
    const auto& partition = response.topics.at(0).partitions.at(0);
    CHECK(partition.error_code == 5);
    CHECK(partition.leader_id == -1);
    CHECK(partition.leader_epoch == 7);
    CHECK(partition.offline_replicas == std::vector<int32_t>{2});
    CHECK(partition.replica_nodes == std::vector<int32_t>{2, 1});
    const auto oldest = fixture.call<MetadataResponse>(ask({"lost"}), 0);
    CHECK(oldest.topics.at(0).partitions.at(0).replica_nodes == std::vector<int32_t>{1});
}

TEST_CASE("metadata: a missing topic is created and answered when it is there") {
    KafkaFixture fixture;
    fixture.send(ask({"fresh", "events"}), 9);
    CHECK(fixture.host.sent.empty());
    REQUIRE(fixture.services.changes.size() == 1);
    CHECK(fixture.services.changes[0].deadline == fixture.services.now_ + 2s);
    apply_topic(fixture.services, "fresh", 9);
    fixture.services.commit();
    const auto response = fixture.receive<MetadataResponse>(9);
    REQUIRE(response.topics.size() == 2);
    CHECK(response.topics[0].name == "fresh");
    CHECK(response.topics[0].error_code == 0);
    CHECK(response.topics[0].partitions.size() == 1);
    CHECK(response.topics[1].name == "events");
}

TEST_CASE("metadata: a creation that takes too long is answered with error 3, for a retry") {
    KafkaFixture fixture;
    fixture.send(ask({"fresh"}), 4);
    fixture.services.commit(Error(Code::timed_out));
    CHECK(fixture.receive<MetadataResponse>(4).topics.at(0).error_code == 3);
}

TEST_CASE("metadata: names that cannot exist are not created") {
    KafkaFixture fixture;
    MetadataRequest request = ask({".."});
    CHECK(fixture.call<MetadataResponse>(request, 9).topics.at(0).error_code == 17);
}

TEST_CASE("metadata: nothing is created when request or broker forbids it, nor internal topics") {
    KafkaFixture fixture;
    MetadataRequest request = ask({"fresh"});
    request.allow_auto_topic_creation = false;
    CHECK(fixture.call<MetadataResponse>(request, 4).topics.at(0).error_code == 3);
    CHECK(fixture.call<MetadataResponse>(ask({"__transaction_state"}), 4).topics.at(0).error_code ==
          3);
    fixture.services.config_.auto_create_topics_enable = false;
    CHECK(fixture.call<MetadataResponse>(ask({"fresh"}), 0).topics.at(0).error_code == 3);
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("describe cluster: brokers, and the errors of endpoint types") {
    for (int16_t version = 0; version <= 2; version++) {
        KafkaFixture fixture;
        DescribeClusterRequest request;
        request.include_cluster_authorized_operations = true;
        const auto response = fixture.call<DescribeClusterResponse>(request, version);
        CHECK(response.error_code == 0);
        CHECK(response.error_message == std::nullopt);
        CHECK(response.cluster_id == "test-cluster");
        CHECK(response.controller_id == 1);
        CHECK(response.brokers.at(0).broker_id == 1);
        CHECK(response.cluster_authorized_operations == 0x1fa0);
    }
    for (const auto& [type, error] : {std::pair<int8_t, int16_t>{int8_t{2}, int16_t{114}},
                                      std::pair<int8_t, int16_t>{int8_t{9}, int16_t{115}}}) {
        KafkaFixture fixture;
        DescribeClusterRequest request;
        request.endpoint_type = type;
        const auto response = fixture.call<DescribeClusterResponse>(request, 1);
        CHECK(response.error_code == error);
        CHECK(response.error_message.has_value());
        CHECK(response.endpoint_type == 1);
        CHECK(response.brokers.empty());
    }
}

TEST_CASE("describe topic partitions: pages follow each other until the cursor is null") {
    KafkaFixture fixture;
    DescribeTopicPartitionsRequest request;
    request.response_partition_limit = 2;
    auto first = fixture.call<DescribeTopicPartitionsResponse>(request, 0);
    // __consumer_offsets-0 and events-0 fill the page.
    REQUIRE(first.topics.size() == 2);
    CHECK(first.topics[1].name == "events");
    CHECK(first.topics[1].partitions.at(0).eligible_leader_replicas == std::vector<int32_t>{});
    REQUIRE(first.next_cursor.has_value());
    CHECK(first.next_cursor->topic_name == "orders");
    CHECK(first.next_cursor->partition_index == 0);
    request.cursor.emplace();
    request.cursor->topic_name = "orders";
    auto second = fixture.call<DescribeTopicPartitionsResponse>(request, 0);
    REQUIRE(second.topics.size() == 1);
    CHECK(second.topics[0].partitions.size() == 2);
    REQUIRE(second.next_cursor.has_value());
    CHECK(second.next_cursor->partition_index == 2);
    request.cursor->partition_index = 2;
    auto third = fixture.call<DescribeTopicPartitionsResponse>(request, 0);
    CHECK(third.topics.at(0).partitions.at(0).partition_index == 2);
    CHECK(third.next_cursor == std::nullopt);
}

TEST_CASE("describe topic partitions: names are sorted, unknown ones and bad cursors are errors") {
    KafkaFixture fixture;
    DescribeTopicPartitionsRequest request;
    request.topics.emplace_back().name = "orders";
    request.topics.emplace_back().name = "missing";
    auto response = fixture.call<DescribeTopicPartitionsResponse>(request, 0);
    REQUIRE(response.topics.size() == 2);
    CHECK(response.topics[0].name == "missing");
    CHECK(response.topics[0].error_code == 3);
    CHECK(response.topics[1].partitions.size() == 3);
    request.cursor.emplace();
    request.cursor->topic_name = "orders";
    request.cursor->partition_index = -1;
    response = fixture.call<DescribeTopicPartitionsResponse>(request, 0);
    CHECK(response.topics.at(0).error_code == 42);
    request.cursor->partition_index = INT32_MAX;
    response = fixture.call<DescribeTopicPartitionsResponse>(request, 0);
    CHECK(response.topics.at(0).partitions.empty());
}
