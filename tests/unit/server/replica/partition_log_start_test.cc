// Proves how the beginning of a log moves on all replicas: followers take it from the leader, and a
// deletion is confirmed when no replica can bring the records back.
#include "tests/unit/server/replica/partition_cluster.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;

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
