// Proves that partitions of several brokers, with a disk of memory each, make one log of theirs:
// records are committed when all in-sync replicas have them on disk, a new leader knows what the
// one before it took, and whoever's epoch is over is refused. How logs part and come together,
// where they begin and who may read them: partition_*_test.cc.
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
