// Proves the rules of one partition: who may lead, who stays in the ISR and the ELR, and how a
// reassignment begins, ends and is taken back.
#include "server/metadata/partition_change.h"
#include "tests/unit/server/metadata/cluster_world.h"

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

TopicImage topic(int32_t min_insync, bool unclean = false) {
    TopicImage topic;
    topic.effective.min_insync_replicas = min_insync;
    topic.effective.unclean_leader_election_enable = unclean;
    return topic;
}

PartitionImage partition(const std::vector<int32_t>& replicas, const std::vector<int32_t>& isr,
                         int32_t leader, const std::vector<int32_t>& elr = {}) {
    PartitionImage out;
    out.replicas = ids(replicas);
    out.isr = ids(isr);
    out.elr = ids(elr);
    out.leader = BrokerId(leader);
    out.leader_epoch = LeaderEpoch(5);
    out.partition_epoch = 9;
    return out;
}

PartitionChange::IsLive live(const std::vector<int32_t>& brokers) {
    return [brokers](BrokerId id) { return contains(ids(brokers), id); };
}

PartitionImage die(const TopicImage& of, const PartitionImage& before,
                   const std::vector<int32_t>& alive) {
    PartitionChange change(of, before);
    change.leave_isr(live(alive));
    change.elect(live(alive));
    return change.result().value_or(before);
}

} // namespace

TEST_CASE("partition change: what stays as it is is no change") {
    const TopicImage of = topic(1);
    PartitionChange change(of, partition({1, 2, 3}, {1, 2, 3}, 1));
    change.leave_isr(live({1, 2, 3}));
    change.elect(live({1, 2, 3}));
    change.clear_elr_if_idle();
    CHECK_FALSE(change.finish_reassignment());
    CHECK_FALSE(change.cancel_reassignment());
    CHECK_FALSE(change.result());
    change.renew_leader();
    REQUIRE(change.result());
    CHECK(change.result()->leader_epoch == LeaderEpoch(6));
    CHECK(change.result()->partition_epoch == 10);
}

TEST_CASE("partition change: a leader that dies is followed by the next of the ISR") {
    const TopicImage of = topic(1);
    PartitionImage now = die(of, partition({2, 1, 3}, {1, 2, 3}, 2), {1, 3});
    CHECK(now.leader == BrokerId(1));
    CHECK(now.isr == ids({1, 3}));
    CHECK(now.leader_epoch == LeaderEpoch(6));
    CHECK(now.partition_epoch == 10);
    now = die(of, partition({2, 1, 3}, {1, 2, 3}, 2), {2, 3}); // a follower
    CHECK(now.leader == BrokerId(2));
    CHECK(now.isr == ids({2, 3}));
    CHECK(now.leader_epoch == LeaderEpoch(5));
    CHECK(now.partition_epoch == 10);
}

TEST_CASE("partition change: the last of the ISR stays in it, without a leader") {
    const TopicImage of = topic(1);
    PartitionImage now = die(of, partition({1, 2, 3}, {1}, 1), {2, 3});
    CHECK(now.leader == kNoBroker);
    CHECK(now.last_known_leader == BrokerId(1));
    CHECK(now.isr == ids({1}));
    CHECK(now.leader_epoch == LeaderEpoch(6));
    now = die(of, now, {1, 2, 3});
    CHECK(now.leader == BrokerId(1));
    CHECK(now.last_known_leader == kNoBroker);
    CHECK(now.leader_epoch == LeaderEpoch(7));
    // All at once: any of them holds what is committed.
    now = die(of, partition({1, 2, 3}, {1, 2, 3}, 1), {});
    CHECK(now.isr == ids({1, 2, 3}));
    now = die(of, now, {3});
    CHECK(now.leader == BrokerId(3));
    CHECK(now.isr == ids({3}));
}

TEST_CASE("partition change: who leaves an ISR under the minimum may lead later (KIP-966)") {
    const TopicImage of = topic(2);
    PartitionImage now = die(of, partition({1, 2, 3}, {1, 2, 3}, 1), {1, 2});
    CHECK(now.elr.empty());
    now = die(of, now, {1});
    CHECK(now.isr == ids({1}));
    CHECK(now.elr == ids({2}));
    now = die(of, now, {2, 3}); // not 3, which lacks what was committed without it
    CHECK(now.leader == BrokerId(2));
    CHECK(now.isr == ids({2}));
    CHECK(now.elr == ids({1}));
    now = die(of, now, {3});
    CHECK(now.leader == kNoBroker);
    CHECK(now.isr == ids({2}));
    CHECK(now.elr == ids({1}));
    now = die(of, now, {1, 3});
    CHECK(now.leader == BrokerId(1));
}

TEST_CASE("partition change: records are lost only where the topic allows it") {
    PartitionImage now = partition({1, 2, 3}, {1}, 1);
    CHECK(die(topic(1), now, {3}).leader == kNoBroker);
    const TopicImage careless = topic(1, true);
    now = die(careless, now, {2, 3});
    CHECK(now.leader == BrokerId(2));
    CHECK(now.isr == ids({2}));
    const TopicImage of = topic(1);
    PartitionChange asked(of, partition({1, 2, 3}, {1}, -1));
    asked.elect_unclean(live({3}));
    CHECK(asked.result()->leader == BrokerId(3));
}

TEST_CASE("partition change: a copy that is lost is in no ISR and ELR, unless it was the last") {
    const TopicImage of = topic(2);
    PartitionChange one(of, partition({1, 2, 3}, {1, 2}, 1, {3}));
    CHECK(one.lose_copy(BrokerId(1)));
    one.elect(live({2, 3}));
    CHECK(one.result()->isr == ids({2}));
    CHECK(one.result()->elr == ids({3}));
    CHECK(one.result()->leader == BrokerId(2));
    PartitionChange from_elr(of, partition({1, 2, 3}, {1}, 1, {3}));
    CHECK(from_elr.lose_copy(BrokerId(1)));
    CHECK(from_elr.now().isr == ids({3}));
    PartitionChange last(of, partition({1, 2, 3}, {1}, 1));
    CHECK_FALSE(last.lose_copy(BrokerId(1)));
    last.elect(live({1, 2, 3}));
    const PartitionImage lost = last.result().value();
    CHECK(lost.isr.empty());
    CHECK(lost.leader == kNoBroker);
    CHECK(lost.last_known_leader == BrokerId(1));
    PartitionChange asked(of, lost);
    asked.elect_unclean(live({2, 3}));
    CHECK(asked.result()->leader == BrokerId(2));
}

TEST_CASE("partition change: a reassignment ends when all new replicas are in sync") {
    const TopicImage of = topic(2);
    PartitionChange begin(of, partition({1, 2, 3}, {1, 2, 3}, 1));
    begin.reassign(ids({4, 2, 5}));
    PartitionImage now = begin.result().value();
    CHECK(now.replicas == ids({4, 2, 5, 1, 3}));
    CHECK(now.adding_replicas == ids({4, 5}));
    CHECK(now.removing_replicas == ids({1, 3}));
    CHECK(now.leader == BrokerId(1));

    PartitionChange early(of, now);
    early.set_isr(ids({1, 2, 3, 4}));
    CHECK_FALSE(early.finish_reassignment());
    now = early.result().value();

    PartitionChange cancel(of, now);
    CHECK(cancel.cancel_reassignment());
    CHECK(cancel.now().replicas == ids({2, 1, 3}));
    CHECK(cancel.now().isr == ids({1, 2, 3}));
    CHECK_FALSE(cancel.now().is_reassigning());

    PartitionChange end(of, now);
    end.set_isr(ids({1, 2, 3, 4, 5}));
    CHECK(end.finish_reassignment());
    end.elect(live({1, 2, 3, 4, 5}));
    now = end.result().value();
    CHECK(now.replicas == ids({4, 2, 5}));
    CHECK(now.isr == ids({2, 4, 5}));
    CHECK(now.leader == BrokerId(4));
    CHECK(now.leader_epoch == LeaderEpoch(6));
    CHECK_FALSE(now.is_reassigning());
}

TEST_CASE("partition change: a new wish starts from the replicas before, and keeps a copy") {
    const TopicImage of = topic(1);
    PartitionChange begin(of, partition({1, 2}, {1, 2}, 1));
    begin.reassign(ids({3, 4}));
    begin.set_isr(ids({1, 3}));
    PartitionChange other(of, begin.result().value());
    other.reassign(ids({1, 5}));
    CHECK(other.now().replicas == ids({1, 5, 2}));
    CHECK(other.now().adding_replicas == ids({5}));
    CHECK(other.now().removing_replicas == ids({2}));
    CHECK(other.now().isr == ids({1}));
    PartitionChange last(of, begin.result().value());
    last.set_isr(ids({3}));
    CHECK_FALSE(last.cancel_reassignment());
    last.reassign(ids({1, 2}));
    CHECK(contains(last.now().replicas, BrokerId(3))); // the only copy, until others have it
    CHECK(last.now().isr == ids({3}));
    last.set_isr(ids({1, 2, 3}));
    CHECK(last.finish_reassignment());
    CHECK(last.now().replicas == ids({1, 2}));
}

TEST_CASE("partition change: a reassignment of a partition without any copy can be taken back") {
    const TopicImage of = topic(1);
    PartitionChange change(of, partition({1}, {}, -1));
    change.reassign(ids({2}));
    CHECK(change.now().adding_replicas == ids({2}));
    CHECK(change.cancel_reassignment());
    CHECK(change.now().replicas == ids({1}));
    CHECK(change.now().isr.empty());
}

TEST_CASE("partition change: replicas that are being added do not raise the minimum") {
    const TopicImage of = topic(2);
    PartitionChange change(of, partition({1}, {1}, 1));
    change.reassign(ids({1, 2, 3}));
    CHECK(min_isr(of, change.now()) == 1);
    change.set_isr(ids({1, 2, 3}));
    CHECK(change.finish_reassignment());
    CHECK(min_isr(of, change.now()) == 2);
}
