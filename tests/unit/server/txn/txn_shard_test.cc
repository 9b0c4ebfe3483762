// TxnShard: what each request does in each state, for transactions version 1 and 2; fencing,
// timeouts, expiry, markers that fail, and that a load resumes what was decided. One shard on a
// fake runtime; the clock moves by hand.
#include "server/txn/limits.h"
#include "tests/unit/server/txn/txn_world.h"

namespace qtool::txn::test {

using enum TransactionState;
using enum KafkaError;

TEST_CASE("txn: a transaction of version 1 is prepared, marked, complete") {
    TxnWorld world;
    const Producer producer = world.begin("t");
    CHECK(producer == Producer{ProducerId(1000), ProducerEpoch(0)});
    CHECK(world.state("t") == empty);
    CHECK(world.add("t", producer, "a", {0, 2}) == none);
    CHECK(world.add("t", producer, "b") == none);
    CHECK(world.state("t") == ongoing);
    const size_t records = world.log.size();
    CHECK(world.add("t", producer, "a", {2}) == none); // known: nothing is written
    CHECK(world.log.size() == records);

    CHECK(world.end_code("t", producer, true) == none);
    CHECK(world.state("t") == prepare_commit);
    REQUIRE(world.markers.size() == 3);
    const coordinator::MarkerRequest& marker = world.markers.front();
    CHECK(marker.partition == PartitionKey{world.image_.topic("a")->id, PartitionIndex(0)});
    CHECK(marker.marker.type == protocol::ControlType::commit);
    CHECK(marker.marker.producer_id == producer.id);
    CHECK(marker.marker.producer_epoch == producer.epoch);
    CHECK(marker.marker.coordinator_epoch == 7);
    CHECK(marker.transaction_version == 0);

    CHECK(world.end_code("t", producer, true) == concurrent_transactions);
    CHECK(world.end_code("t", producer, false) == invalid_txn_state);
    CHECK(world.add("t", producer, "a") == concurrent_transactions);
    CHECK(world.init("t").error_code == int16_t(concurrent_transactions));
    world.answer_markers();
    CHECK(world.state("t") == complete_commit);
    CHECK(world.end_code("t", producer, true) == none);
    CHECK(world.end_code("t", producer, false) == invalid_txn_state);
    CHECK(world.add("t", producer, "b") == none);
    CHECK(world.end_code("t", producer, false) == none);
    world.answer_markers();
    CHECK(world.state("t") == complete_abort);
}

TEST_CASE("txn: an end raises the epoch in version 2") {
    TxnWorld world;
    Producer producer = world.begin("t");
    CHECK(world.add_batched("t", producer, "a", 1, false) == none);
    const auto ended = world.end("t", producer, true, 5);
    CHECK(ended.error_code == 0);
    CHECK(ended.producer_id == producer.id.value());
    CHECK(ended.producer_epoch == 1);
    REQUIRE(world.markers.size() == 1);
    CHECK(world.markers.front().marker.producer_epoch == ProducerEpoch(1));
    CHECK(world.markers.front().transaction_version == 2);

    const Producer next{producer.id, ProducerEpoch(1)};
    CHECK(world.add_batched("t", next, "a", 1, false) == concurrent_transactions);
    CHECK(world.add_batched("t", next, "a", 1, true) == concurrent_transactions);
    CHECK(world.end_code("t", producer, true, 5) == concurrent_transactions); // retry
    CHECK(world.end_code("t", producer, false, 5) == invalid_txn_state);
    world.answer_markers();
    CHECK(world.state("t") == complete_commit);
    const auto again = world.end("t", producer, true, 5); // the answer was lost
    CHECK(again.error_code == 0);
    CHECK(again.producer_epoch == 1);
    CHECK(world.end_code("t", producer, false, 5) == invalid_txn_state);
    CHECK(world.end_code("t", next, true, 5) == invalid_txn_state); // nothing to commit

    const auto nothing = world.end("t", next, false, 5); // an abort of nothing
    CHECK(nothing.error_code == 0);
    CHECK(nothing.producer_epoch == 2);
    CHECK(world.state("t") == complete_abort);
    CHECK(world.end_code("t", {producer.id, ProducerEpoch(0)}, true, 5) == producer_fenced);
    CHECK(world.end_code("t", {ProducerId(77), ProducerEpoch(2)}, true, 5) ==
          invalid_producer_id_mapping);
}

TEST_CASE("txn: epochs that run out lead to a new producer id, version 2") {
    TxnWorld world;
    Producer producer = world.begin("t");
    while (producer.epoch < kProducerEpochMax) {
        REQUIRE(world.add_batched("t", producer, "b", 0, false) == none);
        const auto ended = world.end("t", producer, true, 5);
        REQUIRE(ended.error_code == 0);
        world.answer_markers();
        producer.epoch = ProducerEpoch(ended.producer_epoch);
        world.log.clear();
    }
    CHECK(world.add_batched("t", producer, "b", 0, false) == none);
    world.next_id.reset();
    CHECK(world.end_code("t", producer, true, 5) == coordinator_load_in_progress);
    world.next_id = 5000;
    const auto ended = world.end("t", producer, true, 5);
    CHECK(ended.producer_id == 5000);
    CHECK(ended.producer_epoch == 0);
    CHECK(world.markers.front().marker.producer_id == producer.id);
    CHECK(world.markers.front().marker.producer_epoch == ProducerEpoch(32767));
    const Producer next{ProducerId(5000), ProducerEpoch(0)};
    CHECK(world.add_batched("t", next, "b", 0, false) == concurrent_transactions);
    CHECK(world.end_code("t", producer, true, 5) == concurrent_transactions);
    world.restart(); // Prepare is in the log, with the producer that comes
    REQUIRE(world.markers.size() == 1);
    world.answer_markers();
    CHECK(world.end("t", producer, true, 5).producer_id == 5000); // retry
    CHECK(world.add_batched("t", next, "b", 0, false) == none);
}

TEST_CASE("txn: InitProducerId fences, aborts what is open, and bumps a claimed producer") {
    TxnWorld world;
    const Producer first = world.begin("t");
    CHECK(world.begin("t") == Producer{first.id, ProducerEpoch(1)});
    CHECK(world.add("t", first, "a") == producer_fenced);
    CHECK(world.add("t", first, "a", {0}, 1) == invalid_producer_epoch);
    CHECK(world.end_code("t", first, true) == producer_fenced);
    CHECK(world.end_code("t", first, true, 1) == invalid_producer_epoch);

    const Producer second{first.id, ProducerEpoch(1)};
    CHECK(world.add("t", second, "a") == none);
    CHECK(world.init("t").error_code == int16_t(concurrent_transactions));
    CHECK(world.state("t") == prepare_abort);
    REQUIRE(world.markers.size() == 1);
    CHECK(world.markers.front().marker.type == protocol::ControlType::abort);
    CHECK(world.markers.front().marker.producer_epoch == ProducerEpoch(2)); // fences
    world.answer_markers();
    const Producer third = world.begin("t");
    CHECK(third.epoch == ProducerEpoch(3));
    CHECK(world.add("t", second, "a") == producer_fenced);

    CHECK(world.init("t", third).producer_epoch == 4);
    CHECK(world.init("t", third).producer_epoch == 4); // the same request again
    CHECK(world.init("t", second).error_code == int16_t(producer_fenced));
    CHECK(world.init("t", second, 60'000, 3).error_code == int16_t(invalid_producer_epoch));
    CHECK(world.init("t", {ProducerId(9), ProducerEpoch(4)}).error_code ==
          int16_t(producer_fenced));
}

TEST_CASE("txn: InitProducerId refuses what makes no sense") {
    TxnWorld world;
    struct Case {
        const char* id;
        int32_t timeout_ms;
        Producer claimed;
        KafkaError error;
    };
    const Case cases[] = {
        {"", 1000, {}, invalid_request},
        {"t", 0, {}, invalid_transaction_timeout},
        {"t", -1, {}, invalid_transaction_timeout},
        {"t", 900'001, {}, invalid_transaction_timeout},
        {"t", 1000, {ProducerId(1), kNoProducerEpoch}, invalid_request},
        {"t", 1000, {kNoProducerId, ProducerEpoch(1)}, invalid_request},
        {"t", 900'000, {}, none},
    };
    for (const Case& c : cases) {
        CAPTURE(c.id);
        CAPTURE(c.timeout_ms);
        const auto response = world.init(c.id, c.claimed, c.timeout_ms);
        CHECK(response.error_code == int16_t(c.error));
        CHECK((response.producer_id == -1) == (c.error != none));
    }
    world.next_id.reset();
    CHECK(world.init("u").error_code == int16_t(coordinator_load_in_progress));
    world.append_error = Code::not_enough_replicas;
    world.next_id = 1;
    CHECK(world.init("u").error_code == int16_t(coordinator_not_available));
    world.append_error = Code::storage_full;
    CHECK(world.init("u").error_code == int16_t(not_coordinator));
    CHECK(world.state("u") == dead);
}

TEST_CASE("txn: one unknown partition leaves all out") {
    TxnWorld world;
    const Producer producer = world.begin("t");
    protocol::AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = "t";
    request.v3_and_below_producer_id = producer.id.value();
    request.v3_and_below_producer_epoch = producer.epoch.value();
    request.v3_and_below_topics = {{"a", {0, 3}}, {"c", {0}}};
    const auto response = world.ask<protocol::AddPartitionsToTxnResponse>(request, 3);
    const auto& a = response.results_by_topic_v3_and_below.at(0);
    CHECK(a.results_by_partition.at(0).partition_error_code == int16_t(operation_not_attempted));
    CHECK(a.results_by_partition.at(1).partition_error_code == int16_t(unknown_topic_or_partition));
    const auto& c = response.results_by_topic_v3_and_below.at(1);
    CHECK(c.results_by_partition.at(0).partition_error_code == int16_t(unknown_topic_or_partition));
    CHECK(world.state("t") == empty);
    CHECK(world.add("nobody", producer, "a") == invalid_producer_id_mapping);
    CHECK(world.add("t", {ProducerId(1), producer.epoch}, "a") == invalid_producer_id_mapping);
}

TEST_CASE("txn: verification says what is in the transaction") {
    TxnWorld world;
    const Producer producer = world.begin("t");
    CHECK(world.add_batched("t", producer, "a", 0, true) == transaction_abortable);
    CHECK(world.add("t", producer, "a") == none);
    const size_t records = world.log.size();
    CHECK(world.add_batched("t", producer, "a", 0, true) == none);
    CHECK(world.add_batched("t", producer, "a", 1, true) == transaction_abortable);
    CHECK(world.add_batched("t", {producer.id, ProducerEpoch(9)}, "a", 0, true) == producer_fenced);
    CHECK(world.add_batched("u", producer, "a", 0, true) == invalid_producer_id_mapping);
    CHECK(world.log.size() == records);
    CHECK(world.end_code("t", producer, true) == none);
    CHECK(world.add_batched("t", producer, "a", 0, true) == concurrent_transactions);
}

TEST_CASE("txn: offsets bring the partition of their group") {
    TxnWorld world;
    const Producer producer = world.begin("t");
    protocol::AddOffsetsToTxnRequest request;
    request.transactional_id = "t";
    request.producer_id = producer.id.value();
    request.producer_epoch = producer.epoch.value();
    request.group_id = "readers";
    CHECK(world.ask<protocol::AddOffsetsToTxnResponse>(request, 4).error_code == 0);
    const int32_t partition = coordinator::shard_of("readers", 50).value();
    CHECK(world.shard->find("t")->holds("__consumer_offsets", partition));
}

TEST_CASE("txn: a transaction beyond its timeout is fenced and aborted") {
    TxnWorld world;
    CHECK(world.shard->next_due() == kMonoNever);
    const auto begun = world.init("t", {}, 15'000);
    const Producer producer{ProducerId(begun.producer_id), ProducerEpoch(begun.producer_epoch)};
    CHECK(world.add("t", producer, "a") == none);
    world.pass_ms(10'000);
    CHECK(world.state("t") == ongoing);
    world.pass_ms(10'000);
    CHECK(world.state("t") == prepare_abort);
    world.answer_markers();
    CHECK(world.state("t") == complete_abort);
    CHECK(world.add("t", producer, "a") == producer_fenced);
    CHECK(world.end_code("t", producer, true) == producer_fenced);
    CHECK(world.end_code("t", producer, true, 5) == invalid_txn_state);
}

TEST_CASE("txn: idle ids expire") {
    TxnWorld world;
    world.config_.transactional_id_expiration_ms = 5'000'000;
    for (size_t i = 0; i < kExpiredPerBatchMax + 5; i++) {
        world.begin("t" + std::to_string(i));
    }
    const Producer open = world.begin("open");
    world.init("open", open, 900'000);
    CHECK(world.add("open", {open.id, ProducerEpoch(1)}, "a") == none);
    world.config_.transaction_abort_interval_ms = 100'000'000;
    world.pass_ms(3'600'000);
    CHECK(world.state("t3") == empty);
    world.pass_ms(3'600'000);
    CHECK(world.state("t3") == dead);
    CHECK(world.state("t104") == dead);
    CHECK(world.shard->find("open") != nullptr);
    world.restart();
    CHECK(world.shard->find("t3") == nullptr);
}

TEST_CASE("txn: a marker is written again until it is in") {
    TxnWorld world;
    const Producer producer = world.begin("t");
    CHECK(world.add("t", producer, "a", {0, 1}) == none);
    CHECK(world.end_code("t", producer, true) == none);
    world.answer_marker(Error(Code::not_leader));
    world.answer_marker();
    for (int i = 0; i < 8; i++) {
        CHECK(world.markers.empty());
        world.pass_ms(1000);
        REQUIRE(world.markers.size() == 1);
        world.answer_marker(Error(i % 2 == 0 ? Code::storage_full : Code::timed_out));
    }
    CHECK(world.state("t") == prepare_commit);
    world.pass_ms(1000);
    world.append_error = Code::not_enough_replicas; // Complete is not written
    world.answer_marker();
    CHECK(world.state("t") == prepare_commit);
    world.append_error.reset();
    world.pass_ms(1000);
    CHECK(world.state("t") == complete_commit);
}

TEST_CASE("txn: what ends the wait for a marker") {
    TxnWorld world;
    const Producer producer = world.begin("t");
    CHECK(world.add("t", producer, "a", {0, 1}) == none);
    CHECK(world.add("t", producer, "b") == none);
    CHECK(world.end_code("t", producer, true) == none);
    SUBCASE("a newer epoch is in the partition, and a topic goes") {
        world.answer_marker(Error(Code::invalid_producer_epoch));
        world.answer_marker();
        world.delete_topic("b");
        CHECK(world.state("t") == complete_commit);
        world.answer_marker(); // comes too late
    }
    SUBCASE("a newer coordinator") {
        world.answer_marker(Error(Code::coordinator_fenced));
        world.answer_markers();
        CHECK(world.state("t") == prepare_commit);
        world.restart();
        CHECK(world.markers.size() == 3);
    }
    SUBCASE("a topic was gone at the load") {
        world.image_.topics_by_name.erase("a");
        world.restart();
        CHECK(world.markers.size() == 1);
        world.answer_markers();
        CHECK(world.state("t") == complete_commit);
    }
}

TEST_CASE("txn: what a load finds is what was written") {
    TxnWorld world;
    const Producer producer = world.begin("t");
    CHECK(world.add("t", producer, "a", {0, 2}) == none);
    const Transaction before = *world.shard->find("t");
    world.restart();
    CHECK(*world.shard->find("t") == before);
    CHECK(world.shard->next_due() != kMonoNever);
    CHECK(world.end_code("t", producer, true) == none);
    world.restart();
    CHECK(world.markers.size() == 2);
    coordinator::Record other; // a record type of a later version is skipped
    const std::byte key[] = {std::byte{0}, std::byte{9}};
    other.key = key;
    CHECK(world.shard->replay(other));
    coordinator::Record torn;
    const std::byte torn_key[] = {std::byte{0}, std::byte{0}, std::byte{0}};
    torn.key = torn_key;
    CHECK_FALSE(world.shard->replay(torn));
}

TEST_CASE("txn: transactions are described and listed") {
    TxnWorld world;
    const Producer producer = world.begin("pay-1");
    world.begin("pay-2");
    world.begin("ship");
    CHECK(world.add("pay-1", producer, "a", {2, 1}) == none);
    world.pass_ms(500);

    protocol::DescribeTransactionsRequest describe;
    describe.transactional_ids = {"pay-1", "nobody"};
    const auto described = world.ask<protocol::DescribeTransactionsResponse>(describe, 0);
    const auto& known = described.transaction_states.at(0);
    CHECK(known.error_code == 0);
    CHECK(known.transaction_state == "Ongoing");
    CHECK(known.producer_id == producer.id.value());
    CHECK(known.transaction_timeout_ms == 60'000);
    CHECK(known.transaction_start_time_ms == world.wall_ms - 500);
    REQUIRE(known.topics.size() == 1);
    CHECK(known.topics.at(0).partitions == std::vector<int32_t>{1, 2});
    CHECK(described.transaction_states.at(1).error_code == int16_t(transactional_id_not_found));

    const auto list = [&](const protocol::ListTransactionsRequest& request) {
        const auto response = world.ask<protocol::ListTransactionsResponse>(request, 2);
        std::string ids;
        for (const auto& state : response.transaction_states) {
            ids += std::string(state.transactional_id) + " ";
        }
        for (const auto& unknown : response.unknown_state_filters) {
            ids += "?" + std::string(unknown) + " ";
        }
        return response.error_code == 0 ? ids : std::to_string(response.error_code);
    };
    protocol::ListTransactionsRequest request;
    CHECK(list(request) == "pay-1 pay-2 ship ");
    request.state_filters = {"Empty", "Nonsense"};
    CHECK(list(request) == "pay-2 ship ?Nonsense ");
    request.state_filters = {"Nonsense"};
    CHECK(list(request) == "?Nonsense ");
    request = {};
    request.producer_id_filters = {producer.id.value()};
    CHECK(list(request) == "pay-1 ");
    request = {};
    request.duration_filter = 499;
    CHECK(list(request) == "pay-1 ");
    request.duration_filter = 500;
    CHECK(list(request) == "");
    request = {};
    request.transactional_id_pattern = "pay-[12]";
    CHECK(list(request) == "pay-1 pay-2 ");
    request.transactional_id_pattern = "pay"; // the whole id is matched
    CHECK(list(request) == "");
    request.transactional_id_pattern = "(";
    CHECK(list(request) == std::to_string(int16_t(invalid_regular_expression)));
}

} // namespace qtool::txn::test
