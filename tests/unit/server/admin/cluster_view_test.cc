// Proves what the JSON door says of a cluster of several brokers: who lives, what is wrong and in
// which words, and how far each replica of a topic is, asked of its broker.
#include "lib/base/byte_writer.h"
#include "lib/protocol/msg/describe_log_dirs.h"
#include "lib/protocol/msg/list_offsets.h"
#include "server/admin/health.h"
#include "tests/unit/server/admin/admin_fixture.h"

using namespace qtool;
using namespace qtool::test;

namespace {

constexpr BrokerId kSelf{1};

/// Brokers 1 to 3 live, 1 the controller; topic "orders" with two partitions on all three, led by 1
/// and 2.
std::shared_ptr<metadata::Image> make_cluster() {
    auto image = std::make_shared<metadata::Image>();
    image->revision = Revision(5);
    image->cluster_id = "test-cluster";
    for (int32_t id = 1; id <= 3; id++) {
        metadata::BrokerImage& broker = image->brokers[BrokerId(id)];
        broker.id = BrokerId(id);
        broker.host = "b" + std::to_string(id);
        broker.port = 9092;
        broker.epoch = Revision(100 + id);
    }
    image->controller = {kSelf, Revision(7)};
    auto topic = make_topic("orders", 2, 2);
    topic->effective.min_insync_replicas = 2;
    for (int32_t i = 0; i < 2; i++) {
        metadata::PartitionImage& partition = topic->partitions[static_cast<size_t>(i)];
        partition.replicas = {BrokerId(1), BrokerId(2), BrokerId(3)};
        partition.isr = partition.replicas;
        partition.leader = BrokerId(1 + i);
    }
    add_topic(*image, topic);
    return image;
}

template <class Change>
void change_partition(metadata::Image& image, size_t index, Change&& change) {
    auto topic = std::make_shared<metadata::TopicImage>(*image.topic("orders"));
    change(topic->partitions[index]);
    add_topic(image, topic);
}

template <class Response>
std::vector<std::byte> encode(const Response& response, int16_t version) {
    ByteWriter writer;
    response.encode(writer, version);
    return writer.take();
}

} // namespace

TEST_CASE("health: nothing wrong, nothing said") {
    const admin::Health health = admin::find_health(*make_cluster(), kSelf);
    CHECK(health.problems.empty());
    CHECK(health.offline_partitions == 0);
}

TEST_CASE("health: each trouble has a sentence, the worst first") {
    const auto image = make_cluster();
    image->brokers[BrokerId(3)].epoch = Revision(0);
    image->controller = {};
    change_partition(*image, 0, [](auto& partition) { partition.leader = kNoBroker; });
    change_partition(*image, 1, [](auto& partition) { partition.isr = {BrokerId(2)}; });
    admin::Health health = admin::find_health(*image, kSelf);
    CHECK(health.offline_partitions == 1);
    CHECK(health.under_min_isr_partitions == 1);
    CHECK(health.under_replicated_partitions == 1);
    REQUIRE(health.problems.size() == 4);
    CHECK(health.problems[0] == "1 partition has no leader and cannot be used: orders-0");
    CHECK(health.problems[1].find("no controller") != std::string::npos);
    CHECK(health.problems[2] == "broker 3 (b3:9092) is not there and has 2 replicas");
    CHECK(health.problems[3] ==
          "1 partition has fewer in-sync replicas than min.insync.replicas, so acks=all is "
          "refused: orders-1");

    // A leader that is not there leads nothing; two in sync are enough to write, but not all.
    change_partition(*image, 0, [](auto& partition) { partition.leader = BrokerId(3); });
    change_partition(*image, 1, [](auto& partition) {
        partition.isr = {BrokerId(2), BrokerId(1)};
    });
    health = admin::find_health(*image, kSelf);
    CHECK(health.offline_partitions == 1);
    CHECK(health.problems.back() ==
          "1 partition is under-replicated: a replica is not in sync: orders-1");
}

TEST_CASE("health: a broker without replicas may be gone, and names end somewhere") {
    const auto image = make_cluster();
    metadata::BrokerImage& old = image->brokers[BrokerId(9)];
    old.id = BrokerId(9);
    CHECK(admin::find_health(*image, kSelf).problems.empty());
    auto wide = make_topic("wide", 5, 8);
    for (auto& partition : wide->partitions) {
        partition.leader = kNoBroker;
    }
    add_topic(*image, wide);
    const admin::Health health = admin::find_health(*image, kSelf);
    REQUIRE(health.problems.size() == 1);
    CHECK(health.problems[0] == "8 partitions have no leader and cannot be used: wide-0, wide-1, "
                                "wide-2, wide-3, wide-4, ...");
}

TEST_CASE("cluster: brokers with what they lead, have and are") {
    AdminFixture fixture;
    const auto image = make_cluster();
    image->brokers[BrokerId(2)].is_cordoned = true;
    image->brokers[BrokerId(3)].epoch = Revision(0);
    change_partition(*image, 0, [](auto& partition) {
        partition.isr = {BrokerId(1), BrokerId(2)};
    });
    fixture.services.image_ = image;
    const auto info = admin::decode<admin::ClusterInfo>(fixture.call("GET", "/v1/cluster").body);
    REQUIRE(info);
    REQUIRE(info->brokers.size() == 3);
    CHECK(info->controller_id == 1);
    CHECK(info->brokers[0].leader_count == 1);
    CHECK(info->brokers[0].epoch == 101);
    CHECK(info->brokers[1].live);
    CHECK(info->brokers[1].cordoned);
    CHECK_FALSE(info->brokers[2].live);
    CHECK(info->brokers[2].replica_count == 2);
    CHECK(info->brokers[2].in_sync_count == 1);
    CHECK(info->problems.size() == 2);
}

TEST_CASE("topic: each replica is asked of its broker") {
    AdminFixture fixture;
    const auto image = make_cluster();
    image->brokers[BrokerId(3)].epoch = Revision(0); // nobody asks it
    fixture.services.image_ = image;
    fixture.send("GET", "/v1/topics/orders");
    REQUIRE(fixture.services.submitted.size() == 2);
    // Of broker 2: sizes, ends of all replicas, start and high watermark of what it leads.
    REQUIRE(fixture.services.called.size() == 4);
    for (const peer::Call& call : fixture.services.called) {
        CHECK(call.to == BrokerId(2));
        CHECK(call.deadline > fixture.services.now_);
    }
    const auto ends = protocol::ListOffsetsRequest::decode(fixture.services.called[1].body,
                                                           fixture.services.called[1].version);
    REQUIRE(ends);
    CHECK(ends->replica_id == -2);
    CHECK(ends->topics[0].partitions.size() == 2);

    replica::DescribeResult here;
    here.log_start_offset = Offset(1);
    here.log_end_offset = Offset(20);
    here.high_watermark = Offset(19);
    here.size_bytes = 4096;
    fixture.services.answer_partition(replica::PartitionResult(here));
    fixture.services.answer_partition(replica::PartitionResult(here));

    protocol::DescribeLogDirsResponse sizes;
    auto& dir = sizes.results.emplace_back();
    dir.log_dir = "/data";
    auto& sized = dir.topics.emplace_back();
    sized.name = "orders";
    sized.partitions.resize(2);
    sized.partitions[0].partition_index = 0;
    sized.partitions[0].partition_size = 1000;
    sized.partitions[1].partition_index = 1;
    sized.partitions[1].partition_size = 2000;
    const auto offsets = [](std::vector<std::pair<int32_t, int64_t>> of) {
        protocol::ListOffsetsResponse response;
        auto& topic = response.topics.emplace_back();
        topic.name = "orders";
        for (const auto& [index, offset] : of) {
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = index;
            partition.offset = offset;
        }
        return response;
    };
    fixture.services.answer_peer(encode(sizes, fixture.services.called[0].version));
    fixture.services.answer_peer(
        encode(offsets({{0, 17}, {1, 30}}), fixture.services.called[0].version));
    fixture.services.answer_peer(encode(offsets({{1, 4}}), fixture.services.called[0].version));
    CHECK(fixture.host.sent.empty());
    fixture.services.answer_peer(encode(offsets({{1, 28}}), fixture.services.called[0].version));

    const auto topic = admin::decode<admin::TopicDescription>(fixture.receive().body);
    REQUIRE(topic);
    const admin::PartitionDescription& led_here = topic->partitions[0];
    CHECK(led_here.log_start_offset == 1);
    CHECK(led_here.log_end_offset == 20);
    CHECK(led_here.high_watermark == 19);
    CHECK(led_here.size_bytes == 4096);
    REQUIRE(led_here.replica_states.size() == 3);
    CHECK(led_here.replica_states[0] == admin::ReplicaState{1, true, true, 20, 0, 4096});
    CHECK(led_here.replica_states[1] == admin::ReplicaState{2, true, true, 17, 3, 1000});
    CHECK(led_here.replica_states[2] == admin::ReplicaState{3, false, true, {}, {}, {}});
    const admin::PartitionDescription& led_there = topic->partitions[1];
    CHECK(led_there.log_start_offset == 4);
    CHECK(led_there.log_end_offset == 30);
    CHECK(led_there.high_watermark == 28);
    CHECK(led_there.size_bytes == 2000);
    CHECK(led_there.replica_states[0] == admin::ReplicaState{1, true, true, 20, 10, 4096});
}

TEST_CASE("topic: a broker that does not answer leaves its replicas unknown") {
    AdminFixture fixture;
    fixture.services.image_ = make_cluster();
    fixture.send("GET", "/v1/topics/orders");
    while (!fixture.services.submitted.empty()) {
        fixture.services.answer_partition(Error(Code::storage_offline));
    }
    while (!fixture.services.called.empty()) {
        fixture.services.answer_peer(Error(Code::timed_out));
    }
    const auto topic = admin::decode<admin::TopicDescription>(fixture.receive().body);
    REQUIRE(topic);
    CHECK(topic->partitions[0].log_end_offset == std::nullopt);
    REQUIRE(topic->partitions[0].replica_states.size() == 3);
    CHECK(topic->partitions[0].replica_states[0].live);
    CHECK(topic->partitions[0].replica_states[0].lag == std::nullopt);
}
