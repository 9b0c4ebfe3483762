// Proves what Fetch makes of a broker that fetches for its replica, and of a consumer that may read
// from followers: what partitions are asked, what is answered and when.
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::KafkaError;

namespace {

constexpr int16_t kVersion = 17;

struct Fixture : test::KafkaFixture {
    FetchRequest request;

    Fixture() {
        request.max_wait_ms = 500;
        request.min_bytes = 1;
        request.session_epoch = 0;
        request.replica_state.replica_id = 2;
        request.replica_state.replica_epoch = 77;
        auto& topic = request.topics.emplace_back();
        topic.topic_id.bytes.fill(1);
        auto& partition = topic.partitions.emplace_back();
        partition.current_leader_epoch = 7;
        partition.fetch_offset = 5;
        partition.last_fetched_epoch = 6;
        partition.log_start_offset = 3;
        partition.partition_max_bytes = 1000;
    }

    /// What the partition is asked, the oldest request.
    const replica::ReadOp& asked() {
        REQUIRE_FALSE(services.submitted.empty());
        return std::get<replica::ReadOp>(services.submitted.front().op);
    }
    static replica::ReadResult result(int64_t high) {
        replica::ReadResult made;
        made.high_watermark = Offset(high);
        made.last_stable_offset = Offset(high);
        made.log_start_offset = Offset(0);
        return made;
    }
    void answer(replica::ReadResult with) {
        services.answer_partition(replica::PartitionResult(std::move(with)));
    }
    void go_on(int32_t session, int32_t epoch) {
        request.session_id = session;
        request.session_epoch = epoch;
        request.topics.clear();
        send(request, kVersion);
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture,
                  "fetch of a replica: who it is, and what it has, goes to the partition") {
    send(request, kVersion);
    const replica::ReadOp& op = asked();
    REQUIRE(op.replica);
    CHECK(op.replica->id == BrokerId(2));
    CHECK(op.replica->broker_epoch == Revision(77));
    CHECK(op.replica->log_start == Offset(3));
    CHECK(op.replica->is_progress);
    CHECK(op.fetch_offset == Offset(5));
    CHECK(op.last_fetched_epoch == LeaderEpoch(6));
    CHECK_FALSE(op.may_ask_follower);
    CHECK(services.submitted.front().current_leader_epoch == LeaderEpoch(7));
}

TEST_CASE_FIXTURE(Fixture,
                  "fetch of a replica: a higher high watermark is answered without records") {
    send(request, kVersion);
    answer(result(4)); // the first of a session is news
    auto response = receive<FetchResponse>(kVersion);
    REQUIRE(response.session_id != 0);
    REQUIRE(response.responses.size() == 1);
    CHECK(response.responses[0].partitions[0].high_watermark == 4);
    const int32_t session = response.session_id;

    go_on(session, 1);
    CHECK(asked().replica->told_high_watermark == Offset(4));
    answer(result(4));
    CHECK(host.sent.empty()); // waits
    services.pass_deadlines();
    response = receive<FetchResponse>(kVersion);
    CHECK(response.responses.empty());

    go_on(session, 2);
    answer(result(5));
    response = receive<FetchResponse>(kVersion);
    REQUIRE(response.responses.size() == 1);
    CHECK(response.responses[0].partitions[0].high_watermark == 5);
}

TEST_CASE_FIXTURE(Fixture, "fetch of a replica: out of range comes with the start of the log") {
    send(request, kVersion);
    replica::ReadResult out = result(90);
    out.is_out_of_range = true;
    out.log_start_offset = Offset(40);
    answer(out);
    const auto response = receive<FetchResponse>(kVersion);
    REQUIRE(response.responses.size() == 1);
    const auto& partition = response.responses[0].partitions[0];
    CHECK(partition.error_code == static_cast<int16_t>(KafkaError::offset_out_of_range));
    CHECK(partition.log_start_offset == 40);
}

TEST_CASE_FIXTURE(Fixture, "fetch of a replica: versions before 15 name it in the request itself") {
    request.replica_state = {};
    request.replica_id = 3;
    request.session_epoch = -1;
    send(request, 13);
    CHECK(asked().replica->id == BrokerId(3));
    CHECK(asked().replica->broker_epoch == Revision(0));
    // Without a session nothing is remembered, so a high watermark is no news.
    answer(result(4));
    CHECK(host.sent.empty());
}

TEST_CASE_FIXTURE(Fixture,
                  "fetch: a consumer is told of a replica in its rack, when that is asked for") {
    auto image = test::make_image();
    auto topic = test::make_topic("events", 1, 1);
    topic->partitions[0].replicas = {BrokerId(1), BrokerId(2), BrokerId(3)};
    test::add_topic(*image, topic);
    for (const int id : {2, 3}) {
        metadata::BrokerImage broker;
        broker.id = BrokerId(id);
        broker.rack = id == 2 ? "a" : "b";
        broker.epoch = Revision(9);
        image->brokers[broker.id] = broker;
    }
    services.image_ = image;
    services.config_.is_replica_selector_rack_aware = true;
    request.replica_state = {};
    request.rack_id = "b";
    send(request, kVersion);
    CHECK(asked().near == std::vector<BrokerId>{BrokerId(3)});
    CHECK(asked().may_ask_follower);
    CHECK_FALSE(asked().replica);
    replica::ReadResult elsewhere = result(9);
    elsewhere.preferred_replica = BrokerId(3);
    answer(elsewhere);
    const auto response = receive<FetchResponse>(kVersion);
    const auto& partition = response.responses[0].partitions[0];
    CHECK(partition.error_code == 0);
    CHECK(partition.preferred_read_replica == 3);
    CHECK(partition.high_watermark == 9);

    services.config_.is_replica_selector_rack_aware = false;
    send(request, kVersion);
    CHECK(asked().near.empty());
}

TEST_CASE_FIXTURE(Fixture, "fetch: before version 11 a consumer is answered by the leader alone") {
    request.replica_state = {};
    auto& topic = request.topics[0];
    topic.topic = "events";
    topic.partitions[0].last_fetched_epoch = -1; // since version 12
    send(request, 10);
    CHECK_FALSE(asked().may_ask_follower);
}
