// Proves that groups change between the classic and the consumer protocol while they live: an
// upgrade keeps members and partitions, both kinds of members share the topics, and the last
// consumer to leave gives the group back to the classic protocol; policies forbid either.
#include "server/group/consumer_protocol.h"

#include "consumer_world.h"

namespace qtool::test {

namespace {

// An assignment of partitions of topic "t", as leaders of classic groups write it.
std::string assignment_bytes(const std::vector<int32_t>& partitions) {
    protocol::ConsumerProtocolAssignment assignment;
    assignment.assigned_partitions.push_back({"t", partitions});
    return std::string(as_text(group::write_assignment(assignment, 1)));
}

// What a consumer says at a join: it wants "t", and owns nothing.
JoinText subscribed(std::string member_id = {}) {
    std::vector<std::byte> bytes = subscription({"t"});
    bytes.insert(bytes.end(), 4, std::byte{0}); // no owned partitions
    return {.member_id = std::move(member_id), .protocols = {{"range", bytes}}};
}

std::vector<int32_t> partitions_of(ByteView bytes) {
    const auto assignment = group::read_assignment(bytes);
    REQUIRE(assignment.has_value());
    std::vector<int32_t> partitions;
    for (const auto& topic : assignment->assigned_partitions) {
        partitions.insert(partitions.end(), topic.partitions.begin(), topic.partitions.end());
    }
    return partitions;
}

/// A classic member that is eager: it gives everything back before it joins.
struct Classic {
    std::string id;
    int32_t generation = 0;
    std::vector<int32_t> owned = {};
};

class MigrationWorld : public ConsumerWorld {
public:
    /// A classic group of one member that has all four partitions of "t".
    Classic start_classic() {
        add_topic("t", 4);
        auto [id, token] = join(subscribed());
        wait(6s);
        const auto joined_as = joined(token);
        Classic member{id, joined_as.generation_id};
        const Token synced_by =
            sync(member.id, member.generation, {{member.id, assignment_bytes({0, 1, 2, 3})}});
        member.owned = partitions_of(synced(synced_by).assignment);
        REQUIRE(member.owned.size() == 4);
        return member;
    }
    int16_t beat_classic(const Classic& member) {
        return ClassicWorld::beat(member.id, member.generation);
    }
    void rejoin(Classic& member) {
        member.owned.clear();
        const auto response = call_join(subscribed(member.id));
        REQUIRE(response.error_code == 0);
        CHECK(response.protocol_type == "consumer");
        CHECK(response.members.empty());
        member.generation = response.generation_id;
        const auto assigned = synced(sync(member.id, member.generation));
        REQUIRE(assigned.error_code == 0);
        member.owned = partitions_of(assigned.assignment);
    }
};

} // namespace

TEST_CASE(
    "migration: a consumer joins a classic group, shares its topics, leaves it classic again") {
    MigrationWorld world;
    Classic old = world.start_classic();
    Consumer fresh{.id = "fresh"};
    REQUIRE(world.ConsumerWorld::beat(fresh).error_code == 0);
    CHECK(world.consumer_group().members().size() == 2);
    CHECK(world.consumer_group().classic_count() == 1);
    CHECK(fresh.assigned.empty()); // all still belongs to the classic member
    CHECK(world.beat_classic(old) == kRebalanceInProgress);
    SUBCASE("both settle on two partitions each, across a restart") {
        world.rejoin(old);
        CHECK(old.owned.size() == 2);
        world.wait(1s);
        world.ConsumerWorld::beat(fresh);
        world.apply(fresh);
        CHECK(group::partition_count(fresh.owned) == 2);
        CHECK(world.beat_classic(old) == 0);
        CHECK(world.state_of("g") == "Stable");
        world.restart();
        CHECK(world.beat_classic(old) == 0);
        CHECK(world.consumer_group().classic_count() == 1);
        CHECK(world.leave_consumer(fresh) == 0);
        const group::Group* group = world.find("g");
        REQUIRE(group != nullptr);
        CHECK(group->kind() == group::GroupKind::classic);
        CHECK(world.state_of("g") == "PreparingRebalance");
        // The classic member joins again as its protocol has it.
        const Token token = world.send_join(subscribed(old.id));
        world.wait(1s);
        const auto response = world.joined(token);
        CHECK(response.error_code == 0);
        CHECK(response.leader == old.id);
        world.restart();
        CHECK(world.find("g")->kind() == group::GroupKind::classic);
    }
    SUBCASE("a classic member that does not join again in time is removed") {
        for (int i = 0; i < 14; i++) {
            world.wait(5s);
            world.beat_classic(old);
            CHECK(world.ConsumerWorld::beat(fresh).error_code == 0);
        }
        CHECK(world.consumer_group().members().size() == 1);
        world.settle({&fresh});
        CHECK(group::partition_count(fresh.owned) == 4);
    }
    SUBCASE("the classic member leaves") {
        CHECK(world.leave(old.id) == 0);
        world.settle({&fresh});
        CHECK(group::partition_count(fresh.owned) == 4);
    }
}

TEST_CASE("migration: a classic member joins a group of consumers") {
    MigrationWorld world;
    world.add_topic("t", 4);
    Consumer fresh{.id = "fresh"};
    world.ConsumerWorld::beat(fresh);
    world.apply(fresh);
    world.wait(2s);
    SUBCASE("with the round for its id, then as it is") {
        const auto first = world.call_join(subscribed());
        REQUIRE(first.error_code == 79);
        Classic old{std::string(first.member_id)};
        world.rejoin(old);
        CHECK(old.owned.empty()); // nothing is free yet
        world.ConsumerWorld::beat(fresh);
        world.apply(fresh);
        world.ConsumerWorld::beat(fresh);
        CHECK(world.beat_classic(old) == kRebalanceInProgress);
        world.rejoin(old);
        CHECK(old.owned.size() == 2);
        CHECK(world.state_of("g") == "Stable");
        Classic wrong{old.id, old.generation + 1};
        CHECK(world.beat_classic(wrong) == 22);
    }
    SUBCASE("not of another protocol type, not with bytes that are no subscription") {
        CHECK(world.call_join({.member_id = "x", .protocol_type = "connect"}).error_code == 23);
        CHECK(world.call_join({.member_id = "x", .protocols = {{"range", {}}}}).error_code == 23);
    }
    SUBCASE("not when the policy is disabled") {
        world.host.config_now.consumer_groups.may_upgrade = false;
        world.host.config_now.consumer_groups.may_downgrade = false;
        CHECK(world.call_join(subscribed("x")).error_code == 23);
    }
}

TEST_CASE("migration: no upgrade without the policy, none of other protocols; empty groups change "
          "freely") {
    MigrationWorld world;
    Classic old = world.start_classic();
    world.host.config_now.consumer_groups.may_upgrade = false;
    Consumer fresh{.id = "fresh"};
    CHECK(world.ConsumerWorld::beat(fresh).error_code == 69);
    CHECK(world.beat_classic(old) == 0);
    CHECK(world.leave(old.id) == 0);
    CHECK(world.state_of("g") == "Empty");
    CHECK(world.ConsumerWorld::beat(fresh).error_code == 0);
    CHECK(world.consumer_group().members().size() == 1);
    CHECK(world.leave_consumer(fresh) == 0);
    const auto joined_as = world.call_join(subscribed());
    CHECK(joined_as.error_code == 79); // a classic group again
    world.restart();
    CHECK(world.state_of("g") != "Stable");
}

TEST_CASE("migration: no downgrade without the policy") {
    MigrationWorld world;
    Classic old = world.start_classic();
    Consumer fresh{.id = "fresh"};
    world.ConsumerWorld::beat(fresh);
    world.host.config_now.consumer_groups.may_downgrade = false;
    CHECK(world.leave_consumer(fresh) == 0);
    CHECK(world.consumer_group().classic_count() == 1);
}

} // namespace qtool::test
