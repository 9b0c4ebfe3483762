// Proves that logs which diverged come together again (the stories of KIP-101 and KIP-279): a
// follower cuts where the leader says that epochs part, keeps what was committed, and throws
// nothing away for a leader whose log it does not understand.
#include "tests/unit/server/replica/partition_cluster.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;

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
