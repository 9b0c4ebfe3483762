// Proves reassignments and elections as operators ask for them: each item has its own result, large
// requests go in parts, and what is not possible is said and not done.
#include "server/metadata/controller.h"
#include "server/metadata/decide_reassign.h"
#include "tests/unit/server/metadata/cluster_world.h"

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

std::optional<Error> reassign(ClusterWorld& world, int32_t partition,
                              std::optional<std::vector<int32_t>> replicas,
                              bool may_change_factor = true) {
    Reassignment wish{"t", partition, std::nullopt};
    if (replicas) {
        wish.replicas = ids(*replicas);
    }
    AlterReassignments operation({wish}, may_change_factor);
    world.run(operation);
    return operation.results().at(0);
}

ElectOutcome elect(ClusterWorld& world, ElectionKind kind, int32_t partition) {
    ElectLeaders operation(kind, std::vector<ElectionWish>{{"t", partition}});
    world.run(operation);
    return operation.results().at(0).what;
}

void change(ClusterWorld& world, int32_t index, const std::vector<int32_t>& isr, int32_t leader) {
    PartitionImage next = world.partition("t", index);
    next.isr = ids(isr);
    next.leader = BrokerId(leader);
    world.write({{partition_key(world.topic("t").id, index), encode_partition(next)}});
}

} // namespace

TEST_CASE("reassign: begun, listed in the image, taken back") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2}});
    CHECK_FALSE(reassign(world, 0, std::vector<int32_t>{3, 2}));
    CHECK(world.partition("t", 0).replicas == ids({3, 2, 1}));
    CHECK(world.partition("t", 0).adding_replicas == ids({3}));
    CHECK(world.partition("t", 0).removing_replicas == ids({1}));
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    CHECK_FALSE(reassign(world, 0, std::nullopt));
    CHECK(world.partition("t", 0).replicas == ids({2, 1}));
    CHECK(world.partition("t", 0).isr == ids({1, 2}));
    CHECK(code_of(reassign(world, 0, std::nullopt)) == Code::resource_not_found);
}

TEST_CASE("reassign: another order, or fewer replicas, is done at once") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2, 3}});
    CHECK_FALSE(reassign(world, 0, std::vector<int32_t>{2, 1, 3}));
    CHECK(world.partition("t", 0).replicas == ids({2, 1, 3}));
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    CHECK_FALSE(reassign(world, 0, std::vector<int32_t>{2, 3}));
    CHECK(world.partition("t", 0).replicas == ids({2, 3}));
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(1));
    const int32_t epoch = world.partition("t", 0).partition_epoch;
    CHECK_FALSE(reassign(world, 0, std::vector<int32_t>{2, 3})); // as it is
    CHECK(world.partition("t", 0).partition_epoch == epoch);
}

TEST_CASE("reassign: what is wrong is said of each item") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2}, {1, 2}});
    CHECK(code_of(reassign(world, 0, std::vector<int32_t>{1, 1})) ==
          Code::invalid_replica_assignment);
    CHECK(code_of(reassign(world, 0, std::vector<int32_t>{1, 9})) ==
          Code::invalid_replica_assignment);
    CHECK(code_of(reassign(world, 0, std::vector<int32_t>{})) == Code::invalid_replica_assignment);
    CHECK(code_of(reassign(world, 2, std::vector<int32_t>{1, 2})) == Code::unknown_partition);
    CHECK(code_of(reassign(world, -1, std::vector<int32_t>{1, 2})) == Code::unknown_partition);
    CHECK(code_of(reassign(world, 0, std::vector<int32_t>{1, 2, 3}, false)) ==
          Code::invalid_replication_factor);
    CHECK_FALSE(reassign(world, 0, std::vector<int32_t>{1, 3}, false));
    AlterReassignments mixed({{"t", 0, ids({1, 2})},
                              {"t", 1, ids({2, 3})},
                              {"t", 0, ids({2, 1})},
                              {"u", 0, ids({2, 1})}},
                             true);
    CHECK(world.run(mixed).size() == 1);
    CHECK(code_of(mixed.results()[0]) == Code::invalid_request);
    CHECK_FALSE(mixed.results()[1]);
    CHECK(code_of(mixed.results()[2]) == Code::invalid_request);
    CHECK(code_of(mixed.results()[3]) == Code::unknown_topic);
}

TEST_CASE("reassign: a large request goes in parts, and a failure leaves the earlier ones done") {
    ClusterWorld world;
    world.add_topic("t", std::vector<std::vector<int32_t>>(250, {1, 2}));
    std::vector<Reassignment> wishes;
    for (int32_t i = 0; i < 250; i++) {
        wishes.push_back({"t", i, ids({3, 4})});
    }
    AlterReassignments operation(wishes, true);
    const port::StoreTransaction first = operation.decide(*world.image, world.random);
    CHECK(first.writes.size() == kBatchPartitionsMax);
    CHECK(operation.decide(*world.image, world.random).writes == first.writes); // a conflict
    const Result<port::StoreChange> done = world.store.commit(first);
    REQUIRE(done);
    world.apply(*done);
    CHECK(operation.advance(Revision{1}));
    CHECK(operation.decide(*world.image, world.random).writes.size() == kBatchPartitionsMax);
    operation.finish(Error(Code::store_unavailable, "away"));
    CHECK_FALSE(operation.results()[99]);
    CHECK(code_of(operation.results()[100]) == Code::store_unavailable);

    AlterReassignments all(wishes, true);
    size_t parts = 0;
    do {
        const port::StoreTransaction transaction = all.decide(*world.image, world.random);
        const Result<port::StoreChange> change = world.store.commit(transaction);
        REQUIRE(change);
        world.apply(*change);
        parts++;
    } while (all.advance(Revision{1}));
    CHECK(parts == 2); // the first hundred were asked for already
    CHECK(world.partition("t", 249).is_reassigning());
}

TEST_CASE("elect: preferred leaders, when they are in sync") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2}, {1, 2}, {1, 2}});
    change(world, 0, {1, 2}, 2);
    change(world, 1, {2}, 2);
    CHECK(elect(world, ElectionKind::preferred, 0) == ElectOutcome::elected);
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(1));
    CHECK(elect(world, ElectionKind::preferred, 0) == ElectOutcome::not_needed);
    CHECK(elect(world, ElectionKind::preferred, 1) == ElectOutcome::preferred_not_available);
    CHECK(elect(world, ElectionKind::preferred, 3) == ElectOutcome::unknown_partition);
    change(world, 2, {1, 2}, 2);
    ElectLeaders all(ElectionKind::preferred, std::nullopt);
    world.run(all);
    REQUIRE(all.results().size() == 1); // only where it was needed
    CHECK(all.results()[0].partition == 2);
    CHECK(all.results()[0].what == ElectOutcome::elected);
}

TEST_CASE("elect: unclean takes any live replica, and only without a live leader") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2}, {3, 4}, {1, 2}});
    change(world, 0, {1}, 1);
    CHECK(elect(world, ElectionKind::unclean, 0) == ElectOutcome::not_needed);
    world.die(1);
    CHECK(elect(world, ElectionKind::unclean, 0) == ElectOutcome::elected);
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    CHECK(world.partition("t", 0).isr == ids({2}));
    world.die(3);
    world.die(4);
    ElectLeaders all(ElectionKind::unclean, std::nullopt);
    world.run(all);
    REQUIRE(all.results().size() == 2);
    CHECK(all.results()[0].what == ElectOutcome::none_eligible);
    CHECK(all.results()[1].what == ElectOutcome::elected);
    // Who is in sync goes first.
    CHECK(world.partition("t", 2).leader == BrokerId(2));
}

TEST_CASE("elect: a failure of the store reaches those it concerns") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2}, {1, 2}});
    change(world, 0, {1, 2}, 2);
    ElectLeaders operation(ElectionKind::preferred, std::vector<ElectionWish>{{"t", 0}, {"t", 1}});
    CHECK(operation.decide(*world.image, world.random).writes.size() == 1);
    operation.finish(Error(Code::timed_out, "late"));
    CHECK(operation.error()->code == Code::timed_out);
    CHECK(operation.results()[0].what == ElectOutcome::unfinished);
    CHECK(operation.results()[1].what == ElectOutcome::not_needed);
}
