// Proves ListOffsets, DeleteRecords and OffsetForLeaderEpoch: what goes to which partition, and how
// replies and errors come back in the order of the request, in every version.
#include "lib/protocol/msg/delete_records.h"
#include "lib/protocol/msg/list_offsets.h"
#include "lib/protocol/msg/offset_for_leader_epoch.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::DeleteRecordsRequest;
using protocol::DeleteRecordsResponse;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using protocol::OffsetForLeaderEpochRequest;
using protocol::OffsetForLeaderEpochResponse;

namespace {

ListOffsetsRequest list(std::string_view topic, std::vector<std::pair<int32_t, int64_t>> asked) {
    ListOffsetsRequest request;
    request.replica_id = -1;
    auto& out = request.topics.emplace_back();
    out.name = topic;
    for (const auto& [partition, timestamp] : asked) {
        out.partitions.emplace_back();
        out.partitions.back().partition_index = partition;
        out.partitions.back().timestamp = timestamp;
    }
    return request;
}

int16_t list_error(int16_t version, const ListOffsetsRequest& request) {
    KafkaFixture fixture;
    const auto response = fixture.call<ListOffsetsResponse>(request, version);
    const auto& partition = response.topics.at(0).partitions.at(0);
    CHECK(partition.offset == -1);
    CHECK(partition.timestamp == -1);
    return partition.error_code;
}

} // namespace

TEST_CASE("list offsets: every version carries offset and timestamp; epochs from 4 on") {
    for (int16_t version = 1; version <= 11; version++) {
        CAPTURE(version);
        KafkaFixture fixture;
        ListOffsetsRequest request = list("orders", {{2, 1234}});
        request.topics[0].partitions[0].current_leader_epoch = version >= 4 ? 7 : -1;
        request.isolation_level = version >= 2 ? 1 : 0;
        fixture.send(request, version);
        REQUIRE(fixture.services.submitted.size() == 1);
        const replica::PartitionRequest& asked = fixture.services.submitted[0];
        CHECK(asked.key.index == PartitionIndex(2));
        CHECK(asked.current_leader_epoch == LeaderEpoch(version >= 4 ? 7 : -1));
        const auto& op = std::get<replica::ListOffsetOp>(asked.op);
        CHECK(op.timestamp_ms == 1234);
        CHECK((op.isolation == replica::Isolation::read_committed) == (version >= 2));
        fixture.services.answer_partition(
            replica::PartitionResult(replica::ListOffsetResult{Offset(50), 1300, LeaderEpoch(7)}));
        const auto response = fixture.receive<ListOffsetsResponse>(version);
        const auto& partition = response.topics.at(0).partitions.at(0);
        CHECK(partition.error_code == 0);
        CHECK(partition.offset == 50);
        CHECK(partition.timestamp == 1300);
        CHECK(partition.leader_epoch == (version >= 4 ? 7 : -1));
    }
}

TEST_CASE("list offsets: special timestamps need their version, others do not exist") {
    const std::pair<int64_t, int16_t> marks[] = {{-3, 7}, {-4, 8}, {-5, 9}, {-6, 11}};
    for (const auto& mark : marks) {
        CAPTURE(mark.first);
        CHECK(list_error(static_cast<int16_t>(mark.second - 1),
                         list("events", {{0, mark.first}})) == 35);
        KafkaFixture fixture;
        fixture.send(list("events", {{0, mark.first}}), mark.second);
        CHECK(fixture.services.submitted.size() == 1);
    }
    CHECK(list_error(11, list("events", {{0, -7}})) == 35);
    CHECK(list_error(11, list("events", {{0, INT64_MIN}})) == 35);
}

TEST_CASE("list offsets: unknown topics and partitions, followers and bad isolation are refused") {
    CHECK(list_error(5, list("missing", {{0, -1}})) == 3);
    CHECK(list_error(5, list("events", {{1, -1}})) == 3);
    CHECK(list_error(5, list("events", {{-1, -1}})) == 3);
    ListOffsetsRequest follower = list("events", {{0, -1}});
    follower.replica_id = 2;
    CHECK(list_error(5, follower) == 42);
    ListOffsetsRequest isolation = list("events", {{0, -1}});
    isolation.isolation_level = 2;
    CHECK(list_error(5, isolation) == 42);
}

TEST_CASE("list offsets: a partition asked for twice is refused both times") {
    KafkaFixture fixture;
    fixture.send(list("events", {{0, -1}, {0, -2}}), 5);
    REQUIRE(fixture.services.submitted.empty());
    const auto response = fixture.receive<ListOffsetsResponse>(5);
    CHECK(response.topics.at(0).partitions.at(0).error_code == 42);
    CHECK(response.topics.at(0).partitions.at(1).error_code == 42);
}

TEST_CASE("list offsets: an offset not known yet is told in the words of the version") {
    for (const auto& [version, error] : {std::pair<int16_t, int16_t>{int16_t{4}, int16_t{5}},
                                         std::pair<int16_t, int16_t>{int16_t{5}, int16_t{78}}}) {
        KafkaFixture fixture;
        fixture.send(list("events", {{0, -1}}), version);
        fixture.services.answer_partition(Error(Code::offset_not_available));
        CHECK(fixture.receive<ListOffsetsResponse>(version)
                  .topics.at(0)
                  .partitions.at(0)
                  .error_code == error);
    }
}

TEST_CASE("list offsets: replies out of order stand where they were asked") {
    KafkaFixture fixture;
    fixture.send(list("orders", {{0, -1}, {9, -1}, {2, -1}}), 5);
    REQUIRE(fixture.services.submitted.size() == 2);
    std::swap(fixture.services.submitted[0], fixture.services.submitted[1]);
    fixture.services.answer_partition(
        replica::PartitionResult(replica::ListOffsetResult{Offset(22), -1, LeaderEpoch(7)}));
    fixture.services.answer_partition(Error(Code::fenced_leader_epoch));
    const auto response = fixture.receive<ListOffsetsResponse>(5);
    const auto& partitions = response.topics.at(0).partitions;
    CHECK(partitions.at(0).error_code == 74);
    CHECK(partitions.at(1).error_code == 3);
    CHECK(partitions.at(1).partition_index == 9);
    CHECK(partitions.at(2).offset == 22);
}

TEST_CASE("list offsets: a request for nothing is answered at once") {
    KafkaFixture fixture;
    CHECK(fixture.call<ListOffsetsResponse>(ListOffsetsRequest{}, 5).topics.empty());
}

TEST_CASE("delete records: a topic that is compacted alone keeps its beginning") {
    KafkaFixture fixture;
    auto image = make_image();
    auto compacted = std::make_shared<metadata::TopicImage>(*image->topic("orders"));
    compacted->effective.cleanup_delete = false;
    compacted->effective.cleanup_compact = true;
    image->topics_by_name["orders"] = compacted;
    fixture.services.image_ = image;
    DeleteRecordsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "orders";
    topic.partitions.emplace_back().offset = -1;
    const auto response = fixture.call<DeleteRecordsResponse>(request, 2);
    CHECK(response.topics.at(0).partitions.at(0).error_code == 44);
    CHECK(response.topics.at(0).partitions.at(0).low_watermark == -1);
}

TEST_CASE("delete records: every version; errors per partition; internal topics are refused") {
    for (int16_t version = 0; version <= 2; version++) {
        KafkaFixture fixture;
        DeleteRecordsRequest request;
        request.timeout_ms = 1000;
        for (const std::string_view name : {"orders", "__consumer_offsets", "missing"}) {
            auto& topic = request.topics.emplace_back();
            topic.name = name;
            topic.partitions.emplace_back().offset = -1;
        }
        request.topics[0].partitions.emplace_back();
        request.topics[0].partitions[1].partition_index = 1;
        request.topics[0].partitions[1].offset = 99;
        fixture.send(request, version);
        REQUIRE(fixture.services.submitted.size() == 2);
        const auto& op = std::get<replica::DeleteRecordsOp>(fixture.services.submitted[0].op);
        CHECK(op.before_offset == Offset(-1));
        CHECK(op.deadline == fixture.services.now_ + 1s);
        fixture.services.answer_partition(
            replica::PartitionResult(replica::DeleteRecordsResult{Offset(40)}));
        fixture.services.answer_partition(Error(Code::offset_out_of_range));
        const auto response = fixture.receive<DeleteRecordsResponse>(version);
        REQUIRE(response.topics.size() == 3);
        CHECK(response.topics[0].partitions.at(0).low_watermark == 40);
        CHECK(response.topics[0].partitions.at(0).error_code == 0);
        CHECK(response.topics[0].partitions.at(1).error_code == 1);
        CHECK(response.topics[0].partitions.at(1).low_watermark == -1);
        CHECK(response.topics[1].partitions.at(0).error_code == 17);
        CHECK(response.topics[2].partitions.at(0).error_code == 3);
    }
}

TEST_CASE("delete records: the request's time is the deadline; too late has its own error") {
    const std::pair<int32_t, Duration> times[] = {
        {0, 0s}, {-5, 0s}, {250, 250ms}, {INT32_MAX, 15min}};
    for (const auto& [timeout_ms, expected] : times) {
        CAPTURE(timeout_ms);
        KafkaFixture fixture;
        DeleteRecordsRequest request;
        request.timeout_ms = timeout_ms;
        auto& topic = request.topics.emplace_back();
        topic.name = "orders";
        topic.partitions.emplace_back().offset = -1;
        fixture.send(request, 2);
        REQUIRE(fixture.services.submitted.size() == 1);
        const auto& op = std::get<replica::DeleteRecordsOp>(fixture.services.submitted[0].op);
        CHECK(op.deadline == fixture.services.now_ + expected);
        fixture.services.answer_partition(Error(Code::timed_out));
        const auto response = fixture.receive<DeleteRecordsResponse>(2);
        CHECK(response.topics.at(0).partitions.at(0).error_code == 7);
        CHECK(response.topics[0].partitions[0].low_watermark == -1);
    }
}

TEST_CASE("offset for leader epoch: every version; epochs are fenced where they are asked") {
    for (int16_t version = 2; version <= 4; version++) {
        KafkaFixture fixture;
        OffsetForLeaderEpochRequest request;
        auto& topic = request.topics.emplace_back();
        topic.topic = "orders";
        for (int32_t index = 0; index < 2; index++) {
            auto& partition = topic.partitions.emplace_back();
            partition.partition = index;
            partition.current_leader_epoch = 7;
            partition.leader_epoch = 6;
        }
        fixture.send(request, version);
        REQUIRE(fixture.services.submitted.size() == 2);
        CHECK(fixture.services.submitted[0].current_leader_epoch == LeaderEpoch(7));
        fixture.services.answer_partition(
            replica::PartitionResult(replica::EpochEndResult{LeaderEpoch(6), Offset(12)}));
        fixture.services.answer_partition(Error(Code::unknown_leader_epoch));
        const auto response = fixture.receive<OffsetForLeaderEpochResponse>(version);
        const auto& partitions = response.topics.at(0).partitions;
        CHECK(partitions.at(0).leader_epoch == 6);
        CHECK(partitions.at(0).end_offset == 12);
        CHECK(partitions.at(1).error_code == 75);
        CHECK(partitions.at(1).end_offset == -1);
    }
}
