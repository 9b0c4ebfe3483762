// Proves who is told what when replicas are read: consumers that may ask a follower get what is
// committed there, the leader sends them to a near one, and a follower's watch fires in time.
#include "tests/unit/server/replica/partition_cluster.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;

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
