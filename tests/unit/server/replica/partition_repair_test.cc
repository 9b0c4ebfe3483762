// Proves that a damaged replica counts for nothing before it drops what it has, and then has all of
// its leader's log again; that a leader looks at bytes which followers refuse; and that the last
// copy of a partition is left as it is.
#include "tests/unit/server/replica/partition_cluster.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;

namespace {

void flip_stored_bit(Cluster& c, int id, size_t position = 70) {
    c[id].disk.bytes("/data/t-0/00000000000000000000.log").at(position) ^= std::byte{1};
}

} // namespace

TEST_CASE("replication: a damaged replica begins anew once nobody counts on it") {
    Cluster c(3);
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    c.sync(2, 1);
    c.sync(3, 1);
    CHECK(c.outcome(1) == "ok");
    flip_stored_bit(c, 2);
    CHECK_FALSE(c.partition(2).verify(Offset(0), 1, c[2].out));
    CHECK(c.partition(2).is_offline());
    CHECK_FALSE(c.partition(2).fetch_position());

    const auto lost = c.partition(2).propose_isr(c.now);
    REQUIRE(lost);
    CHECK(lost->is_copy_lost);
    CHECK_FALSE(c.partition(2).propose_isr(c.now)); // under way
    c.partition(2).on_copy_loss_ended(Error(Code::store_conflict), c.now);
    CHECK_FALSE(c.partition(2).may_begin_anew());
    c.now += CopyLoss::kRest;
    REQUIRE(c.partition(2).propose_isr(c.now));
    c.partition(2).on_copy_loss_ended({}, c.now);
    CHECK_FALSE(c.partition(2).may_begin_anew()); // no image says so yet
    c.elect(1, {1, 3}, {1, 2, 3});
    REQUIRE(c.partition(2).may_begin_anew());
    REQUIRE(c.partition(2).begin_anew());
    CHECK_FALSE(c.partition(2).is_offline());
    CHECK(c.end(2) == 0);
    CHECK(c[2].counters.replica_repairs.value() == 1);
    CHECK(c[2].counters.partitions_offline.value() == 0);

    // What the leader knew of it is void: it joins no ISR before it has all.
    CHECK_FALSE(c.partition(1).propose_isr(c.now));
    c.sync(2, 1);
    CHECK(c.bytes_of(2) == c.bytes_of(1));
    const auto joins = c.partition(1).propose_isr(c.now);
    REQUIRE(joins);
    CHECK(describe(*joins) == "1,2,3");
}

TEST_CASE("replication: a leader whose bytes are refused looks at them, and lets another lead") {
    Cluster c(3);
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    c.sync(3, 1);
    flip_stored_bit(c, 1);
    CHECK(c.fetch(2, 1) == "corrupt");
    CHECK(c.fetch(2, 1) == "storage_damaged");
    CHECK(c.partition(1).is_offline());
    const auto lost = c.partition(1).propose_isr(c.now);
    REQUIRE(lost);
    CHECK(lost->is_copy_lost);
    c.partition(1).on_copy_loss_ended({}, c.now);
    c.elect(3, {2, 3}, {1, 2, 3});
    REQUIRE(c.partition(1).may_begin_anew());
    REQUIRE(c.partition(1).begin_anew());
    c.sync(1, 3);
    c.sync(2, 3);
    CHECK(c.bytes_of(1) == c.bytes_of(3));
}

TEST_CASE("replication: the last copy serves what is good in it, and is never given up") {
    Cluster c;
    CHECK(c.produce(1, 1) == "ok");
    CHECK(c.produce(1, 1) == "ok");
    c.flush(1);
    c.set_isr({1});
    c.tell_all();
    flip_stored_bit(c, 1);
    CHECK_FALSE(c.partition(1).verify(Offset(0), 1'000'000, c[1].out));
    CHECK_FALSE(c.partition(1).verify(Offset(0), 1'000'000, c[1].out));
    CHECK_FALSE(c.partition(1).is_offline());
    CHECK(c[1].counters.log_damages.value() == 1); // told once
    ReadOp op;
    op.fetch_offset = Offset(1);
    op.bytes_max = 1'000;
    CHECK(c.call(1, op));
}
