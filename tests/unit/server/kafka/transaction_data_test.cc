// Proves what the data path's handlers make of transactions: a first batch is verified with the
// coordinator before it is appended, its errors are told in the words of the version; fetches carry
// aborted transactions; markers and producers go to the partitions named.
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/describe_producers.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/produce.h"
#include "lib/protocol/msg/write_txn_markers.h"
#include "server/coordinator/machine.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::AddPartitionsToTxnRequest;
using protocol::AddPartitionsToTxnResponse;
using protocol::ProduceRequest;
using protocol::ProduceResponse;

namespace {

constexpr int16_t kVerifyVersion = 4;

std::vector<std::byte> make_batch(int64_t producer_id = 77, int16_t epoch = 3) {
    protocol::BatchBuilder builder;
    REQUIRE(builder.append(as_bytes("key"), as_bytes("value"), {}, 1'700'000'000'000));
    protocol::BatchClose close;
    close.producer_id = ProducerId(producer_id);
    close.producer_epoch = ProducerEpoch(epoch);
    close.base_sequence = 0;
    close.transactional = true;
    auto batch = builder.finish(close);
    REQUIRE(batch);
    return *std::move(batch);
}

struct Fixture : KafkaFixture {
    std::vector<std::byte> batch = make_batch();
    std::vector<std::byte> verify_answer;
    int16_t version = 11;

    Fixture() {
        auto image = make_image();
        add_topic(*image, make_topic("__transaction_state", 9, 5));
        services.image_ = image;
    }

    ProduceRequest produce(std::vector<int32_t> partitions) {
        ProduceRequest request;
        request.transactional_id = "txn";
        request.acks = -1;
        request.timeout_ms = 1000;
        auto& topic = request.topic_data.emplace_back();
        topic.name = "orders";
        topic.topic_id.bytes.fill(2);
        for (const int32_t index : partitions) {
            auto& partition = topic.partition_data.emplace_back();
            partition.index = index;
            partition.records.emplace();
            partition.records->bytes = batch;
        }
        return request;
    }
    const replica::AppendOp& append_op() {
        REQUIRE(!services.submitted.empty());
        return std::get<replica::AppendOp>(services.submitted[0].op);
    }
    void answer_guard(uint64_t guard) {
        replica::AppendResult result;
        result.verification_guard = guard;
        services.answer_partition(replica::PartitionResult(result));
    }
    void answer_appended(int64_t offset) {
        replica::AppendResult result;
        result.base_offset = Offset(offset);
        result.log_start_offset = Offset(0);
        services.answer_partition(replica::PartitionResult(result));
    }
    /// What the coordinator is asked; checks where it went.
    AddPartitionsToTxnRequest question() {
        REQUIRE(services.submitted.size() == 1);
        const replica::PartitionRequest& asked = services.submitted[0];
        TopicId transactions;
        transactions.bytes.fill(9);
        CHECK(asked.key == PartitionKey{transactions, coordinator::shard_of("txn", 5)});
        const auto& op = std::get<replica::CoordinatorOp>(asked.op);
        CHECK(op.api_key == 24);
        CHECK(op.api_version == kVerifyVersion);
        CHECK(op.client_id == "test");
        CHECK(op.client_host == "/127.0.0.1");
        question_ = op.body;
        auto request = AddPartitionsToTxnRequest::decode(question_, kVerifyVersion);
        REQUIRE(request);
        return *std::move(request);
    }
    /// The coordinator says `code` of each partition.
    void answer_question(int16_t code) {
        const AddPartitionsToTxnRequest asked = question();
        AddPartitionsToTxnResponse response;
        auto& result = response.results_by_transaction.emplace_back();
        result.transactional_id = "txn";
        for (const auto& topic : asked.transactions.at(0).topics) {
            auto& topic_result = result.topic_results.emplace_back();
            topic_result.name = topic.name;
            for (const int32_t index : topic.partitions) {
                topic_result.results_by_partition.push_back({index, code});
            }
        }
        ByteWriter body;
        response.encode(body, kVerifyVersion);
        services.answer_partition(
            replica::PartitionResult(replica::CoordinatorResult{body.take()}));
    }
    int16_t told(size_t partition = 0) {
        return receive<ProduceResponse>(version)
            .responses.at(0)
            .partition_responses.at(partition)
            .error_code;
    }

private:
    std::vector<std::byte> question_;
};

} // namespace

TEST_CASE("produce: a transaction's first batch is verified, then appended with its guard") {
    for (int16_t version = 3; version <= 13; version++) {
        CAPTURE(version);
        Fixture fixture;
        fixture.version = version;
        fixture.send(fixture.produce({2}), version);
        CHECK(fixture.append_op().verification_guard == 0);
        CHECK(fixture.append_op().transaction_version == (version >= 12 ? 2 : 1));
        fixture.answer_guard(5);
        const auto asked = fixture.question();
        REQUIRE(asked.transactions.size() == 1);
        CHECK(asked.transactions[0].transactional_id == "txn");
        CHECK(asked.transactions[0].producer_id == 77);
        CHECK(asked.transactions[0].producer_epoch == 3);
        CHECK(asked.transactions[0].verify_only == (version < 12));
        CHECK(asked.transactions[0].topics.at(0).name == "orders");
        CHECK(asked.transactions[0].topics.at(0).partitions == std::vector<int32_t>{2});
        fixture.answer_question(0);
        CHECK(fixture.append_op().verification_guard == 5);
        CHECK(fixture.append_op().acks == -1);
        CHECK(fixture.append_op().deadline == fixture.services.now_ + 1s);
        fixture.answer_appended(40);
        const auto response = fixture.receive<ProduceResponse>(version);
        CHECK(response.responses.at(0).partition_responses.at(0).error_code == 0);
        CHECK(response.responses.at(0).partition_responses.at(0).base_offset == 40);
    }
}

TEST_CASE_FIXTURE(Fixture, "produce: one question for the partitions that want it, no others") {
    send(produce({0, 1, 2}), version);
    REQUIRE(services.submitted.size() == 3);
    answer_guard(5);
    answer_appended(10);
    answer_guard(6);
    CHECK(question().transactions.at(0).topics.at(0).partitions == std::vector<int32_t>{0, 2});
    answer_question(0);
    REQUIRE(services.submitted.size() == 2);
    CHECK(append_op().verification_guard == 5);
    answer_appended(20);
    CHECK(append_op().verification_guard == 6);
    answer_appended(30);
    const auto response = receive<ProduceResponse>(version);
    const auto& partitions = response.responses.at(0).partition_responses;
    CHECK(partitions.at(0).base_offset == 20);
    CHECK(partitions.at(1).base_offset == 10);
    CHECK(partitions.at(2).base_offset == 30);
}

TEST_CASE("produce: what the coordinator says, in the words of the version") {
    struct Case {
        int16_t said, version, told;
    };
    for (const Case& c : {Case{120, 10, 48}, Case{120, 11, 120}, Case{120, 13, 120},
                          Case{90, 9, 47}, Case{90, 12, 47}, Case{14, 11, 19}, Case{15, 12, 19},
                          Case{16, 13, 19}, Case{51, 11, 19}, Case{49, 11, 49}}) {
        CAPTURE(c.said);
        CAPTURE(c.version);
        Fixture fixture;
        fixture.version = c.version;
        fixture.send(fixture.produce({0}), c.version);
        fixture.answer_guard(5);
        fixture.answer_question(c.said);
        CHECK(fixture.services.submitted.empty());
        CHECK(fixture.told() == c.told);
    }
    for (const Code code : {Code::coordinator_loading, Code::not_coordinator, Code::not_leader}) {
        Fixture fixture;
        fixture.send(fixture.produce({0}), 11);
        fixture.answer_guard(5);
        fixture.services.answer_partition(Error(code));
        CHECK(fixture.told() == 19);
    }
}

TEST_CASE_FIXTURE(Fixture, "produce: while the transaction of before ends, 100 ms of patience") {
    version = 12;
    send(produce({0}), version);
    answer_guard(5);
    SUBCASE("it ended in time") {
        answer_question(51);
        CHECK(services.submitted.empty());
        services.now_ += 20ms;
        services.pass_deadlines();
        answer_question(0);
        answer_appended(7);
        CHECK(told() == 0);
    }
    SUBCASE("it did not") {
        for (int i = 0; i < 5; i++) {
            answer_question(51);
            CHECK(services.submitted.empty());
            services.now_ += 20ms;
            services.pass_deadlines();
        }
        answer_question(51);
        CHECK(told() == 51);
    }
}

TEST_CASE_FIXTURE(Fixture, "produce: a batch that overtook the one before is sent again") {
    version = 12;
    send(produce({0}), version);
    answer_guard(5);
    answer_question(0);
    services.answer_partition(Error(Code::out_of_order_sequence));
    CHECK(services.submitted.empty());
    services.now_ += 5ms;
    services.pass_deadlines();
    CHECK(append_op().verification_guard == 5);
    SUBCASE("the one before has come") {
        answer_appended(7);
        CHECK(told() == 0);
    }
    SUBCASE("it never comes") {
        services.now_ += 2s;
        services.answer_partition(Error(Code::out_of_order_sequence));
        CHECK(told() == 45);
    }
}

TEST_CASE_FIXTURE(Fixture, "produce: a guard that is void each time") {
    send(produce({0}), version);
    for (uint64_t guard = 1; guard <= 3; guard++) {
        answer_guard(guard);
        answer_question(0);
        CHECK(append_op().verification_guard == guard);
    }
    answer_guard(9);
    CHECK(services.submitted.empty());
    CHECK(told() == 19);
}

TEST_CASE_FIXTURE(Fixture, "produce: no transactional id, no coordinator's topic, two producers") {
    SUBCASE("no id") {
        ProduceRequest request = produce({0});
        request.transactional_id.reset();
        CHECK(call<ProduceResponse>(request, version)
                  .responses.at(0)
                  .partition_responses.at(0)
                  .error_code == 53);
    }
    SUBCASE("no topic") {
        services.image_ = make_image();
        send(produce({0}), version);
        answer_guard(5);
        CHECK(told() == 19);
    }
    SUBCASE("two producers") {
        ProduceRequest request = produce({0, 1});
        const std::vector<std::byte> other = make_batch(78);
        request.topic_data[0].partition_data[1].records->bytes = other;
        send(request, version);
        answer_guard(5);
        answer_guard(6);
        answer_question(0);
        answer_appended(7);
        const auto response = receive<ProduceResponse>(version);
        CHECK(response.responses.at(0).partition_responses.at(0).error_code == 0);
        CHECK(response.responses.at(0).partition_responses.at(1).error_code == 49);
    }
}

TEST_CASE("fetch: aborted transactions are a list for readers of committed data, else null") {
    for (int16_t version = 4; version <= 17; version++) {
        for (const int8_t isolation : {int8_t{0}, int8_t{1}}) {
            CAPTURE(version);
            KafkaFixture fixture;
            protocol::FetchRequest request;
            request.isolation_level = isolation;
            request.min_bytes = 1;
            request.max_bytes = 1000;
            auto& topic = request.topics.emplace_back();
            topic.topic = "orders";
            topic.topic_id.bytes.fill(2);
            topic.partitions.emplace_back().partition_max_bytes = 1000;
            fixture.send(request, version);
            REQUIRE(fixture.services.submitted.size() == 1);
            CHECK((std::get<replica::ReadOp>(fixture.services.submitted[0].op).isolation ==
                   replica::Isolation::read_committed) == (isolation == 1));
            replica::ReadResult result;
            result.high_watermark = Offset(30);
            result.last_stable_offset = Offset(20);
            result.log_start_offset = Offset(0);
            if (isolation == 1) {
                result.aborted = {{ProducerId(7), Offset(3)}, {ProducerId(8), Offset(1)}};
            }
            fixture.services.answer_partition(replica::PartitionResult(std::move(result)));
            const auto response = fixture.receive<protocol::FetchResponse>(version);
            const auto& partition = response.responses.at(0).partitions.at(0);
            CHECK(partition.high_watermark == 30);
            CHECK(partition.last_stable_offset == 20);
            CHECK(partition.aborted_transactions.has_value() == (isolation == 1));
            if (isolation == 1) {
                REQUIRE(partition.aborted_transactions->size() == 2);
                CHECK(partition.aborted_transactions->at(0).producer_id == 7);
                CHECK(partition.aborted_transactions->at(0).first_offset == 3);
                CHECK(partition.aborted_transactions->at(1).producer_id == 8);
            }
        }
    }
}

TEST_CASE("write txn markers: each marker goes to each of its partitions") {
    for (int16_t version = 1; version <= 2; version++) {
        CAPTURE(version);
        KafkaFixture fixture;
        protocol::WriteTxnMarkersRequest request;
        auto& commit = request.markers.emplace_back();
        commit.producer_id = 77;
        commit.producer_epoch = 4;
        commit.transaction_result = true;
        commit.coordinator_epoch = 6;
        commit.transaction_version = version == 2 ? 2 : 0;
        commit.topics.push_back({"orders", {0, 9}});
        commit.topics.push_back({"missing", {0}});
        auto& abort = request.markers.emplace_back();
        abort.producer_id = 78;
        abort.topics.push_back({"events", {0}});
        fixture.send(request, version);
        REQUIRE(fixture.services.submitted.size() == 2);
        const auto& op = std::get<replica::WriteMarkerOp>(fixture.services.submitted[0].op);
        CHECK(op.marker.type == protocol::ControlType::commit);
        CHECK(op.marker.producer_id == ProducerId(77));
        CHECK(op.marker.producer_epoch == ProducerEpoch(4));
        CHECK(op.marker.coordinator_epoch == 6);
        CHECK(op.transaction_version == (version == 2 ? 2 : 0));
        CHECK(std::get<replica::WriteMarkerOp>(fixture.services.submitted[1].op).marker.type ==
              protocol::ControlType::abort);
        fixture.services.answer_partition(replica::PartitionResult(replica::WriteMarkerResult{}));
        fixture.services.answer_partition(Error(Code::coordinator_fenced));
        const auto response = fixture.receive<protocol::WriteTxnMarkersResponse>(version);
        REQUIRE(response.markers.size() == 2);
        CHECK(response.markers[0].producer_id == 77);
        CHECK(response.markers[0].topics.at(0).partitions.at(0).error_code == 0);
        CHECK(response.markers[0].topics.at(0).partitions.at(1).error_code == 3);
        CHECK(response.markers[0].topics.at(1).partitions.at(0).error_code == 3);
        CHECK(response.markers[1].topics.at(0).partitions.at(0).error_code == 52);
    }
}

TEST_CASE("describe producers: what each partition knows") {
    KafkaFixture fixture;
    protocol::DescribeProducersRequest request;
    request.topics.push_back({"orders", {0, 1, 5}});
    fixture.send(request, 0);
    REQUIRE(fixture.services.submitted.size() == 2);
    replica::ProducersResult result;
    result.producers.push_back({ProducerId(7), ProducerEpoch(2), 9, 1'700, 4, Offset(30)});
    fixture.services.answer_partition(replica::PartitionResult(std::move(result)));
    fixture.services.answer_partition(Error(Code::not_leader, "not here"));
    const auto response = fixture.receive<protocol::DescribeProducersResponse>(0);
    const auto& partitions = response.topics.at(0).partitions;
    REQUIRE(partitions.at(0).active_producers.size() == 1);
    const auto& producer = partitions.at(0).active_producers[0];
    CHECK(producer.producer_id == 7);
    CHECK(producer.producer_epoch == 2);
    CHECK(producer.last_sequence == 9);
    CHECK(producer.last_timestamp == 1'700);
    CHECK(producer.coordinator_epoch == 4);
    CHECK(producer.current_txn_start_offset == 30);
    CHECK(partitions.at(1).error_code == 6);
    CHECK(partitions.at(1).error_message == "not here");
    CHECK(partitions.at(2).error_code == 3);
}
