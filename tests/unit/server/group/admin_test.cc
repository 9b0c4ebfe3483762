// Proves what tools see and do (describe, list, delete), and how the shard reads its log.
#include "lib/protocol/msg/describe_groups.h"
#include "lib/protocol/msg/list_groups.h"

#include <doctest/doctest.h>

#include "offset_world.h"

using namespace qtool;
using namespace qtool::test;

TEST_CASE("delete group: only an empty one, with its offsets") {
    OffsetWorld world;
    CHECK(world.delete_group("g") == 69);
    const auto ids = world.stable({JoinText()});
    REQUIRE(world.commit({.generation = 1, .member_id = ids[0]}) == 0);
    CHECK(world.delete_group("g") == 68);
    world.leave(ids[0]);
    world.host.append_fails = Code::not_leader;
    CHECK(world.delete_group("g") == 16);
    world.host.append_fails.reset();
    CHECK(world.delete_group("g") == 0);
    CHECK(world.state_of("g") == "none");
    world.restart();
    CHECK(world.state_of("g") == "none");
    CHECK(world.fetch().committed_offset == -1);
}

TEST_CASE("describe: members with what they said only when stable") {
    OffsetWorld world;
    protocol::DescribeGroupsRequest request;
    request.groups = {"g"};
    using protocol::DescribeGroupsResponse;
    const auto old = world.call<DescribeGroupsResponse>(request, 5);
    CHECK(old.groups[0].group_state == "Dead");
    CHECK(old.groups[0].error_code == 0);
    CHECK(world.call<DescribeGroupsResponse>(request, 6).groups[0].error_code == 69);

    const auto ids = world.stable({JoinText{.instance_id = "i"}});
    request.include_authorized_operations = true;
    const auto stable = world.call<DescribeGroupsResponse>(request, 6).groups[0];
    CHECK(stable.group_state == "Stable");
    CHECK(stable.protocol_type == "consumer");
    CHECK(stable.protocol_data == "range");
    CHECK(stable.authorized_operations == 3400);
    REQUIRE(stable.members.size() == 1);
    CHECK(stable.members[0].member_id == ids[0]);
    CHECK(stable.members[0].group_instance_id == "i");
    CHECK(stable.members[0].client_id == "client");
    CHECK(stable.members[0].client_host == "/127.0.0.1");
    CHECK(as_text(stable.members[0].member_metadata) == as_text(subscription({"t"})));
    CHECK(as_text(stable.members[0].member_assignment) == "for " + ids[0]);

    world.join(); // a rebalance starts
    const auto moving = world.call<DescribeGroupsResponse>(request, 6).groups[0];
    CHECK(moving.group_state == "PreparingRebalance");
    CHECK(moving.protocol_data == "");
    CHECK(moving.members[0].member_metadata.empty());
}

TEST_CASE("list: by state and type, in any case") {
    OffsetWorld world;
    world.stable({JoinText()});
    REQUIRE(world.commit({.group_id = "h"}) == 0);
    protocol::ListGroupsRequest request;
    using protocol::ListGroupsResponse;
    const auto all = world.call<ListGroupsResponse>(request, 5);
    REQUIRE(all.groups.size() == 2);
    CHECK(all.groups[0].group_id == "g");
    CHECK(all.groups[0].protocol_type == "consumer");
    CHECK(all.groups[0].group_state == "Stable");
    CHECK(all.groups[0].group_type == "classic");
    CHECK(all.groups[1].protocol_type == "");
    request.states_filter = {"STABLE"};
    CHECK(world.call<ListGroupsResponse>(request, 5).groups.size() == 1);
    request.types_filter = {"consumer"};
    CHECK(world.call<ListGroupsResponse>(request, 5).groups.empty());
    request.types_filter = {"Classic"};
    CHECK(world.call<ListGroupsResponse>(request, 5).groups.size() == 1);
}

TEST_CASE("replay: types of later versions are skipped, broken records are errors") {
    GroupWorld world;
    const auto replay = [&](const std::string& key, const std::optional<std::string>& value) {
        coordinator::Record record;
        record.key = as_bytes(key);
        if (value) {
            record.value = as_bytes(*value);
        }
        return world.shard->replay(record).has_value();
    };
    using namespace std::string_literals;
    CHECK(replay("\x7f\x00..."s, "x"s));
    CHECK_FALSE(replay("\x00"s, "x"s));
    CHECK_FALSE(replay("\x00\x02\x00\x05gr"s, "x"s));
    CHECK_FALSE(replay("\x00\x02\x00\x01g"s, "\x00"s));
    CHECK_FALSE(replay("\x00\x02\x00\x01g"s, "\x00\x09"s));
    CHECK(replay("\x00\x02\x00\x01g"s, std::nullopt));
    // Type 0 is the old offset key; value version 0 has no epoch and no expiry.
    CHECK(replay(
        "\x00\x00\x00\x01g\x00\x01t\x00\x00\x00\x01"s,
        "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"s));
    CHECK(world.shard->state().offsets.find("g", "t", 1)->offset == 9);
}
