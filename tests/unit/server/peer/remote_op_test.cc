// Proves how operations on partitions that others lead look in Kafka's protocol, and that the
// answers are those a local partition would have given.
#include "lib/base/byte_writer.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/list_offsets.h"
#include "lib/protocol/msg/write_txn_markers.h"
#include "lib/protocol/record_batch.h"
#include "server/peer/remote_op.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace qtool;
using namespace qtool::peer;
using namespace std::chrono_literals;

namespace {

constexpr MonoTime kNow{1000s};

metadata::TopicImage make_topic() {
    metadata::TopicImage topic;
    topic.name = "orders";
    topic.id.bytes.fill(7);
    return topic;
}

Call make(replica::PartitionOp op) {
    const metadata::TopicImage topic = make_topic();
    replica::PartitionRequest request;
    request.request = Token{3, 4};
    request.index = 5;
    request.key = PartitionKey{topic.id, PartitionIndex(2)};
    REQUIRE(is_remote_op(op));
    request.op = std::move(op);
    return make_call(std::move(request), topic, BrokerId(9), kNow);
}

Answer answer_to(const Call& call, std::vector<std::byte> body) {
    Answer answer;
    answer.api_key = call.api_key;
    answer.version = call.version;
    answer.frame.size = body.size();
    answer.frame.bytes = std::make_unique<std::byte[]>(body.size());
    std::copy(body.begin(), body.end(), answer.frame.bytes.get());
    return answer;
}

template <class Response>
Answer answer_to(const Call& call, const Response& response) {
    ByteWriter writer;
    response.encode(writer, call.version);
    return answer_to(call, writer.take());
}

replica::WriteMarkerOp marker_op() {
    replica::WriteMarkerOp op;
    op.marker.type = protocol::ControlType::commit;
    op.marker.producer_id = ProducerId(77);
    op.marker.producer_epoch = ProducerEpoch(3);
    op.marker.coordinator_epoch = 12;
    op.transaction_version = 2;
    op.deadline = kNow + 5s;
    return op;
}

protocol::WriteTxnMarkersResponse marker_answer(protocol::KafkaError error) {
    protocol::WriteTxnMarkersResponse response;
    auto& marker = response.markers.emplace_back();
    marker.producer_id = 77;
    auto& topic = marker.topics.emplace_back();
    topic.name = "orders";
    topic.partitions.push_back({2, static_cast<int16_t>(error)});
    return response;
}

} // namespace

TEST_CASE("remote op: a marker is WriteTxnMarkers, its errors those that a coordinator knows") {
    const Call call = make(marker_op());
    CHECK(call.to == BrokerId(9));
    CHECK(call.token == Token{3, 4});
    CHECK(call.index == 5);
    CHECK(call.is_partition_op);
    CHECK(call.deadline == kNow + 5s);
    CHECK(call.api_key == protocol::WriteTxnMarkersRequest::kApiKey);
    const auto request = protocol::WriteTxnMarkersRequest::decode(call.body, call.version);
    REQUIRE(request);
    REQUIRE(request->markers.size() == 1);
    const auto& marker = request->markers[0];
    CHECK(marker.producer_id == 77);
    CHECK(marker.producer_epoch == 3);
    CHECK(marker.transaction_result);
    CHECK(marker.coordinator_epoch == 12);
    CHECK(marker.transaction_version == 2);
    REQUIRE(marker.topics.size() == 1);
    CHECK(marker.topics[0].name == "orders");
    CHECK(marker.topics[0].partition_indexes == std::vector<int32_t>{2});

    using enum protocol::KafkaError;
    const auto done = read_answer(answer_to(call, marker_answer(none)));
    REQUIRE(done);
    CHECK(std::holds_alternative<replica::WriteMarkerResult>(*done));
    const auto code_of = [&](protocol::KafkaError error) {
        return read_answer(answer_to(call, marker_answer(error))).error().code;
    };
    CHECK(code_of(invalid_producer_epoch) == Code::invalid_producer_epoch);
    CHECK(code_of(transaction_coordinator_fenced) == Code::coordinator_fenced);
    CHECK(code_of(not_leader_or_follower) == Code::not_leader);
    CHECK(code_of(not_enough_replicas_after_append) == Code::not_enough_replicas_after_append);
    CHECK(read_answer(answer_to(call, protocol::WriteTxnMarkersResponse{})).error().code ==
          Code::malformed);
}

TEST_CASE("remote op: a coordinator's request travels as it is, and so does its response") {
    replica::CoordinatorOp op;
    op.api_key = 15;
    op.api_version = 6;
    op.body = {std::byte{1}, std::byte{2}};
    const Call call = make(op);
    CHECK(call.api_key == 15);
    CHECK(call.version == 6);
    CHECK(call.body == op.body);
    CHECK(call.deadline == kNow + kRemoteTimeout);
    const auto result = read_answer(answer_to(call, {std::byte{9}}));
    REQUIRE(result);
    CHECK(std::get<replica::CoordinatorResult>(*result).body == std::vector{std::byte{9}});
}

TEST_CASE("remote op: lag is the first batch behind the committed offset, and the high watermark") {
    const Call call = make(replica::LagOp{Offset(40)});
    const auto request = protocol::FetchRequest::decode(call.body, call.version);
    REQUIRE(request);
    CHECK(request->max_wait_ms == 0);
    CHECK(request->session_epoch == -1);
    REQUIRE(request->topics.size() == 1);
    CHECK(request->topics[0].topic_id == make_topic().id);
    REQUIRE(request->topics[0].partitions.size() == 1);
    CHECK(request->topics[0].partitions[0].partition == 2);
    CHECK(request->topics[0].partitions[0].fetch_offset == 40);

    protocol::FetchResponse response;
    auto& partition = response.responses.emplace_back().partitions.emplace_back();
    partition.high_watermark = 50;
    auto result = read_answer(answer_to(call, response));
    REQUIRE(result);
    CHECK(std::get<replica::LagResult>(*result).high_watermark == Offset(50));
    CHECK(std::get<replica::LagResult>(*result).timestamp_ms == -1);

    // Committed before what retention left: asked again where the log begins.
    metadata::Image image;
    const auto topic = std::make_shared<metadata::TopicImage>(make_topic());
    image.topics_by_id[topic->id] = topic;
    image.topics_by_name[topic->name] = topic;
    CHECK_FALSE(next_call(answer_to(call, response), image, kNow));
    response.responses[0].topic_id = topic->id;
    response.responses[0].partitions[0].partition_index = 2;
    response.responses[0].partitions[0].error_code =
        static_cast<int16_t>(protocol::KafkaError::offset_out_of_range);
    CHECK(read_answer(answer_to(call, response)).error().code == Code::offset_out_of_range);
    const auto where = next_call(answer_to(call, response), image, kNow);
    REQUIRE(where);
    CHECK(where->api_key == protocol::ListOffsetsRequest::kApiKey);
    CHECK(where->hop == 1);
    CHECK(where->is_partition_op);
    protocol::ListOffsetsResponse begins;
    auto& listed = begins.topics.emplace_back();
    listed.name = "orders";
    auto& start = listed.partitions.emplace_back();
    start.partition_index = 2;
    start.offset = 45;
    const auto again = next_call(answer_to(*where, begins), image, kNow);
    REQUIRE(again);
    const auto fetch = protocol::FetchRequest::decode(again->body, again->version);
    REQUIRE(fetch);
    CHECK(fetch->topics[0].partitions[0].partition == 2);
    CHECK(fetch->topics[0].partitions[0].fetch_offset == 45);
    Answer endless = answer_to(call, response);
    endless.hop = 4;
    CHECK_FALSE(next_call(endless, image, kNow));
}

TEST_CASE("remote op: what went wrong on the way is the operation's error") {
    Answer answer;
    answer.result = Error(Code::no_broker, "gone");
    CHECK(read_answer(answer).error().code == Code::no_broker);
    CHECK_FALSE(is_remote_op(replica::AppendOp{}));
    CHECK_FALSE(is_remote_op(replica::ReadOp{}));
}
