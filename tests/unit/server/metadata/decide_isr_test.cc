// Proves that an ISR changes only as its leader of today proposes, with members that are alive in
// the epoch it saw them in, and that the ELR follows (KIP-966).
#include "server/metadata/decide_isr.h"
#include "tests/unit/server/metadata/cluster_world.h"

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

IsrOutcome propose(ClusterWorld& world, IsrProposal proposal, int32_t self = 1) {
    ChangeIsr change(BrokerId(self), {std::move(proposal)});
    world.run(change);
    REQUIRE(change.results().size() == 1);
    return change.results()[0];
}

IsrProposal proposal(const ClusterWorld& world, const std::vector<int32_t>& isr) {
    const PartitionImage& now = world.partition("t", 0);
    IsrProposal out{world.key("t", 0), now.leader_epoch, now.partition_epoch, {}};
    for (const int32_t id : isr) {
        const BrokerImage* broker = world.image->find_broker(BrokerId(id));
        out.isr.push_back({BrokerId(id), broker != nullptr ? broker->epoch : Revision{0}});
    }
    return out;
}

} // namespace

TEST_CASE("change isr: the leader shrinks and grows it, in assignment order") {
    ClusterWorld world;
    world.add_topic("t", {{1, 3, 2}});
    CHECK(propose(world, proposal(world, {1, 2})) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).isr == ids({1, 2}));
    CHECK(world.partition("t", 0).partition_epoch == 1);
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(0));
    CHECK(world.delta.partitions_changed == std::vector<PartitionKey>{world.key("t", 0)});
    CHECK(propose(world, proposal(world, {2, 3, 1})) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).isr == ids({1, 3, 2}));
    CHECK(propose(world, proposal(world, {1, 2, 3})) == IsrOutcome::unchanged);
}

TEST_CASE("change isr: who is behind is fenced") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2, 3}});
    IsrProposal late = proposal(world, {1});
    CHECK(propose(world, late, 2) == IsrOutcome::fenced);
    CHECK(propose(world, proposal(world, {1, 2})) == IsrOutcome::committed);
    CHECK(propose(world, late) == IsrOutcome::fenced);
    late = proposal(world, {1});
    late.leader_epoch = LeaderEpoch(1);
    CHECK(propose(world, late) == IsrOutcome::fenced);
    late = proposal(world, {1});
    late.partition.index = PartitionIndex(1);
    CHECK(propose(world, late) == IsrOutcome::fenced);
}

TEST_CASE("change isr: only live brokers join, in the epoch they were seen in") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2, 3}});
    CHECK(propose(world, proposal(world, {1})) == IsrOutcome::committed);
    const IsrProposal before = proposal(world, {1, 2});
    world.die(2);
    CHECK(propose(world, proposal(world, {1, 2})) == IsrOutcome::ineligible);
    world.live(2);
    CHECK(propose(world, before) == IsrOutcome::ineligible); // another epoch
    CHECK(propose(world, proposal(world, {1, 2})) == IsrOutcome::committed);
    CHECK(propose(world, proposal(world, {1, 4})) == IsrOutcome::ineligible); // no replica
}

TEST_CASE("change isr: one that settles makes void what was proposed before, committed or not") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2, 3}});
    CHECK(propose(world, proposal(world, {1})) == IsrOutcome::committed);
    ChangeIsr late(BrokerId(1), {proposal(world, {1, 2})}); // on its way to the store
    const port::StoreTransaction on_its_way = late.decide(*world.image, world.random);
    IsrProposal settling = proposal(world, {1, 2, 3});
    settling.is_settling = true;
    world.die(3);
    const int32_t partition_epoch = world.partition("t", 0).partition_epoch;
    CHECK(propose(world, settling) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).isr == ids({1}));
    CHECK(world.partition("t", 0).partition_epoch == partition_epoch + 1);
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(0));
    CHECK(world.store.commit(on_its_way).error().code == Code::store_conflict);
    settling = proposal(world, {1}); // as it is
    settling.is_settling = true;
    CHECK(propose(world, settling) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).partition_epoch == partition_epoch + 2);
    CHECK(propose(world, settling) == IsrOutcome::fenced);
}

TEST_CASE("change isr: a broker that dies while it is decided does not join") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2}});
    CHECK(propose(world, proposal(world, {1})) == IsrOutcome::committed);
    ChangeIsr change(BrokerId(1), {proposal(world, {1, 2})});
    const port::StoreTransaction transaction = change.decide(*world.image, world.random);
    world.die(2);
    CHECK(world.store.commit(transaction).error().code == Code::store_conflict);
    change.finish(Error(Code::store_conflict, ""));
    CHECK(change.results()[0] == IsrOutcome::unfinished);
}

TEST_CASE("change isr: under min.insync.replicas those who leave stay eligible") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2, 3}}, {{"min.insync.replicas", "2"}});
    CHECK(propose(world, proposal(world, {1, 2})) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).elr.empty());
    CHECK(propose(world, proposal(world, {1})) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).elr == ids({2})); // not 3: records were committed without it
    CHECK(propose(world, proposal(world, {1, 3})) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).elr.empty());
}

TEST_CASE("change isr: a leader whose log is broken leaves; a live member leads") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2, 3}});
    CHECK(propose(world, proposal(world, {2, 3})) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(1));
    CHECK(world.partition("t", 0).isr == ids({2, 3}));
    // The last one stays, since nobody else has what is committed.
    CHECK(propose(world, proposal(world, {2}), 2) == IsrOutcome::committed);
    CHECK(propose(world, proposal(world, {}), 2) == IsrOutcome::ineligible);
    CHECK(world.partition("t", 0).leader == BrokerId(2));
}

namespace {

IsrOutcome lose_copy(ClusterWorld& world, int32_t self) {
    const PartitionImage& now = world.partition("t", 0);
    IsrProposal lost{world.key("t", 0), now.leader_epoch, now.partition_epoch, {}};
    lost.is_copy_lost = true;
    return propose(world, std::move(lost), self);
}

} // namespace

TEST_CASE("change isr: a damaged copy counts for nothing, in a new leader epoch") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2, 3}});
    CHECK(lose_copy(world, 2) == IsrOutcome::committed); // a follower's
    CHECK(world.partition("t", 0).isr == ids({1, 3}));
    CHECK(world.partition("t", 0).elr.empty());
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(1));

    CHECK(lose_copy(world, 1) == IsrOutcome::committed); // the leader's
    CHECK(world.partition("t", 0).isr == ids({3}));
    CHECK(world.partition("t", 0).leader == BrokerId(3));
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(2));

    // One that is no member: what its leader knows of it is void all the same.
    CHECK(lose_copy(world, 2) == IsrOutcome::committed);
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(3));
    CHECK(lose_copy(world, 3) == IsrOutcome::ineligible); // the last one
    CHECK(world.partition("t", 0).isr == ids({3}));
    CHECK(lose_copy(world, 4) == IsrOutcome::fenced);
}

TEST_CASE("change isr: a damaged copy is not given up while nobody else could lead") {
    ClusterWorld world;
    world.add_topic("t", {{1, 2}});
    IsrProposal late{world.key("t", 0), LeaderEpoch(0), 0, {}};
    late.is_copy_lost = true;
    world.die(2);
    CHECK(lose_copy(world, 1) == IsrOutcome::ineligible);
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    world.live(2);
    CHECK(propose(world, proposal(world, {1})) == IsrOutcome::committed);
    CHECK(propose(world, late, 2) == IsrOutcome::fenced); // the partition has changed since
}
