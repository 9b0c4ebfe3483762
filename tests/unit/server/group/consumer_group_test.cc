// Proves the rules of ConsumerGroupHeartbeat one by one: joining, epochs and fencing, lost answers,
// static members, revocation, timeouts, expressions, assignors, topics that change, restarts.
#include "server/group/topic_regex.h"

#include "consumer_world.h"

namespace qtool::test {

namespace {

constexpr int16_t kInvalidRequest = 42;
constexpr int16_t kGroupIdNotFound = 69;
constexpr int16_t kFencedInstance = 82;
constexpr int16_t kFencedEpoch = 110;
constexpr int16_t kUnreleasedInstance = 111;
constexpr int16_t kUnsupportedAssignor = 112;
constexpr int16_t kStaleEpoch = 113;
constexpr int16_t kInvalidRegex = 128;

size_t count(const group::Assignment& assignment) {
    return group::partition_count(assignment);
}

} // namespace

TEST_CASE("consumer group: the first member gets all partitions at once, at epoch 1") {
    ConsumerWorld world;
    const TopicId topic = world.add_topic("t", 3);
    Consumer a{.id = "a"};
    const auto response = world.beat(a);
    CHECK(response.error_code == 0);
    CHECK(response.member_epoch == 1);
    CHECK(response.heartbeat_interval_ms == 5000);
    CHECK(a.assigned == group::Assignment{{topic, {0, 1, 2}}});
    CHECK(world.state_of("g") == "Stable");
    SUBCASE("nothing is said again while nothing changes") {
        const auto second = world.beat(a);
        CHECK_FALSE(second.assignment.has_value());
        CHECK(second.member_epoch == 1);
    }
    SUBCASE("all of it is said again to a full request") {
        protocol::ConsumerGroupHeartbeatRequest request;
        request.group_id = "g";
        request.member_id = "a";
        request.member_epoch = 1;
        request.rebalance_timeout_ms = 30'000;
        request.subscribed_topic_names = {{"t"}};
        request.topic_partitions.emplace();
        CHECK(world.send_beat(request).assignment.has_value());
    }
    SUBCASE("a member without an id gets one in version 0") {
        protocol::ConsumerGroupHeartbeatRequest request;
        request.group_id = "g";
        request.rebalance_timeout_ms = 30'000;
        request.subscribed_topic_names = {{"t"}};
        request.topic_partitions.emplace();
        CHECK(world.send_beat(request, 0).member_id->size() == 22);
        CHECK(world.send_beat(request, 1).error_code == kInvalidRequest);
    }
}

TEST_CASE("consumer group: a partition changes hands only after its owner gave it back") {
    ConsumerWorld world;
    const TopicId topic = world.add_topic("t", 2);
    Consumer a{.id = "a"};
    Consumer b{.id = "b"};
    world.beat(a);
    world.apply(a);
    world.wait(2s);
    CHECK(world.beat(b).error_code == 0);
    CHECK(count(b.assigned) == 0); // its target still belongs to a
    CHECK(b.epoch == 2);
    world.beat(a); // says what it owns, hears that one is to go
    CHECK(a.epoch == 1);
    CHECK(count(a.assigned) == 1);
    CHECK(world.state_of("g") == "Reconciling");
    world.beat(b);
    CHECK(count(b.assigned) == 0);
    world.beat(a); // nothing about partitions: all still owned
    CHECK(a.epoch == 1);
    world.apply(a);
    world.beat(a);
    CHECK(a.epoch == 2);
    world.beat(b);
    CHECK(count(b.assigned) == 1);
    CHECK(world.state_of("g") == "Stable");
    CHECK(a.assigned != b.assigned);
    CHECK(a.assigned.at(topic).size() == 1);
}

TEST_CASE("consumer group: what is set on the group holds from the next heartbeat on") {
    ConsumerWorld world;
    world.add_topic("t", 1);
    Consumer a{.id = "a"};
    CHECK(world.beat(a).heartbeat_interval_ms == 5000);
    const auto set = [&](std::string name, std::string value) {
        world.host.image_now.group_configs["g"].options[std::move(name)] = std::move(value);
    };
    SUBCASE("the heartbeat interval, of this group alone") {
        set("consumer.heartbeat.interval.ms", "9000");
        CHECK(world.beat(a).heartbeat_interval_ms == 9000);
        world.host.image_now.group_configs.clear();
        CHECK(world.beat(a).heartbeat_interval_ms == 5000);
        world.host.image_now.group_configs["other"].options["consumer.heartbeat.interval.ms"] =
            "9000";
        CHECK(world.beat(a).heartbeat_interval_ms == 5000);
    }
    SUBCASE("the session timeout: the running session keeps the one it began with") {
        set("consumer.session.timeout.ms", "60000");
        world.wait(44s);
        CHECK(world.beat(a).error_code == 0);
        world.wait(59s);
        CHECK(world.beat(a).error_code == 0);
        world.wait(61s);
        CHECK(world.state_of("g") == "Empty");
    }
    SUBCASE("a value beyond the bounds of the broker is moved to the nearest one") {
        set("consumer.heartbeat.interval.ms", "1");
        CHECK(world.beat(a).heartbeat_interval_ms == 5000);
        set("consumer.heartbeat.interval.ms", "100000");
        CHECK(world.beat(a).heartbeat_interval_ms == 15'000);
        set("of.a.later.version", "1");
        CHECK(world.beat(a).error_code == 0);
    }
    SUBCASE("the interval between two assignments") {
        set("consumer.assignment.interval.ms", "15000");
        Consumer b{.id = "b"};
        world.beat(b);
        world.wait(2s);
        CHECK(world.state_of("g") == "Assigning");
        set("consumer.assignment.interval.ms", "0"); // and from the next heartbeat without waiting
        world.beat(b);
        CHECK(world.state_of("g") != "Assigning");
    }
    SUBCASE("the broker's own option, set at run time") {
        world.host.config_now.consumer_groups.heartbeat_interval_ms = 7000;
        // As a change of the option does: the value in force is the typed and the written one.
        world.host.config_now.settings["group.consumer.heartbeat.interval.ms"] = {"7000", "--set"};
        CHECK(world.beat(a).heartbeat_interval_ms == 7000);
    }
}

TEST_CASE("consumer group: requests that contradict themselves") {
    ConsumerWorld world;
    world.add_topic("t", 1);
    protocol::ConsumerGroupHeartbeatRequest join;
    join.group_id = "g";
    join.member_id = "a";
    join.rebalance_timeout_ms = 1000;
    join.subscribed_topic_names = {{"t"}};
    join.topic_partitions.emplace();
    auto request = join;
    SUBCASE("no group") {
        request.group_id = "";
    }
    SUBCASE("no rebalance timeout") {
        request.rebalance_timeout_ms = -1;
    }
    SUBCASE("no list of partitions") {
        request.topic_partitions.reset();
    }
    SUBCASE("partitions at a join") {
        request.topic_partitions->push_back({TopicId{}, {1}});
    }
    SUBCASE("no subscription") {
        request.subscribed_topic_names.reset();
    }
    SUBCASE("epoch -3") {
        request.member_epoch = -3;
    }
    SUBCASE("a static leave without an instance") {
        request.member_epoch = -2;
    }
    SUBCASE("an empty instance") {
        request.instance_id = "";
    }
    CHECK(world.send_beat(request).error_code == kInvalidRequest);
    CHECK(world.state_of("g") == "none");
}

TEST_CASE("consumer group: epochs above and below the known are fenced, unknown members refused") {
    ConsumerWorld world;
    world.add_topic("t", 2);
    Consumer a{.id = "a"};
    protocol::ConsumerGroupHeartbeatRequest request;
    request.group_id = "g";
    request.member_id = "a";
    request.member_epoch = 1;
    CHECK(world.send_beat(request).error_code == kGroupIdNotFound);
    world.beat(a);
    world.apply(a);
    world.beat(a);
    request.member_epoch = 2;
    CHECK(world.send_beat(request).error_code == kFencedEpoch);
    request.member_id = "b";
    CHECK(world.send_beat(request).error_code == kUnknownMember);
    // A second member makes the first one move to epoch 2 and give a partition back.
    Consumer b{.id = "b"};
    world.wait(2s);
    world.beat(b);
    world.beat(a);
    world.apply(a);
    world.beat(a);
    REQUIRE(a.epoch == 2);
    request.member_id = "a";
    request.member_epoch = 1;
    SUBCASE("the epoch before, without partitions") {
        CHECK(world.send_beat(request).error_code == kFencedEpoch);
    }
    SUBCASE("the epoch before, owning no more than it should: its answer was lost") {
        auto& owned = request.topic_partitions.emplace();
        for (const auto& [topic, partitions] : a.owned) {
            owned.push_back({topic, partitions});
        }
        const auto response = world.send_beat(request);
        CHECK(response.error_code == 0);
        CHECK(response.member_epoch == 2);
        CHECK(response.assignment.has_value());
    }
    SUBCASE("the epoch before, owning what it gave back") {
        auto& owned = request.topic_partitions.emplace();
        owned.push_back({a.owned.begin()->first, {0, 1}});
        CHECK(world.send_beat(request).error_code == kFencedEpoch);
    }
    SUBCASE("a member that was fenced joins again with epoch 0 and is told all") {
        a.epoch = 0;
        const auto response = world.beat(a);
        CHECK(response.error_code == 0);
        CHECK(response.member_epoch == 2);
        CHECK(count(a.assigned) == 1);
    }
}

TEST_CASE("consumer group: a static member keeps its place while it is away") {
    ConsumerWorld world;
    world.add_topic("t", 4);
    Consumer a{.id = "a", .instance_id = "i"};
    Consumer b{.id = "b"};
    world.beat(a);
    world.apply(a);
    world.settle({&a, &b});
    const group::Assignment before = a.assigned;
    Consumer other{.id = "a2", .instance_id = "i"};
    CHECK(world.beat(other).error_code == kUnreleasedInstance);
    CHECK(world.leave_consumer(a, -2) == 0);
    const int32_t group_epoch = world.consumer_group().epoch();
    SUBCASE("another process takes it over, and nothing moves") {
        CHECK(world.beat(other).error_code == 0);
        CHECK(other.assigned == before);
        CHECK(world.consumer_group().epoch() == group_epoch);
        CHECK(world.beat(a).error_code == kFencedInstance);
        CHECK(world.beat(b).error_code == 0);
    }
    SUBCASE("until the session timeout") {
        world.wait(20s);
        CHECK(world.beat(b).error_code == 0);
        CHECK(count(b.assigned) == 2);
        world.wait(26s);
        CHECK(world.consumer_group().members().size() == 1);
        world.settle({&b});
        CHECK(count(b.assigned) == 4);
    }
}

TEST_CASE("consumer group: silence ends a member, and so does keeping what is to be given back") {
    ConsumerWorld world;
    world.add_topic("t", 4);
    Consumer a{.id = "a"};
    Consumer b{.id = "b"};
    world.beat(a);
    world.apply(a);
    world.beat(a);
    SUBCASE("session timeout") {
        world.settle({&a, &b});
        for (int i = 0; i < 9; i++) {
            world.wait(5s);
            world.beat(b);
        }
        CHECK(world.beat(a).error_code == kUnknownMember);
        world.settle({&b});
        CHECK(count(b.assigned) == 4);
    }
    SUBCASE("revocation") {
        world.wait(2s);
        world.beat(b);
        world.beat(a); // must give two back, and has 30 s
        for (int i = 0; i < 5; i++) {
            world.wait(5s);
            CHECK(world.beat(a).error_code == 0); // lives, but keeps them
            CHECK(world.beat(b).error_code == 0);
            CHECK(count(b.assigned) == 0);
        }
        world.wait(6s);
        CHECK(world.beat(a).error_code == kUnknownMember);
        world.settle({&b});
        CHECK(count(b.assigned) == 4);
    }
}

TEST_CASE("consumer group: the assignor is what members ask for") {
    ConsumerWorld world;
    const TopicId topic = world.add_topic("t", 4);
    Consumer a{.id = "a", .assignor = "cooperative"};
    CHECK(world.beat(a).error_code == kUnsupportedAssignor);
    a.assignor = "range";
    Consumer b{.id = "b", .assignor = "range"};
    world.beat(b);
    world.apply(b);
    world.settle({&a, &b});
    CHECK(a.assigned == group::Assignment{{topic, {0, 1}}});
    CHECK(b.assigned == group::Assignment{{topic, {2, 3}}});
}

TEST_CASE("consumer group: an assignment is not computed again within the interval") {
    ConsumerWorld world;
    world.add_topic("t", 4);
    Consumer a{.id = "a"};
    Consumer b{.id = "b"};
    world.beat(a);
    CHECK(world.beat(b).error_code == 0);
    CHECK(b.epoch == 1); // of the target there is
    CHECK(world.state_of("g") == "Assigning");
    world.wait(1s);
    CHECK(world.consumer_group().target_epoch() == world.consumer_group().epoch());
}

TEST_CASE("consumer group: topics that grow, come and go raise the epoch") {
    ConsumerWorld world;
    const TopicId topic = world.add_topic("t", 2);
    Consumer a{.id = "a", .topics = {"t", "u"}};
    world.beat(a);
    world.apply(a);
    CHECK(count(a.assigned) == 2);
    const TopicId other = world.add_topic("u", 3);
    world.topics_changed(other);
    world.settle({&a});
    CHECK(count(a.assigned) == 5);
    world.delete_topic("t");
    world.settle({&a});
    CHECK(a.assigned == group::Assignment{{other, {0, 1, 2}}});
    CHECK_FALSE(a.assigned.contains(topic));
}

TEST_CASE("consumer group: expressions are RE2's, match whole names, and follow new topics") {
    ConsumerWorld world;
    const TopicId topic = world.add_topic("orders-1", 1);
    world.add_topic("xorders-1", 1);
    world.add_topic("orders-12", 1);
    Consumer a{.id = "a", .topics = {}, .regex = "orders-("};
    CHECK(world.beat(a).error_code == kInvalidRegex);
    CHECK(world.state_of("g") == "none");
    a.regex = "orders-\\d";
    world.beat(a);
    world.apply(a);
    CHECK(a.assigned == group::Assignment{{topic, {0}}});
    CHECK(world.consumer_group().is_subscribed("orders-1"));
    CHECK_FALSE(world.consumer_group().is_subscribed("orders-12"));

    // Names and expressions add up; a new topic is found, but not before 10 s after the last look.
    world.topics_changed(world.add_topic("orders-2", 2));
    world.wait(5s);
    world.beat(a);
    CHECK(count(a.assigned) == 1);
    world.wait(6s);
    world.settle({&a});
    CHECK(count(a.assigned) == 3);
    CHECK(world.consumer_group().regexes().size() == 1);
    world.leave_consumer(a);
    CHECK(world.consumer_group().subscribed_topics().empty());
}

TEST_CASE("consumer group: commits are checked against the member's epoch") {
    ConsumerWorld world;
    const TopicId topic = world.add_topic("t", 2);
    Consumer a{.id = "a"};
    world.beat(a);
    world.apply(a);
    Consumer b{.id = "b"};
    world.settle({&a, &b});
    REQUIRE(a.epoch == 2);
    const int32_t kept = a.assigned.at(topic).front();
    const auto check = [&](int32_t epoch, int32_t partition, int16_t version = 9) {
        const group::CommitPartition partitions[] = {{"t", topic, partition}};
        return static_cast<int16_t>(
            world.consumer_group().check_commit({.member_id = "a",
                                                 .instance_id = {},
                                                 .generation_or_epoch = epoch,
                                                 .api_version = version,
                                                 .is_transactional = false,
                                                 .partitions = partitions}));
    };
    CHECK(check(2, kept) == 0);
    CHECK(check(2, kept, 8) == 35);
    CHECK(check(3, kept) == kStaleEpoch);
    CHECK(check(1, kept) == 0);               // its own since epoch 1
    CHECK(check(1, 1 - kept) == kStaleEpoch); // now b's
    CHECK(check(0, kept) == kStaleEpoch);
    CHECK(check(-1, kept) == kStaleEpoch);
    CHECK(static_cast<int16_t>(world.consumer_group().check_fetch("a", 1)) == kStaleEpoch);
    CHECK(static_cast<int16_t>(world.consumer_group().check_fetch("c", 1)) == kUnknownMember);
    CHECK(static_cast<int16_t>(world.consumer_group().check_fetch({}, -1)) == 0);
}

TEST_CASE("consumer group: describe says who has what and who is to have it") {
    ConsumerWorld world;
    const TopicId topic = world.add_topic("t", 2);
    Consumer a{.id = "a"};
    world.beat(a);
    protocol::ConsumerGroupDescribeRequest request;
    request.group_ids = {"g", "nobody", ""};
    const auto response = world.call<protocol::ConsumerGroupDescribeResponse>(request, 1);
    REQUIRE(response.groups.size() == 3);
    CHECK(response.groups[0].group_state == "Stable");
    CHECK(response.groups[0].assignor_name == "uniform");
    REQUIRE(response.groups[0].members.size() == 1);
    const auto& member = response.groups[0].members[0];
    CHECK(member.member_type == 1);
    CHECK(member.client_id == "client");
    CHECK(member.subscribed_topic_regex == ""); // none, as Kafka says it
    REQUIRE(member.assignment.topic_partitions.size() == 1);
    CHECK(member.assignment.topic_partitions[0].topic_name == "t");
    CHECK(member.assignment.topic_partitions[0].topic_id == topic);
    CHECK(member.target_assignment.topic_partitions[0].partitions == std::vector<int32_t>{0, 1});
    CHECK(response.groups[1].error_code == kGroupIdNotFound);
    CHECK(response.groups[1].group_state.empty());
    CHECK(response.groups[2].error_code == 24); // a name that none can have
}

TEST_CASE("consumer group: everything that counts comes back from the log") {
    ConsumerWorld world;
    world.add_topic("t", 4);
    Consumer a{.id = "a"};
    Consumer b{.id = "b", .regex = "t.*", .instance_id = "i"};
    world.beat(a);
    world.apply(a);
    world.settle({&a, &b});
    const int32_t epoch = world.consumer_group().epoch();
    world.restart();
    CHECK(world.consumer_group().epoch() == epoch);
    CHECK(world.state_of("g") == "Stable");
    CHECK(world.beat(a).error_code == 0);
    CHECK(world.beat(b).error_code == 0);
    CHECK(world.consumer_group().static_member("i")->id == "b");
    world.leave_consumer(a);
    world.leave_consumer(b);
    CHECK(world.state_of("g") == "Empty");
    world.restart();
    CHECK(world.state_of("g") == "Empty");
}

TEST_CASE("consumer group: a full log refuses, and nothing has changed") {
    ConsumerWorld world;
    world.add_topic("t", 1);
    world.host.append_fails = Code::not_enough_replicas;
    Consumer a{.id = "a"};
    CHECK(world.beat(a).error_code == 15);
    CHECK(world.state_of("g") == "none");
    world.host.append_fails.reset();
    CHECK(world.beat(a).error_code == 0);
}

} // namespace qtool::test
