// Proves the plans of moves: a drained broker holds nothing any more, a balanced cluster is even,
// racks are kept, and what cannot move is named.
#include "server/metadata/decide_brokers.h"
#include "server/metadata/rebalance.h"
#include "tests/unit/server/metadata/cluster_world.h"

#include <set>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

// Replicas and preferred leaders by broker, after the plan.
struct Loads {
    std::map<int32_t, int> replicas;
    std::map<int32_t, int> leaders;
};

Loads after(const ClusterWorld& world, const Plan& plan) {
    std::map<std::pair<std::string, int32_t>, std::vector<BrokerId>> all;
    for (const auto& [name, topic] : world.image->topics_by_name) {
        for (size_t i = 0; i < topic->partitions.size(); i++) {
            all[{name, static_cast<int32_t>(i)}] = topic->partitions[i].replicas;
        }
    }
    for (const PlannedMove& move : plan.moves) {
        std::vector<BrokerId>& replicas = all.at({move.topic, move.partition});
        CHECK(replicas == move.from);
        CHECK(move.to.size() == move.from.size());
        CHECK(std::set<BrokerId>(move.to.begin(), move.to.end()).size() == move.to.size());
        replicas = move.to;
    }
    Loads loads;
    for (const auto& entry : all) {
        loads.leaders[entry.second.front().value()]++;
        for (const BrokerId broker : entry.second) {
            loads.replicas[broker.value()]++;
        }
    }
    return loads;
}

} // namespace

TEST_CASE("drain: everything leaves the broker, to the emptiest of the others") {
    ClusterWorld world(4); // racks a, b, a, b
    world.add_topic("t", {{1, 2}, {1, 2}, {2, 1}, {2, 1}, {3, 4}});
    const Result<Plan> plan = plan_drain(*world.image, BrokerId(1));
    REQUIRE(plan);
    CHECK(plan->moves.size() == 4);
    CHECK(plan->stuck.empty());
    const Loads loads = after(world, *plan);
    CHECK_FALSE(loads.replicas.contains(1));
    for (const PlannedMove& move : plan->moves) {
        CHECK(move.to == ids(move.from[0] == BrokerId(1) ? std::vector<int32_t>{3, 2}
                                                         : std::vector<int32_t>{2, 3}));
    }
    CHECK(plan_drain(*world.image, BrokerId(9)).error().code == Code::resource_not_found);
}

TEST_CASE("drain: what has no other place is named; dead and cordoned brokers are none") {
    ClusterWorld world(4);
    world.add_topic("t", {{1, 2}, {1}});
    world.die(3);
    CordonBroker cordon(BrokerId(4), true);
    world.run(cordon);
    const Result<Plan> plan = plan_drain(*world.image, BrokerId(1));
    REQUIRE(plan);
    REQUIRE(plan->moves.size() == 1);
    CHECK(plan->moves[0].partition == 1);
    CHECK(plan->moves[0].to == ids({2}));
    CHECK(plan->stuck == std::vector<std::string>{"t-0"});
}

TEST_CASE("plans: what has no leader does not move") {
    ClusterWorld world(3);
    world.add_topic("t", {{1}, {1}, {1}});
    PartitionImage next = world.partition("t", 0);
    next.leader = kNoBroker;
    world.write({{partition_key(world.topic("t").id, 0), encode_partition(next)}});
    const Result<Plan> plan = plan_drain(*world.image, BrokerId(1));
    REQUIRE(plan);
    CHECK(plan->moves.size() == 2);
    CHECK(plan->stuck == std::vector<std::string>{"t-0"});
    for (const PlannedMove& move : plan_rebalance(*world.image).moves) {
        CHECK(move.partition != 0);
    }
}

TEST_CASE("rebalance: a broker that joined gets its share") {
    ClusterWorld world(4);
    world.add_topic("t", std::vector<std::vector<int32_t>>(40, {1, 2, 3}));
    const Plan plan = plan_rebalance(*world.image);
    const Loads loads = after(world, plan);
    for (int32_t id = 1; id <= 4; id++) {
        CHECK(loads.replicas.at(id) == 30);
        CHECK(loads.leaders.at(id) >= 9);
        CHECK(loads.leaders.at(id) <= 11);
    }
}

TEST_CASE("rebalance: an even cluster stays as it is, and so do partitions that move") {
    ClusterWorld world(3);
    world.add_topic("t", {{1, 2, 3}, {2, 3, 1}, {3, 1, 2}});
    CHECK(plan_rebalance(*world.image).moves.empty());
    ClusterWorld moving(3);
    moving.add_topic("t", {{1}, {1}});
    PartitionImage next = moving.partition("t", 0);
    next.replicas = ids({2, 1});
    next.adding_replicas = ids({2});
    next.removing_replicas = ids({1});
    moving.write({{partition_key(moving.topic("t").id, 0), encode_partition(next)}});
    for (const PlannedMove& move : plan_rebalance(*moving.image).moves) {
        CHECK(move.partition != 0);
    }
}

TEST_CASE("rebalance: no partition ends in fewer racks") {
    ClusterWorld world(4);
    world.add_topic("t", std::vector<std::vector<int32_t>>(20, {1, 2}));
    const Plan plan = plan_rebalance(*world.image);
    CHECK_FALSE(plan.moves.empty());
    for (const PlannedMove& move : plan.moves) {
        std::set<std::string> racks;
        for (const BrokerId broker : move.to) {
            racks.insert(world.image->find_broker(broker)->rack);
        }
        CHECK(racks.size() == 2);
    }
    const Loads loads = after(world, plan);
    CHECK(loads.replicas.at(3) == 10);
    CHECK(loads.replicas.at(4) == 10);
}
