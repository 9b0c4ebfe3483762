// Proves the handlers of transactions: which shard of __transaction_state hears a request, with
// which bytes, and what the client is told when a shard does not answer.
#include "lib/protocol/msg/add_offsets_to_txn.h"
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/describe_transactions.h"
#include "lib/protocol/msg/end_txn.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/list_transactions.h"
#include "server/coordinator/machine.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using namespace qtool::protocol;

namespace {

constexpr int32_t kShards = 5;

struct TxnFixture : KafkaFixture {
    TxnFixture() {
        auto image = make_image();
        add_topic(*image, make_topic("__transaction_state", 8, kShards));
        add_topic(*image, make_topic("__consumer_offsets", 9, 3));
        services.image_ = image;
    }
    // The oldest request to a shard, decoded.
    template <class Request>
    Request asked(std::string_view id, int16_t version) {
        REQUIRE_FALSE(services.submitted.empty());
        const replica::PartitionRequest& request = services.submitted.front();
        CHECK(request.key.topic_id == services.image_->topic("__transaction_state")->id);
        CHECK(request.key.index == coordinator::shard_of(id, kShards));
        const auto& op = std::get<replica::CoordinatorOp>(request.op);
        CHECK(op.api_key == Request::kApiKey);
        CHECK(op.api_version == version);
        CHECK(op.client_id == "test");
        auto decoded = Request::decode(op.body, version);
        REQUIRE(decoded);
        return *std::move(decoded);
    }
    template <class Response>
    void answer_shard(const Response& response, int16_t version) {
        ByteWriter body;
        response.encode(body, version);
        services.answer_partition(
            replica::PartitionResult(replica::CoordinatorResult{body.take()}));
    }
};

// Ids of different shards, the lower shard first.
std::pair<std::string, std::string> ids_of_two_shards() {
    std::string other = "b";
    while (coordinator::shard_of(other, kShards) <= coordinator::shard_of("a", kShards)) {
        other += "b";
    }
    return {"a", other};
}

} // namespace

TEST_CASE("transactions: a request of one id goes to its shard and back") {
    for (int16_t version = 0; version <= 5; version++) {
        CAPTURE(version);
        TxnFixture fixture;
        EndTxnRequest request;
        request.transactional_id = "payments";
        request.producer_id = 7;
        request.committed = true;
        fixture.send(request, version);
        CHECK(fixture.asked<EndTxnRequest>("payments", version) == request);
        EndTxnResponse answer;
        answer.error_code = 51;
        fixture.answer_shard(answer, version);
        CHECK(fixture.receive<EndTxnResponse>(version).error_code == 51);

        InitProducerIdRequest init;
        init.transactional_id = "payments";
        fixture.send(init, version);
        CHECK(fixture.asked<InitProducerIdRequest>("payments", version) == init);
        fixture.services.answer_partition(Error(Code::coordinator_loading));
        const auto refused = fixture.receive<InitProducerIdResponse>(version);
        CHECK(refused.error_code == 14);
        CHECK(refused.producer_id == -1);
    }
}

TEST_CASE("transactions: without __transaction_state there is no coordinator") {
    KafkaFixture fixture;
    EndTxnRequest end;
    end.transactional_id = "payments";
    CHECK(fixture.call<EndTxnResponse>(end, 4).error_code == 15);
    CHECK(fixture.call<ListTransactionsResponse>(ListTransactionsRequest{}, 2).error_code == 0);
    DescribeTransactionsRequest describe;
    describe.transactional_ids = {"payments"};
    CHECK(fixture.call<DescribeTransactionsResponse>(describe, 0)
              .transaction_states.at(0)
              .error_code == 15);
}

TEST_CASE("transactions: adding offsets makes __consumer_offsets") {
    KafkaFixture fixture;
    auto image = make_image();
    image->topics_by_name.erase("__consumer_offsets");
    fixture.services.image_ = image;
    AddOffsetsToTxnRequest request;
    request.transactional_id = "payments";
    request.group_id = "readers";
    fixture.send(request, 3);
    REQUIRE(fixture.services.changes.size() == 1);
    fixture.services.commit();
    CHECK(fixture.receive<AddOffsetsToTxnResponse>(3).error_code == 15); // asks again

    TxnFixture made;
    made.send(request, 3);
    CHECK(made.asked<AddOffsetsToTxnRequest>("payments", 3) == request);
}

TEST_CASE("transactions: partitions of several ids are asked shard by shard") {
    const auto [first, second] = ids_of_two_shards();
    TxnFixture fixture;
    AddPartitionsToTxnRequest request;
    request.transactions.push_back({second, 2, 0, true, {{"events", {0}}}});
    request.transactions.push_back({first, 1, 0, false, {{"orders", {0, 1}}}});
    fixture.send(request, 5);
    REQUIRE(fixture.services.submitted.size() == 2);
    const auto part = fixture.asked<AddPartitionsToTxnRequest>(first, 5);
    REQUIRE(part.transactions.size() == 1);
    CHECK(part.transactions[0] == request.transactions[1]);
    fixture.services.answer_partition(Error(Code::not_leader));
    CHECK(fixture.asked<AddPartitionsToTxnRequest>(second, 5).transactions.at(0) ==
          request.transactions[0]);
    AddPartitionsToTxnResponse answer;
    answer.results_by_transaction.push_back({second, {{"events", {{0, 120}}}}});
    fixture.answer_shard(answer, 5);
    const auto response = fixture.receive<AddPartitionsToTxnResponse>(5);
    REQUIRE(response.results_by_transaction.size() == 2);
    const auto& refused = response.results_by_transaction[0];
    CHECK(refused.transactional_id == first);
    CHECK(refused.topic_results.at(0).results_by_partition.at(1).partition_error_code == 16);
    CHECK(response.results_by_transaction[1] == answer.results_by_transaction[0]);
}

TEST_CASE("transactions: one id of version 3 and below") {
    TxnFixture fixture;
    AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = "payments";
    request.v3_and_below_topics = {{"events", {0}}, {"orders", {1}}};
    for (int16_t version = 0; version <= 3; version++) {
        fixture.send(request, version);
        CHECK(fixture.asked<AddPartitionsToTxnRequest>("payments", version) == request);
        fixture.services.answer_partition(Error(Code::coordinator_not_available));
        const auto response = fixture.receive<AddPartitionsToTxnResponse>(version);
        REQUIRE(response.results_by_topic_v3_and_below.size() == 2);
        CHECK(response.results_by_topic_v3_and_below[1]
                  .results_by_partition.at(0)
                  .partition_error_code == 15);
    }
}

TEST_CASE("transactions: a description asks each coordinator, a list all shards led here") {
    const auto [first, second] = ids_of_two_shards();
    TxnFixture fixture;
    DescribeTransactionsRequest describe;
    describe.transactional_ids = {second, first};
    fixture.send(describe, 0);
    REQUIRE(fixture.services.submitted.size() == 2);
    CHECK(fixture.asked<DescribeTransactionsRequest>(first, 0).transactional_ids.at(0) == first);
    DescribeTransactionsResponse described;
    described.transaction_states.emplace_back();
    described.transaction_states[0].transactional_id = first;
    described.transaction_states[0].transaction_state = "Ongoing";
    fixture.answer_shard(described, 0);
    fixture.services.answer_partition(Error(Code::coordinator_loading));
    const auto states = fixture.receive<DescribeTransactionsResponse>(0).transaction_states;
    REQUIRE(states.size() == 2);
    CHECK(states[0] == described.transaction_states[0]);
    CHECK(states[1].transactional_id == second);
    CHECK(states[1].error_code == 14);

    ListTransactionsRequest list;
    list.state_filters = {"Nonsense"};
    for (const bool is_whole : {true, false}) {
        fixture.send(list, 2);
        REQUIRE(fixture.services.submitted.size() == kShards);
        for (int32_t shard = 0; shard < kShards; shard++) {
            CHECK(fixture.services.submitted.front().key.index == PartitionIndex(shard));
            if (!is_whole && shard == 2) {
                fixture.services.answer_partition(Error(Code::coordinator_loading));
                continue;
            }
            ListTransactionsResponse listed;
            listed.unknown_state_filters = {"Nonsense"};
            listed.transaction_states.push_back({"id", shard, "Empty"});
            fixture.answer_shard(listed, 2);
        }
        const auto response = fixture.receive<ListTransactionsResponse>(2);
        CHECK(response.error_code == (is_whole ? 0 : 14));
        CHECK(response.transaction_states.size() == (is_whole ? kShards : 0));
        CHECK(response.unknown_state_filters.size() == (is_whole ? 1 : 0));
    }
}
