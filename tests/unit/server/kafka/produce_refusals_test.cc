// Proves how Produce refuses: in which order what is wrong is looked at, as Kafka does it; what an
// answer tells of a refused batch (records to blame, log start, words, leader) in each version; and
// that one refused partition leaves the others alone.
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/msg/produce.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::ProduceRequest;
using protocol::ProduceResponse;

namespace {

std::vector<std::byte> make_batch(bool transactional = false) {
    protocol::BatchBuilder builder;
    REQUIRE(builder.append(as_bytes("key"), as_bytes("value"), {}, 1'700'000'000'000));
    protocol::BatchClose close;
    if (transactional) {
        close.producer_id = ProducerId(77);
        close.producer_epoch = ProducerEpoch(0);
        close.base_sequence = 0;
        close.transactional = true;
    }
    auto batch = builder.finish(close);
    REQUIRE(batch);
    return *std::move(batch);
}

std::vector<std::byte> with_zstd(std::vector<std::byte> batch) {
    batch.at(22) |= std::byte{4}; // low byte of the attributes
    return batch;
}

struct Part {
    std::string_view topic = "orders";
    int32_t index = 0;
    std::vector<std::byte> batch = make_batch();
};

struct Fixture : KafkaFixture {
    std::vector<Part> parts;
    int16_t acks = -1;
    int16_t version = 9;

    /// One topic entry for each of `parts`.
    void produce() {
        ProduceRequest request;
        request.acks = acks;
        request.timeout_ms = 1000;
        for (const Part& part : parts) {
            auto& topic = request.topic_data.emplace_back();
            topic.name = part.topic;
            auto& partition = topic.partition_data.emplace_back();
            partition.index = part.index;
            partition.records.emplace();
            partition.records->bytes = part.batch;
        }
        send(request, version);
    }
    /// Answered without asking any partition.
    std::vector<int16_t> refusals() {
        produce();
        CHECK(services.submitted.empty());
        std::vector<int16_t> codes;
        const auto response = receive<ProduceResponse>(version);
        for (const auto& topic : response.responses) {
            const auto& partition = topic.partition_responses.at(0);
            CHECK(partition.base_offset == -1);
            CHECK(partition.log_start_offset == -1);
            CHECK(partition.record_errors.empty());
            codes.push_back(partition.error_code);
        }
        return codes;
    }
    int16_t refusal(Part part) {
        parts = {std::move(part)};
        return refusals().at(0);
    }
    void answer_appended(int64_t offset) {
        replica::AppendResult result;
        result.base_offset = Offset(offset);
        result.log_start_offset = Offset(2);
        services.answer_partition(replica::PartitionResult(result));
    }
};

constexpr int16_t kUnknownTopicOrPartition = 3;
constexpr int16_t kInvalidTopic = 17;
constexpr int16_t kInvalidRequiredAcks = 21;
constexpr int16_t kTransactionalIdRefused = 53;
constexpr int16_t kUnsupportedCompression = 76;
constexpr int16_t kInvalidRecord = 87;

} // namespace

TEST_CASE_FIXTURE(Fixture, "produce: one thing wrong") {
    CHECK(refusal({"missing"}) == kUnknownTopicOrPartition);
    CHECK(refusal({"orders", 3}) == kUnknownTopicOrPartition);
    CHECK(refusal({"orders", -1}) == kUnknownTopicOrPartition);
    CHECK(refusal({"orders", 0, {}}) == kInvalidRecord);
    CHECK(refusal({"__consumer_offsets"}) == kInvalidTopic);
    CHECK(refusal({"orders", 0, make_batch(true)}) == kTransactionalIdRefused);
    for (const int16_t odd : {int16_t{2}, int16_t{-2}, int16_t{100}}) {
        acks = odd;
        CHECK(refusal({}) == kInvalidRequiredAcks);
    }
    acks = -1;
    version = 6;
    CHECK(refusal({"orders", 0, with_zstd(make_batch())}) == kUnsupportedCompression);
}

// KafkaApis looks at the transactional id of the request, then at topic, partition and batch;
// ReplicaManager at acks, and at last whether the topic is internal.
TEST_CASE_FIXTURE(Fixture, "produce: of several things wrong Kafka's first is told") {
    version = 6;
    const std::vector<std::byte> zstd = with_zstd(make_batch());
    acks = 5;
    CHECK(refusal({"missing", 0, {}}) == kUnknownTopicOrPartition);
    CHECK(refusal({"orders", 9, zstd}) == kUnknownTopicOrPartition);
    CHECK(refusal({"orders", 0, {}}) == kInvalidRecord);
    CHECK(refusal({"__consumer_offsets", 0, zstd}) == kUnsupportedCompression);
    CHECK(refusal({"__consumer_offsets"}) == kInvalidRequiredAcks);
    CHECK(refusal({"missing", 0, make_batch(true)}) == kTransactionalIdRefused);
}

TEST_CASE_FIXTURE(Fixture,
                  "produce: a transactional batch without an id refuses all of the request") {
    parts = {{}, {"missing"}, {"events", 0, make_batch(true)}};
    CHECK(refusals() == std::vector<int16_t>(3, kTransactionalIdRefused));
}

TEST_CASE("produce: what is told of a refused batch, in each version") {
    for (int16_t version = 3; version <= 12; version++) {
        CAPTURE(version);
        Fixture fixture;
        fixture.version = version;
        fixture.parts = {{"events", 0}};
        fixture.produce();
        REQUIRE(fixture.services.submitted.size() == 1);
        replica::AppendRefusal refusal;
        refusal.log_start_offset = Offset(40);
        refusal.records = {{1, "the record is bad"}, {7, "so is this"}};
        fixture.services.answer_partition(Error(Code::invalid_record, "two are bad"), refusal);
        const auto response = fixture.receive<ProduceResponse>(version);
        const auto& partition = response.responses.at(0).partition_responses.at(0);
        CHECK(partition.error_code == kInvalidRecord);
        CHECK(partition.base_offset == -1);
        CHECK(partition.log_append_time_ms == -1);
        CHECK(partition.log_start_offset == (version >= 5 ? 40 : -1));
        REQUIRE(partition.record_errors.size() == (version >= 8 ? 2 : 0));
        if (version >= 8) {
            CHECK(partition.record_errors[0].batch_index == 1);
            CHECK(partition.record_errors[0].batch_index_error_message == "the record is bad");
            CHECK(partition.record_errors[1].batch_index == 7);
            CHECK(partition.error_message == "two are bad");
        }
    }
}

TEST_CASE("produce: who leads is told from version 10 on") {
    for (const int16_t version : {int16_t{9}, int16_t{10}}) {
        CAPTURE(version);
        Fixture fixture;
        fixture.version = version;
        fixture.parts = {{"events", 0}};
        fixture.produce();
        fixture.services.answer_partition(Error(Code::not_leader));
        const auto response = fixture.receive<ProduceResponse>(version);
        const auto& partition = response.responses.at(0).partition_responses.at(0);
        CHECK(partition.error_code == 6);
        CHECK(partition.log_start_offset == -1);
        CHECK(partition.current_leader.leader_id == (version >= 10 ? 1 : -1));
        CHECK(partition.current_leader.leader_epoch == (version >= 10 ? 7 : -1));
        CHECK(response.node_endpoints.size() == (version >= 10 ? 1 : 0));
    }
}

TEST_CASE_FIXTURE(Fixture, "produce: a refused partition leaves the others alone") {
    parts = {{"orders", 0}, {"missing"}, {"orders", 1}, {"orders", 2}};
    produce();
    REQUIRE(services.submitted.size() == 3);
    answer_appended(10);
    services.answer_partition(Error(Code::message_too_large));
    answer_appended(30);
    const auto response = receive<ProduceResponse>(version);
    std::vector<std::pair<int16_t, int64_t>> told;
    for (const auto& topic : response.responses) {
        const auto& partition = topic.partition_responses.at(0);
        told.emplace_back(partition.error_code, partition.base_offset);
    }
    CHECK(told == std::vector<std::pair<int16_t, int64_t>>{{0, 10}, {3, -1}, {10, -1}, {0, 30}});
    CHECK(response.responses[0].partition_responses[0].log_start_offset == 2);
}

TEST_CASE_FIXTURE(Fixture,
                  "produce: a batch that is in the log nobody knows where is a duplicate") {
    parts = {{}, {}};
    produce();
    answer_appended(-1);
    answer_appended(7);
    const auto response = receive<ProduceResponse>(version);
    CHECK(response.responses.at(0).partition_responses.at(0).error_code == 46);
    CHECK(response.responses.at(0).partition_responses.at(0).base_offset == -1);
    CHECK(response.responses.at(1).partition_responses.at(0).error_code == 0);
    CHECK(response.responses.at(1).partition_responses.at(0).base_offset == 7);
}

TEST_CASE_FIXTURE(Fixture, "produce: without an answer a refusal closes the connection") {
    acks = 0;
    parts = {{"events", 0}};
    produce();
    REQUIRE(services.submitted.size() == 1);
    services.answer_partition(Error(Code::invalid_record));
    CHECK(host.sent.empty());
    CHECK(services.closed.size() == 1);
}
