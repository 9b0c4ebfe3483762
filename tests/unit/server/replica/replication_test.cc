// Proves that partitions of several brokers, with a disk of memory each, make one log of theirs:
// records are committed when all in-sync replicas have them on disk, a follower takes over with all
// that was acknowledged, and logs that diverged come together again (the stories of KIP-101 and
// KIP-279).
#include "tests/unit/server/replica/partition_cluster.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;

TEST_CASE("replication: acks=all waits until all in-sync replicas have it on disk") {
    Cluster c(3);
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    CHECK(c.outcome(1) == "parked");
    CHECK(c.fetch(2, 1, false) == "data");
    CHECK(c.fetch(2, 1) == "busy"); // written, not on its disk: it cannot say it has it
    c.flush(2);
    CHECK(c.fetch(3, 1) == "data");
    CHECK(c.fetch(2, 1) == "nothing");
    CHECK(c.outcome(1) == "parked");
    CHECK(c.high(1) == 0);
    CHECK(c.fetch(3, 1) == "nothing");
    CHECK(c.outcome(1) == "ok");
    CHECK(c.high(1) == 1);
    // Followers learn the high watermark with the next answer.
    CHECK(c.high(2) == 0);
    CHECK(c.high(3) == 1);
    CHECK(c.fetch(2, 1) == "nothing");
    CHECK(c.high(2) == 1);
    CHECK(c.bytes_of(2) == c.bytes_of(1));
}

TEST_CASE("replication: a follower that has it before the leader's own disk does not commit it") {
    Cluster c;
    CHECK(c.produce(1) == "parked");
    CHECK(c.fetch(2, 1) == "data"); // from the leader's page cache
    CHECK(c.fetch(2, 1) == "nothing");
    CHECK(c.outcome(1) == "parked");
    c.flush(1);
    CHECK(c.outcome(1) == "ok");
}

TEST_CASE("replication: with too few in sync nothing is appended, and nothing is committed") {
    Cluster c;
    c.topic.effective.min_insync_replicas = 2;
    c.tell_all();
    CHECK(c.produce(1, 1) == "ok");
    c.flush(1);
    c.set_isr({1});
    c.tell_all();
    CHECK(c.produce(1) == "not_enough_replicas");
    CHECK(c.produce(1, 1) == "ok");
    c.flush(1);
    CHECK(c.high(1) == 0);
    c.set_isr({1, 2});
    c.tell_all();
    c.sync(2, 1);
    CHECK(c.high(1) == 2);
}

TEST_CASE("replication: the new leader has what was acknowledged; the old one cuts the rest") {
    Cluster c;
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    c.sync(2, 1);
    CHECK(c.outcome(1) == "ok");
    CHECK(c.produce(1) == "parked"); // offset 1: never replicated
    const uint32_t lost = c.last_produce;
    c.flush(1);

    c.elect(2, {2}, {2});
    CHECK(c.end(2) == 1);
    CHECK(c.produce(2) == "parked"); // offset 1 again, of epoch 1
    c.flush(2);
    CHECK(c.outcome(2) == "ok");
    c.tell(1);                                 // hears of it at last
    CHECK(c.outcome(1, lost) == "not_leader"); // it was never acknowledged
    CHECK(c.fetch(1, 2) == "cut");
    CHECK(c.end(1) == 1);
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
    CHECK(c.high(1) == 2);
}

TEST_CASE("replication: what the old leader never answered is a duplicate at the new one, once "
          "committed") {
    Cluster c;
    const auto produce = [&](int id, int32_t sequence) {
        std::vector<std::byte> batch = make_batch({.producer = 7, .sequence = sequence});
        return c.ask(id, AppendOp{batch, -1, c.now + 10s, 0, 0});
    };
    produce(1, 0);
    produce(1, 1);
    c.flush(1);
    CHECK(c.fetch(2, 1) == "data"); // the old leader falls silent: nobody was told of 0 and 1

    c.elect(2, {1, 2}, {2});
    for (int32_t sequence = 2; sequence < 8; sequence++) {
        produce(2, sequence);
    }
    c.flush(2);
    const uint32_t again = produce(2, 0);
    // What is between may be on its way from the client that the old leader refused it.
    CHECK(c.outcome(2, produce(2, 9)) == "not_leader");
    c.now += 31s;
    CHECK(c.outcome(2, produce(2, 9)) == "out_of_order_sequence"); // it is lost
    CHECK(c.outcome(2, again) == "parked"); // the old leader may still be behind
    c.elect(2, {2}, {2});
    const auto known = c.answer(2, again);
    REQUIRE(known);
    REQUIRE(*known);
    CHECK(std::get<AppendResult>(**known).base_offset == kNoOffset);
    CHECK(c.end(2) == 8);
}

TEST_CASE("replication: a zombie leader is fenced by the epoch of who fetches") {
    Cluster c(3);
    c.elect(2, {2, 3}, {2, 3});
    CHECK(c.fetch(3, 1) == "unknown_leader_epoch"); // 1 does not know the new epoch
    c.produce(2, 1);
    c.sync(3, 2);
    // And who still follows the old leader is fenced at the new one.
    ReadOp op;
    op.replica.emplace();
    op.replica->id = BrokerId(1);
    const auto result = c.call(2, op, 0);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Code::fenced_leader_epoch);
}

TEST_CASE("replication: KIP-101, a follower that restarts does not cut what was committed") {
    // Scenario 1 there: the follower has a record, but not yet the high watermark above it; it
    // restarts, and before it can fetch the leader dies. Cutting to the high watermark would lose
    // the record.
    Cluster c;
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    CHECK(c.fetch(2, 1) == "data");
    CHECK(c.fetch(2, 1) == "nothing"); // acknowledged by the leader ...
    CHECK(c.outcome(1) == "ok");
    c.lose_power(2);
    CHECK(c.end(2) == 1);
    c.elect(2, {2}, {2});
    CHECK(c.end(2) == 1);
    CHECK(c.high(2) == 1);
    c.tell(1);
    c.sync(1, 2);
    CHECK(c.end(1) == 1);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: KIP-101, logs with different records at one offset come together") {
    // Scenario 2: with write caching both lose power; who comes back first leads and writes.
    Cluster c;
    c.topic.effective.write_caching = true;
    c.tell_all();
    CHECK(c.produce(1) == "parked");
    c.sync(2, 1);
    CHECK(c.outcome(1) == "ok");
    c[1].partition->on_flush_due();
    c.flush(1); // the leader's made it to the disk, the follower's did not
    c.lose_power(2);
    c.lose_power(1);
    CHECK(c.end(1) == 1);
    CHECK(c.end(2) == 0);
    c.elect(2, {2}, {2, 1}); // unclean in effect: what write caching may cost
    c.produce(2, 1, 3);
    CHECK(c.end(2) == 3);
    CHECK(c.fetch(1, 2) == "cut");
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: KIP-279, several quick elections leave no record that only one has") {
    // 1 writes alone in epoch 0, 2 in epoch 1, 1 again in epoch 2 without having heard of 2.
    Cluster c;
    c.produce(1, 1, 2);
    c.flush(1);
    c.sync(2, 1); // both: epoch 0, [0, 2)
    c.produce(1, 1, 3);
    c.flush(1); // 1: epoch 0, [0, 5)
    c.elect(2, {2}, {2});
    c.produce(2, 1, 1);
    c.flush(2); // 2: epoch 0 [0, 2), epoch 1 [2, 3)
    c.elect(1, {1}, {1});
    c.produce(1, 1, 1);
    c.flush(1); // 1: epoch 0 [0, 5), epoch 2 [5, 6)
    c.tell(2);
    CHECK(c.fetch(2, 1) == "cut"); // 1 knows nothing of epoch 1: its epoch 0 ends at 5
    CHECK(c.end(2) == 2);
    c.sync(2, 1);
    CHECK(c.end(2) == 6);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: the log start is taken from an answer that says where logs diverge, too") {
    Cluster c;
    c.produce(1, 1, 5);
    c.flush(1);
    c.sync(2, 1);
    c.sync(2, 1);
    c.produce(2, 1);
    c.elect(2, {1, 2}, {2}); // 1 has not heard of it
    c.produce(1, 1);
    c.produce(2, 1);
    c.flush(1);
    c.flush(2);
    c.delete_records(2, DeleteRecordsOp{Offset(3)});
    CHECK(c.log(2).log_start_offset() == Offset(3));
    c.tell(1);
    CHECK(c.fetch(1, 2) == "cut");
    CHECK(c.end(1) == 5);
    CHECK(c.log(1).log_start_offset() == Offset(3)); // in a fetch session it is not told again
    CHECK(c.high(1) == 5);
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: logs that part below the leader's log start have nothing in common") {
    Cluster c;
    c.produce(1, 1, 2);
    c.flush(1);
    c.sync(2, 1);
    for (int i = 0; i < 8; i++) { // 1: epoch 0, [0, 10)
        std::vector<std::byte> batch = make_batch({.producer = 7, .sequence = i});
        c.ask(1, AppendOp{batch, 1, c.now + 10s, 0, 0});
    }
    c.flush(1);
    c.elect(2, {2}, {2});
    c.produce(2, 1, 10); // 2: epoch 0 [0, 2), epoch 1 [2, 12)
    c.flush(2);
    c.delete_records(2, DeleteRecordsOp{Offset(6)}); // epoch 1 from 6 on is all that it knows now
    REQUIRE(c.log(2).log_start_offset() == Offset(6));
    c.tell(1);
    CHECK(c.fetch(1, 2) == "cut");
    CHECK(c.log(1).log_start_offset() == Offset(6));
    CHECK(c.end(1) == 6);
    const auto known = c.log(1).producers(wall(kNowMs));
    REQUIRE(known);
    CHECK(known->empty()); // its batches are nowhere: a retry must not be answered as a duplicate
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: of an empty log that the leader does not understand nothing is kept") {
    Cluster c;
    c.produce(1, 1, 2);
    c.flush(1);
    c.sync(2, 1);
    c.elect(2, {2}, {2});
    c.produce(2, 1, 3);
    c.flush(2);
    c.delete_records(2, DeleteRecordsOp{Offset(5)}); // 2: empty at 5, behind epoch 1
    REQUIRE(c.log(2).log_start_offset() == c.log(2).log_end_offset());
    c.elect(1, {1}, {1});
    c.produce(1, 1, 6); // 1: epoch 0 [0, 2), epoch 2 [2, 8)
    c.flush(1);
    c.tell(2);
    CHECK(c.fetch(2, 1) == "cut");
    c.sync(2, 1);
    CHECK(c.end(2) == 8);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: a leader that has not written in its epoch says where it began") {
    Cluster c(3);
    c.produce(1, 1);
    c.flush(1);
    c.sync(2, 1);
    c.sync(3, 1);
    c.elect(2, {2, 3}, {2});
    c.produce(2, 1); // epoch 1, only here
    c.flush(2);
    c.elect(3, {3}, {3, 2}); // epoch 2 has written nothing
    CHECK(c.fetch(2, 3) == "cut");
    CHECK(c.end(2) == 1);
    c.sync(2, 3);
    CHECK(c.bytes_of(2) == c.bytes_of(3));
    const auto end = c.call(3, EpochEndOp{LeaderEpoch(2)});
    REQUIRE(end);
    CHECK(std::get<EpochEndResult>(*end).epoch == LeaderEpoch(2));
    CHECK(std::get<EpochEndResult>(*end).end_offset == Offset(1));
}

TEST_CASE("replication: an empty leader log cuts all of a follower that has records of another") {
    Cluster c;
    c.produce(1, 1);
    c.flush(1); // never replicated
    c.elect(2, {2}, {2, 1});
    CHECK(c.fetch(1, 2) == "cut");
    CHECK(c.end(1) == 0);
    c.produce(2, 1);
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: the ISR shrinks only when the metadata says so, and grows by fetches") {
    Cluster c;
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    c.now += 31s;
    const auto shrink = c.partition(1).propose_isr(c.now);
    REQUIRE(shrink);
    CHECK(describe(*shrink) == "1");
    CHECK(c.outcome(1) == "parked");
    c.set_isr({1});
    c.tell_all();
    CHECK(c.outcome(1) == "ok");
    CHECK_FALSE(c.partition(1).propose_isr(c.now));
    CHECK(c.fetch(2, 1) == "data");
    CHECK_FALSE(c.partition(1).propose_isr(c.now));
    CHECK(c.fetch(2, 1) == "nothing");
    const auto expand = c.partition(1).propose_isr(c.now);
    REQUIRE(expand);
    CHECK(describe(*expand) == "1,2");
    CHECK(expand->isr[1].broker_epoch == Revision(1));
    // From now on 2 has to have it, though it is no member yet.
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    CHECK(c.outcome(1) == "parked");
    c.sync(2, 1);
    CHECK(c.outcome(1) == "ok");
}

TEST_CASE("replication: a leader that does not know the high watermark yet says so (KIP-207)") {
    Cluster c;
    c.produce(1, 1, 2);
    c.flush(1);
    c.sync(2, 1);
    CHECK(c.high(1) == 2);
    CHECK(c.high(2) == 2);
    c.produce(1, 1);
    c.flush(1);
    c.fetch(2, 1); // 2 has offset 2, but not the high watermark above it
    c.elect(2, {1, 2}, {2});
    CHECK_FALSE(c.partition(2).is_settled_leader());
    const auto latest = c.call(2, ListOffsetOp{-1, Isolation::read_uncommitted});
    REQUIRE_FALSE(latest);
    CHECK(latest.error().code == Code::offset_not_available);
    CHECK(c.call(2, ListOffsetOp{-2, Isolation::read_uncommitted}));
    // Nor can it say yet that an offset is beyond what may be deleted, or how much "all" is.
    for (const Offset before : {Offset(3), Offset(-1)}) {
        const auto deleted = c.call(2, DeleteRecordsOp{before});
        REQUIRE_FALSE(deleted);
        CHECK(deleted.error().code == Code::offset_not_available);
    }
    CHECK(c.call(2, DeleteRecordsOp{Offset(4)}).error().code == Code::offset_out_of_range);
    CHECK(c.log(2).log_start_offset() == Offset(0));
    c.tell(1);
    c.sync(1, 2);
    CHECK(c.partition(2).is_settled_leader());
    const auto again = c.call(2, ListOffsetOp{-1, Isolation::read_uncommitted});
    REQUIRE(again);
    CHECK(std::get<ListOffsetResult>(*again).offset == Offset(3));
}

TEST_CASE(
    "replication: the log start follows the leader's, and a follower far behind begins anew") {
    Cluster c(3);
    c.produce(1, 1, 10);
    c.flush(1);
    c.sync(2, 1);
    c.sync(2, 1);
    CHECK(c.high(1) == 0); // 3 has nothing
    c.set_isr({1, 2});
    c.tell_all();
    c.sync(2, 1);
    CHECK(c.high(1) == 10);
    const uint32_t deletion = c.delete_records(1, DeleteRecordsOp{Offset(10)});
    c.sync(2, 1);
    CHECK(c.log(2).log_start_offset() == Offset(10));
    c.sync(2, 1); // the leader hears of it, but 3 lives, too
    CHECK_FALSE(c.answer(1, deletion));
    CHECK(c.fetch(3, 1) == "restarted");
    CHECK(c.end(3) == 10);
    c.sync(3, 1);
    const auto deleted = c.answer(1, deletion);
    REQUIRE(deleted);
    REQUIRE(*deleted);
    CHECK(std::get<DeleteRecordsResult>(**deleted).low_watermark == Offset(10));
    c.produce(1, 1);
    c.flush(1);
    c.sync(3, 1);
    CHECK(c.end(3) == 11);
}

TEST_CASE("replication: nobody throws records away for a leader whose log it does not understand") {
    Cluster c;
    c.produce(1, 1, 5);
    c.flush(1);
    c.sync(2, 1);
    const Result<void> done =
        c.partition(2).on_out_of_range(LeaderEpoch(0), Offset(0), c.now, wall(kNowMs), c[2].out);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Code::offset_out_of_range);
    CHECK(c.end(2) == 5);
}

TEST_CASE("replication: a batch of a later epoch than the leader's is refused") {
    Cluster c;
    std::vector<std::byte> batch = make_batch();
    protocol::patch_base_offset_and_epoch(batch, Offset(0), LeaderEpoch(3));
    Partition::Fetched fetched;
    fetched.leader_epoch = LeaderEpoch(0);
    fetched.fetch_offset = Offset(0);
    fetched.records = batch;
    const Result<void> done = c.partition(2).on_fetched(fetched, c.now, wall(kNowMs), c[2].out);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Code::invalid_record);
    CHECK(c.end(2) == 0);
}

TEST_CASE(
    "replication: an answer of an epoch that is over, or to another offset, changes nothing") {
    Cluster c;
    c.produce(1, 1);
    c.flush(1);
    const std::vector<std::byte> batch = [&] {
        const std::string bytes = c.bytes_of(1);
        const ByteView view = as_bytes(bytes);
        return std::vector<std::byte>(view.begin(), view.end());
    }();
    Partition::Fetched fetched;
    fetched.leader_epoch = LeaderEpoch(0);
    fetched.fetch_offset = Offset(7);
    fetched.records = batch;
    CHECK(c.partition(2).on_fetched(fetched, c.now, wall(kNowMs), c[2].out).error().code ==
          Code::not_leader);
    fetched.fetch_offset = Offset(0);
    c.elect(2, {1, 2}, {2});
    CHECK(c.partition(2).on_fetched(fetched, c.now, wall(kNowMs), c[2].out).error().code ==
          Code::not_leader);
    CHECK(c.end(2) == 0);
}

TEST_CASE("replication: who resigns answers what is parked, and wakes who watches") {
    Cluster c;
    CHECK(c.produce(1) == "parked");
    ReadOp op;
    op.fetch_offset = Offset(0);
    op.watch_below_bytes = 1;
    REQUIRE(c.call(1, op));
    c[1].out.wakes.clear();
    c.elect(2, {1, 2}, {1});
    CHECK(c.outcome(1) == "not_leader");
    CHECK(c[1].out.wakes.size() == 1);
    CHECK(c.produce(1) == "not_leader");
    const auto read = c.call(1, op);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == Code::not_leader);
}

TEST_CASE("replication: a follower answers consumers that may ask it, up to its high watermark") {
    Cluster c;
    c.produce(1, 1, 2);
    c.flush(1);
    c.sync(2, 1);
    c.produce(1, 1);
    c.flush(1);
    c.fetch(2, 1); // has offset 2, high watermark 2
    ReadOp op;
    op.fetch_offset = Offset(0);
    op.bytes_max = 1'000'000;
    CHECK_FALSE(c.call(2, op));
    op.may_ask_follower = true;
    const auto result = c.call(2, op);
    REQUIRE(result);
    const auto& read = std::get<ReadResult>(*result);
    CHECK(read.high_watermark == Offset(2));
    CHECK(read.range.size == read.first_batch_size);
    // Whether there is more than it has, only the leader knows (KIP-392).
    op.fetch_offset = Offset(4);
    CHECK(c.call(2, op).error().code == Code::not_leader);
    CHECK(c.call(1, op).error().code == Code::offset_out_of_range);
    CHECK(c.call(2, DescribeOp{}));
    CHECK(c.call(2, ProducersOp{}));
    CHECK_FALSE(c.call(2, ListOffsetOp{-1, Isolation::read_uncommitted}));
}

TEST_CASE("replication: the leader names a near replica that is in sync and has the offset") {
    Cluster c;
    c.produce(1, 1);
    c.flush(1);
    c.sync(2, 1);
    const auto preferred = [&](int64_t offset, std::vector<BrokerId> near) {
        ReadOp op;
        op.fetch_offset = Offset(offset);
        op.bytes_max = 1'000'000;
        op.near = std::move(near);
        const auto result = c.call(1, op);
        REQUIRE(result);
        const auto& read = std::get<ReadResult>(*result);
        CHECK((read.range.size == 0 || read.preferred_replica == kNoBroker));
        return read.preferred_replica.value();
    };
    CHECK(preferred(0, {BrokerId(2)}) == 2);
    CHECK(preferred(0, {}) == -1);
    CHECK(preferred(0, {BrokerId(1), BrokerId(2)}) == -1); // as near itself
    CHECK(preferred(0, {BrokerId(7)}) == -1);
    c.produce(1, 1);
    CHECK(preferred(2, {BrokerId(2)}) == -1); // 2 is not there yet
    c.set_isr({1});
    c.tell_all();
    CHECK(preferred(0, {BrokerId(2)}) == -1);
}

TEST_CASE("replication: a follower's watch fires at an append, and when the high watermark rises") {
    Cluster c(3);
    const auto watch = [&](int id, int64_t offset, int64_t told) {
        ReadOp op;
        op.fetch_offset = Offset(offset);
        op.bytes_max = 1000;
        op.watch_below_bytes = 1;
        op.replica.emplace();
        op.replica->id = BrokerId(id);
        op.replica->broker_epoch = Revision(1);
        op.replica->told_high_watermark = Offset(told);
        REQUIRE(c.call(1, op));
    };
    watch(2, 0, 0);
    c[1].out.wakes.clear();
    c.produce(1, 1);
    CHECK(c[1].out.wakes.size() == 1); // not on disk yet: a follower may have it before
    c[1].out.wakes.clear();
    c.flush(1);
    watch(2, 1, 0);
    CHECK(c[1].out.wakes.empty());
    watch(3, 1, 0);
    CHECK(c.high(1) == 1);
    CHECK(c[1].out.wakes.size() == 1);
}

TEST_CASE("replication: the leader describes how far its followers are") {
    Cluster c;
    c.produce(1, 1, 4);
    c.flush(1);
    c.fetch(2, 1);
    c.fetch(2, 1);
    c.produce(1, 1);
    c.now += 2s;
    const auto result = c.call(1, DescribeOp{});
    REQUIRE(result);
    const auto& described = std::get<DescribeResult>(*result);
    CHECK(described.is_leader);
    REQUIRE(described.followers.size() == 1);
    CHECK(described.followers[0].end == Offset(4));
    CHECK(described.followers[0].behind_ms == 2000);
}

TEST_CASE("replication: a throttled follower that is not in sync waits for the rate (KIP-73)") {
    Cluster c(3);
    c.set_isr({1, 2});
    c.topic.configs["leader.replication.throttled.replicas"] = "7:1,0:1";
    c.tell_all();
    RateLimit rate;
    rate.set_rate(10, c.now);
    c.partition(1).set_leader_rate(&rate);
    c.produce(1, 1);
    c.produce(1, 1);
    c.flush(1);
    rate.take(100, c.now);
    CHECK(c.fetch(3, 1) == "nothing");
    CHECK(c.fetch(2, 1) == "data"); // a member is never held back
    for (int i = 0; i < 60 && c.fetch(3, 1) == "nothing"; i++) {
        c.now += 1s;
    }
    CHECK(c.end(3) == 2);
    c.topic.configs["follower.replication.throttled.replicas"] = "*";
    c.tell_all();
    CHECK(c.partition(3).is_throttled_follower());
    CHECK_FALSE(c.partition(2).is_throttled_follower());
}

TEST_CASE("replication: a deletion lasts before anybody hears of it") {
    Cluster c;
    SUBCASE("where all is flushed anyway") {}
    SUBCASE("with write caching") {
        c.topic.configs["write.caching"] = "true";
        c.tell_all();
    }
    c.produce(1, 1, 10);
    c.flush(1);
    c.sync(2, 1);
    c.sync(2, 1);
    CHECK_FALSE(c.partition(1).wants_flush());
    const uint32_t deletion = c.ask(1, DeleteRecordsOp{Offset(4)});
    CHECK(c.partition(1).wants_flush());
    CHECK(c.fetch(2, 1) == "nothing");
    CHECK_FALSE(c.log(2).is_deleting());
    // Followers that wait for more hear of it.
    ReadOp watch;
    watch.fetch_offset = Offset(10);
    watch.bytes_max = 1000;
    watch.watch_below_bytes = 1;
    watch.replica.emplace();
    watch.replica->id = BrokerId(2);
    watch.replica->broker_epoch = Revision(1);
    watch.replica->told_high_watermark = Offset(10);
    CHECK(c.call(1, watch));
    c[1].out.wakes.clear();
    c.flush(1);
    CHECK(c.log(1).log_start_offset() == Offset(4));
    CHECK(c[1].out.wakes.size() == 1);
    CHECK_FALSE(c.answer(1, deletion));
    CHECK(c.fetch(2, 1, false) == "nothing");
    CHECK(c.log(2).is_deleting());
    CHECK(c.partition(2).wants_flush());
    CHECK(c.fetch(2, 1) == "busy"); // it would tell of the old log start
    c.flush(2);
    CHECK(c.fetch(2, 1) == "nothing");
    REQUIRE(c.answer(1, deletion));
    for (const int id : {1, 2}) {
        c.lose_power(id);
        CHECK(c.log(id).log_start_offset() == Offset(4));
    }
}

TEST_CASE("replication: a deletion is confirmed when no replica can bring it back (KIP-107)") {
    Cluster c;
    c.produce(1, 1, 10);
    c.flush(1);
    c.sync(2, 1);
    c.sync(2, 1);
    uint32_t deletion = c.delete_records(1, DeleteRecordsOp{Offset(-1), c.now + 2s});
    CHECK_FALSE(c.answer(1, deletion));
    SUBCASE("one dies") {
        c.partition(1).set_broker(BrokerId(2), false, Revision(0));
        c.partition(1).expire(c.now, c[1].out);
        CHECK_FALSE(c.answer(1, deletion)); // it may lead when it is back
        c.set_isr({1});
        c.image().elr = {BrokerId(2)};
        c.partition(1).apply(c.topic, c.now, c[1].out);
        CHECK_FALSE(c.answer(1, deletion)); // so it may now
        c.image().elr.clear();
        c.image().partition_epoch++;
        c.partition(1).apply(c.topic, c.now, c[1].out);
        REQUIRE(c.answer(1, deletion).value());
        // When it is back it has to delete before it is in sync.
        c.partition(1).set_broker(BrokerId(2), true, Revision(1));
        CHECK(c.fetch(2, 1) == "nothing");
        CHECK_FALSE(c.partition(1).propose_isr(c.now));
        CHECK(c.log(2).log_start_offset() == Offset(10));
        CHECK(c.fetch(2, 1) == "nothing");
        CHECK(c.partition(1).propose_isr(c.now));
    }
    SUBCASE("it takes too long") {
        CHECK(c.partition(1).has_parked());
        c.partition(1).expire(c.now + 1999ms, c[1].out);
        CHECK_FALSE(c.answer(1, deletion));
        c.partition(1).expire(c.now + 2s, c[1].out);
        CHECK(c.answer(1, deletion)->error().code == Code::timed_out);
        CHECK_FALSE(c.partition(1).has_parked());
    }
    SUBCASE("another leads") {
        c.elect(2, {1, 2}, {1});
        CHECK(c.answer(1, deletion)->error().code == Code::not_leader);
    }
}
