// Proves how a broker's life shows in the store: registered with its session, retaking its replicas
// without acting in an old leader epoch, resigning, fenced in its epoch only, cordoned, forgotten.
#include "server/metadata/decide_brokers.h"
#include "server/metadata/partition_change.h"
#include "tests/unit/server/metadata/cluster_world.h"

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

BrokerImage broker_seven() {
    BrokerImage broker;
    broker.id = BrokerId(7);
    broker.host = "here";
    broker.port = 9092;
    broker.rack = "r1";
    broker.admin_host = "there";
    broker.admin_port = 8080;
    broker.incarnation = topic_id(77);
    return broker;
}

std::vector<std::string> run_all(ClusterWorld& world, PartitionSweep& sweep) {
    std::vector<std::string> keys;
    do {
        for (const port::StoreWrite& write : world.run(sweep)) {
            keys.push_back(write.key);
        }
    } while (sweep.advance(Revision{1}));
    return keys;
}

std::vector<std::string> retake(ClusterWorld& world, int32_t self, bool is_lost = false) {
    RetakeReplicas sweep(BrokerId(self),
                         [&](const TopicImage&, PartitionIndex) { return is_lost; });
    run_all(world, sweep);
    return sweep.last_copies();
}

} // namespace

TEST_CASE("cluster id: made once, and the loser of a race takes the winner's") {
    World world(0);
    EnsureCluster first;
    EnsureCluster second;
    const port::StoreTransaction late = second.decide(*world.image, world.random);
    CHECK(world.run(first).size() == 1);
    CHECK(first.outcome());
    const std::string id = world.image->cluster_id;
    CHECK(id.size() == 22);
    CHECK(world.store.commit(late).error().code == Code::store_conflict);
    CHECK(world.run(second).empty());
    CHECK(second.outcome());
    CHECK(world.image->cluster_id == id);
}

TEST_CASE("register broker: all in one transaction, again in another session") {
    World world(0);
    BrokerImage broker = broker_seven();
    RegisterBroker first(broker, broker.incarnation);
    const std::vector<port::StoreWrite> writes = world.run(first);
    REQUIRE(writes.size() == 3);
    CHECK_FALSE(writes[0].ephemeral);
    CHECK(writes[1].key == "live/7");
    CHECK(writes[1].ephemeral);
    CHECK(writes[2].key == "controller");
    CHECK(writes[2].ephemeral);
    CHECK(first.outcome());
    CHECK(first.claimed_controller());
    const BrokerImage& written = world.image->brokers.at(BrokerId(7));
    CHECK(encode_broker(written) == encode_broker(broker));
    CHECK(written.epoch == world.image->revision);
    CHECK(world.image->controller.id == BrokerId(7));

    RegisterBroker again(broker, broker.incarnation); // in another session
    CHECK(world.run(again).size() == 2);              // live and controller
    broker.port = 9093;
    broker.incarnation = topic_id(78);
    RegisterBroker moved(broker, broker.incarnation);
    CHECK(world.run(moved).size() == 3);
    CHECK(world.image->brokers.at(BrokerId(7)).port == 9093);
    CHECK(world.image->brokers.at(BrokerId(7)).live_incarnation == topic_id(78));
    CHECK(world.delta.topics_changed.empty());
}

TEST_CASE("register broker: another controller is left alone, a cordon is kept") {
    ClusterWorld world(1);
    world.write({{controller_key(), encode_controller(BrokerId(1))}});
    BrokerImage broker = broker_seven();
    RegisterBroker first(broker, broker.incarnation);
    CHECK(world.run(first).size() == 2);
    CHECK_FALSE(first.claimed_controller());
    CordonBroker cordon(broker.id, true);
    CHECK(world.run(cordon).size() == 1);
    CHECK(world.run(cordon).empty());
    CHECK(world.image->find_broker(broker.id)->is_cordoned);
    CHECK(world.image->is_live(broker.id));
    broker.incarnation = topic_id(79);
    RegisterBroker restarted(broker, broker.incarnation);
    world.run(restarted);
    CHECK(world.image->find_broker(broker.id)->is_cordoned);
    CordonBroker uncordon(broker.id, false);
    CHECK(world.run(uncordon).size() == 1);
    CHECK_FALSE(world.image->find_broker(broker.id)->is_cordoned);
    CordonBroker nobody(BrokerId(99), true);
    world.run(nobody);
    CHECK(nobody.outcome().error().code == Code::resource_not_found);
}

TEST_CASE("retake replicas: leaderships of an earlier life go to others, or get a new term") {
    ClusterWorld world(3);
    world.add_topic("t", {{1, 2, 3}, {1, 2}, {1}, {2, 1}});
    world.die(1);
    world.write({{partition_key(world.topic("t").id, 1), [&] {
                      PartitionImage alone = world.partition("t", 1);
                      alone.isr = ids({1});
                      return encode_partition(alone);
                  }()}});
    CHECK(retake(world, 1).empty());
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    CHECK(world.partition("t", 0).isr == ids({1, 2, 3}));
    CHECK(world.partition("t", 1).leader == BrokerId(1));
    CHECK(world.partition("t", 1).leader_epoch == LeaderEpoch(1));
    CHECK(world.partition("t", 2).leader_epoch == LeaderEpoch(0)); // nobody else ever led it
    CHECK(world.partition("t", 3).partition_epoch == 0);
}

TEST_CASE("retake replicas: no unclean leader while there is this one") {
    ClusterWorld world(2);
    world.add_topic("t", {{1, 2}}, {{"unclean.leader.election.enable", "true"}});
    world.die(1);
    world.write({{partition_key(world.topic("t").id, 0), [&] {
                      PartitionImage alone = world.partition("t", 0);
                      alone.isr = ids({1});
                      return encode_partition(alone);
                  }()}});
    retake(world, 1);
    CHECK(world.partition("t", 0).leader == BrokerId(1));
    CHECK(world.partition("t", 0).leader_epoch == LeaderEpoch(1));
}

TEST_CASE("retake replicas: a lost disk leaves every ISR and says what was its last copy") {
    ClusterWorld world(3);
    world.add_topic("t", {{1, 2, 3}, {1}, {2, 1}, {2, 3}});
    world.die(1);
    CHECK(retake(world, 1, true) == std::vector<std::string>{"t-1"});
    CHECK(world.partition("t", 0).isr == ids({2, 3}));
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    CHECK(world.partition("t", 1).isr.empty());
    CHECK(world.partition("t", 1).leader == kNoBroker);
    CHECK(world.partition("t", 2).isr == ids({2}));
    CHECK(world.partition("t", 3).partition_epoch == 0);
}

TEST_CASE("sweeps: many partitions go in parts") {
    ClusterWorld world(3);
    world.add_topic("a", std::vector<std::vector<int32_t>>(150, {1, 2}));
    world.add_topic("b", std::vector<std::vector<int32_t>>(95, {1, 3}));
    world.die(1);
    RetakeReplicas sweep(BrokerId(1), [](const TopicImage&, PartitionIndex) { return false; });
    size_t parts = 0;
    size_t writes = 0;
    do {
        const size_t size = world.run(sweep).size();
        CHECK(size <= kBatchPartitionsMax);
        writes += size;
        parts++;
    } while (sweep.advance(Revision{1}));
    CHECK(parts == 3);
    CHECK(writes == 245);
}

TEST_CASE("resign replicas: where others go on, they do") {
    ClusterWorld world(3);
    world.add_topic("t", {{1, 2, 3}, {1}, {2, 1}, {1, 3}});
    world.die(3);
    ResignReplicas sweep(BrokerId(1));
    CHECK(run_all(world, sweep).size() == 2);
    CHECK(world.partition("t", 0).leader == BrokerId(2));
    CHECK(world.partition("t", 0).isr == ids({2, 3}));
    CHECK(world.partition("t", 1).leader == BrokerId(1));
    CHECK(world.partition("t", 2).isr == ids({2}));
    CHECK(world.partition("t", 3).leader == BrokerId(1)); // 3 is dead
}

TEST_CASE("fence broker: in its epoch only") {
    ClusterWorld world(2);
    const Revision epoch = world.image->find_broker(BrokerId(2))->epoch;
    FenceBroker fence(BrokerId(2), epoch);
    CHECK(world.run(fence).size() == 1);
    CHECK_FALSE(world.image->is_live(BrokerId(2)));
    CHECK(world.run(fence).empty());
    world.live(2);
    CHECK(world.run(fence).empty());
    world.write({{controller_key(), encode_controller(BrokerId(2))}});
    FenceBroker controller(BrokerId(2), world.image->find_broker(BrokerId(2))->epoch);
    CHECK(world.run(controller).size() == 2);
    CHECK(world.image->controller.id == kNoBroker);
    FenceBroker none(BrokerId(9), Revision{0});
    CHECK(world.run(none).empty());
}

TEST_CASE("unregister broker: only one that is gone") {
    ClusterWorld world(2);
    UnregisterBroker forget(BrokerId(2));
    world.run(forget);
    CHECK(forget.outcome().error().code == Code::invalid_request);
    world.die(2);
    UnregisterBroker now(BrokerId(2));
    world.run(now);
    CHECK(now.outcome());
    CHECK(world.image->find_broker(BrokerId(2)) == nullptr);
    UnregisterBroker twice(BrokerId(2));
    world.run(twice);
    CHECK(twice.outcome().error().code == Code::resource_not_found);
}
