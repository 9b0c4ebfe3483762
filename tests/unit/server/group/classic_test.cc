// Proves the rules of classic groups (SEMANTICS section 9) on one shard with a log in memory: who
// waits for whom, who is told what, what is in the log afterwards.
#include <doctest/doctest.h>

#include "classic_world.h"

using namespace qtool;
using namespace qtool::test;
using protocol::JoinGroupResponse;
using protocol::LeaveGroupRequest;
using protocol::LeaveGroupResponse;

TEST_CASE("join: requests that cannot join are told why") {
    struct Case {
        const char* what;
        JoinText text;
        int16_t error;
    };
    std::vector<Case> cases(6);
    cases[0] = {"no group id", {}, 24};
    cases[0].text.group_id = "";
    cases[1] = {"session too short", {}, 26};
    cases[1].text.session_timeout_ms = 5999;
    cases[2] = {"session too long", {}, 26};
    cases[2].text.session_timeout_ms = 1'800'001;
    cases[3] = {"member of no group", {}, kUnknownMember};
    cases[3].text.member_id = "m";
    cases[4] = {"no protocol", {}, 23};
    cases[4].text.protocols.clear();
    cases[5] = {"no protocol type", {}, 23};
    cases[5].text.protocol_type = "";
    for (const Case& c : cases) {
        CAPTURE(c.what);
        ClassicWorld world;
        CHECK(world.call_join(c.text).error_code == c.error);
        CHECK(world.shard->state().groups.empty());
        CHECK(world.host.log.empty());
    }
}

TEST_CASE("join: a dynamic member gets an id first from version 4 on, and joins at once below") {
    ClassicWorld world;
    const auto first = world.call_join({}, 4);
    CHECK(first.error_code == 79);
    CHECK(first.member_id.starts_with("client-"));
    CHECK(first.member_id.size() == 7 + 36);
    CHECK(world.state_of("g") == "Empty");

    CHECK_FALSE(world.is_answered(world.send_join({}, 3)));
    CHECK(world.state_of("g") == "PreparingRebalance");
}

TEST_CASE("join: an id that does not come back is forgotten after the session timeout") {
    ClassicWorld world;
    const auto first = world.call_join({});
    world.wait(10s);
    CHECK(world.call_join({.member_id = std::string(first.member_id)}).error_code ==
          kUnknownMember);
}

TEST_CASE("join: the first rebalance waits for more members, up to the rebalance timeout") {
    ClassicWorld world;
    JoinText text;
    text.rebalance_timeout_ms = 7000;
    const auto a = world.join(text).second;
    world.wait(2s);
    const auto b = world.join(text).second;
    world.wait(1s); // 3 s: prolonged by b
    CHECK_FALSE(world.is_answered(a));
    world.wait(2s);
    const auto c = world.join(text).second;
    world.wait(1999ms);
    CHECK_FALSE(world.is_answered(a));
    world.wait(1ms); // 7 s, although c came
    std::vector<JoinGroupResponse> responses;
    for (const Token token : {a, b, c}) {
        responses.push_back(world.joined(token));
    }
    for (const auto& response : responses) {
        CHECK(response.generation_id == 1);
        CHECK(response.protocol_type == "consumer");
        CHECK(response.protocol_name == "range");
        CHECK(response.leader == responses[0].member_id); // who came first
        CHECK(response.members.size() == (response.leader == response.member_id ? 3 : 0));
    }
    CHECK(world.state_of("g") == "CompletingRebalance");
}

TEST_CASE("join: protocols must be common to all, the most wanted one is taken") {
    ClassicWorld world;
    const std::vector<std::byte> none;
    const auto join = [&](const std::vector<std::string>& names) {
        JoinText text;
        text.protocols.clear();
        for (const std::string& name : names) {
            text.protocols.emplace_back(name, none);
        }
        return text;
    };
    const auto a = world.join(join({"x", "y"})).second;
    const auto b = world.join(join({"z", "y", "x"})).second;
    const auto c = world.join(join({"y", "x"})).second;
    CHECK(world.call_join(join({"z"})).error_code == 23);
    JoinText other_type = join({"x"});
    other_type.protocol_type = "connect";
    CHECK(world.call_join(other_type).error_code == 23);
    world.wait(20s);
    for (const Token token : {a, b, c}) {
        CHECK(world.joined(token).protocol_name == "y"); // b cannot have z
    }
}

TEST_CASE("join: a full group refuses, its members come back") {
    ClassicWorld world;
    world.host.config_now.group_size_max = 2;
    const auto ids = world.stable({JoinText(), JoinText()});
    CHECK(world.call_join({}).error_code == 81);
    CHECK(world.call_join({.member_id = ids[1]}).error_code == 0);
}

TEST_CASE("sync: followers wait until the leader's assignments are in the log") {
    ClassicWorld world;
    const auto a = world.join();
    const auto b = world.join();
    world.wait(10s);
    CHECK(world.joined(a.second).leader == a.first);
    world.joined(b.second);

    const Token waiting = world.sync(b.first, 1);
    CHECK_FALSE(world.is_answered(waiting));
    CHECK(world.host.log.empty());
    const Token given = world.sync(a.first, 1, {{a.first, "mine"}});
    CHECK(world.host.log.size() == 1);
    CHECK(as_text(world.synced(given).assignment) == "mine");
    CHECK(world.synced(waiting).assignment.empty()); // the leader left it out
    CHECK(world.state_of("g") == "Stable");
    CHECK(as_text(world.synced(world.sync(a.first, 1)).assignment) == "mine"); // asked again
}

TEST_CASE("sync: refused with the reason") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText()});
    CHECK(world.synced(world.sync("stranger", 1)).error_code == kUnknownMember);
    CHECK(world.synced(world.sync(ids[0], 2)).error_code == 22);
    protocol::SyncGroupRequest request;
    request.group_id = "g";
    request.member_id = ids[0];
    request.generation_id = 1;
    using protocol::SyncGroupResponse;
    CHECK(world.call<SyncGroupResponse>(request, 5).error_code == 23); // the names are required
    CHECK(world.call<SyncGroupResponse>(request, 4).error_code == 0);
    request.protocol_type = "consumer";
    request.protocol_name = "roundrobin";
    CHECK(world.call<SyncGroupResponse>(request, 5).error_code == 23);
    request.group_id = "";
    CHECK(world.call<SyncGroupResponse>(request, 5).error_code == 24);
    request.group_id = "other";
    CHECK(world.call<SyncGroupResponse>(request, 5).error_code == kUnknownMember);
}

TEST_CASE("sync: an append that fails is told to all that wait, and a rebalance starts") {
    ClassicWorld world;
    const auto a = world.join();
    const auto b = world.join();
    world.wait(10s);
    world.joined(a.second);
    world.joined(b.second);
    const Token waiting = world.sync(b.first, 1);
    world.host.append_fails = Code::not_leader;
    const Token given = world.sync(a.first, 1, {{a.first, "mine"}});
    CHECK(world.synced(given).error_code == 16);
    CHECK(world.synced(waiting).error_code == 16);
    CHECK(world.state_of("g") == "PreparingRebalance");
}

TEST_CASE("sync: members that do not sync within the rebalance timeout are removed") {
    ClassicWorld world;
    JoinText text;
    text.session_timeout_ms = 100'000;
    const auto a = world.join(text);
    const auto b = world.join(text);
    world.wait(10s);
    world.joined(a.second);
    world.joined(b.second);
    SUBCASE("a follower, the group being stable") {
        world.sync(a.first, 1);
        CHECK(world.state_of("g") == "Stable");
        world.wait(60s);
        CHECK(world.state_of("g") == "PreparingRebalance");
        CHECK(world.beat(b.first, 1) == kUnknownMember);
        CHECK(world.beat(a.first, 1) == kRebalanceInProgress);
    }
    SUBCASE("the leader, the others waiting") {
        const Token waiting = world.sync(b.first, 1);
        world.wait(60s);
        CHECK(world.synced(waiting).error_code == kRebalanceInProgress);
        CHECK(world.beat(a.first, 1) == kUnknownMember);
        CHECK(world.beat(b.first, 1) == kRebalanceInProgress);
    }
}

TEST_CASE("rejoin: only what changes something starts a rebalance") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText(), JoinText()});
    const auto same = world.call_join({.member_id = ids[1]});
    CHECK(same.error_code == 0);
    CHECK(same.generation_id == 1);
    CHECK(same.members.empty());
    CHECK(world.state_of("g") == "Stable");

    SUBCASE("other metadata of a follower") {
        JoinText changed{.member_id = ids[1]};
        changed.protocols = {{"range", subscription({"u"})}};
        CHECK_FALSE(world.is_answered(world.send_join(changed)));
        CHECK(world.beat(ids[0], 1) == kRebalanceInProgress);
    }
    SUBCASE("the leader, even unchanged") {
        CHECK_FALSE(world.is_answered(world.send_join({.member_id = ids[0]})));
        CHECK(world.beat(ids[1], 1) == kRebalanceInProgress);
    }
}

TEST_CASE("rebalance: ends when all have joined, or drops those that have not in time") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText(), JoinText()});
    const Token leader = world.send_join({.member_id = ids[0]});
    SUBCASE("all") {
        const Token follower = world.send_join({.member_id = ids[1]});
        const auto response = world.joined(leader);
        CHECK(response.generation_id == 2);
        CHECK(response.leader == ids[0]);
        CHECK(response.members.size() == 2);
        CHECK(world.joined(follower).generation_id == 2);
    }
    SUBCASE("the follower only beats") {
        for (int i = 0; i < 59; i++) {
            world.wait(1s);
            CHECK(world.beat(ids[1], 1) == kRebalanceInProgress);
        }
        CHECK_FALSE(world.is_answered(leader));
        world.wait(1s);
        CHECK(world.joined(leader).members.size() == 1);
        CHECK(world.beat(ids[1], 1) == kUnknownMember);
    }
    SUBCASE("the follower is silent: its session ends it earlier") {
        world.wait(10s);
        CHECK(world.joined(leader).members.size() == 1);
    }
    SUBCASE("the follower leaves") {
        CHECK(world.leave(ids[1]) == 0);
        CHECK(world.joined(leader).members.size() == 1);
    }
}

TEST_CASE("rebalance: a new leader is chosen when the old one does not come back") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText(), JoinText()});
    JoinText changed{.member_id = ids[1]};
    changed.protocols = {{"range", subscription({"u"})}};
    const Token follower = world.send_join(changed);
    world.wait(10s);
    const auto response = world.joined(follower);
    CHECK(response.leader == ids[1]);
    CHECK(response.generation_id == 2);
}

TEST_CASE("session: a silent member is removed") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText(), JoinText()});
    for (int i = 0; i < 3; i++) {
        world.wait(4s);
        world.beat(ids[0], 1);
    }
    CHECK(world.beat(ids[0], 1) == kRebalanceInProgress);
    CHECK(world.beat(ids[1], 1) == kUnknownMember);
}

TEST_CASE("session: the first join has a fixed time, whatever the session timeout") {
    ClassicWorld world;
    JoinText slow;
    slow.session_timeout_ms = 1'000'000;
    slow.rebalance_timeout_ms = 1'000'000;
    world.stable({slow});
    const auto late = world.join();
    world.wait(299s);
    CHECK_FALSE(world.is_answered(late.second));
    world.wait(1s);
    CHECK(world.joined(late.second).error_code == kUnknownMember);
}

TEST_CASE("heartbeat: refused with the reason") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText{.instance_id = "i"}});
    CHECK(world.beat(ids[0], 1, "i") == 0);
    CHECK(world.beat(ids[0], 2) == 22);
    CHECK(world.beat("stranger", 1) == kUnknownMember);
    CHECK(world.beat("stranger", 1, "i") == 82);
    CHECK(world.beat(ids[0], 1, "j") == kUnknownMember);
}

TEST_CASE("leave: by id, by instance, several at once, each with its own error") {
    ClassicWorld world;
    world.stable({{.instance_id = "i"}, JoinText(), JoinText()});
    const std::string dynamic = world.members(false)[0];
    LeaveGroupRequest request;
    request.group_id = "g";
    request.members = {{"", "i", std::nullopt},
                       {dynamic, std::nullopt, std::nullopt},
                       {"stranger", std::nullopt, std::nullopt},
                       {"", "j", std::nullopt}};
    const auto response = world.call<LeaveGroupResponse>(request, 5);
    REQUIRE(response.members.size() == 4);
    CHECK(response.error_code == 0);
    CHECK(response.members[0].error_code == 0);
    CHECK(response.members[1].error_code == 0);
    CHECK(response.members[2].error_code == kUnknownMember);
    CHECK(response.members[3].error_code == kUnknownMember);
    CHECK(world.state_of("g") == "PreparingRebalance");
    CHECK(world.members(false).size() == 1);
}

TEST_CASE("leave: of the last member empties the group, and the log knows since when") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText()});
    CHECK(world.leave(ids[0]) == 0);
    CHECK(world.state_of("g") == "Empty");
    CHECK(world.host.log.size() == 2);
    world.restart();
    CHECK(world.state_of("g") == "Empty");
    // The next generation follows the last.
    const auto next = world.join();
    world.wait(3s);
    CHECK(world.joined(next.second).generation_id == 3);
}

TEST_CASE("leave: below version 3 the error is the answer's; an unknown group is unknown members") {
    ClassicWorld world;
    LeaveGroupRequest request;
    request.group_id = "g";
    request.member_id = "m";
    CHECK(world.call<LeaveGroupResponse>(request, 2).error_code == kUnknownMember);
    request.member_id = "";
    request.members = {{"m", std::nullopt, std::nullopt}};
    CHECK(world.call<LeaveGroupResponse>(request, 3).members[0].error_code == kUnknownMember);
    request.group_id = "";
    CHECK(world.call<LeaveGroupResponse>(request, 3).error_code == 24);
}

TEST_CASE("leave: an id that was handed out may be given back") {
    ClassicWorld world;
    const std::string id(world.call_join({}).member_id);
    CHECK(world.leave(id) == 0);
    CHECK(world.leave(id) == kUnknownMember);
}

TEST_CASE("static member: comes back under its name without a rebalance, the old id is fenced") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText{.instance_id = "i"}});
    const size_t records = world.host.log.size();
    const auto back = world.call_join({.instance_id = "i"});
    CHECK(back.error_code == 0);
    CHECK(back.generation_id == 1);
    CHECK(back.member_id.starts_with("i-"));
    CHECK(back.member_id != ids[0]);
    CHECK(back.leader == back.member_id); // it leads still,
    CHECK(back.skip_assignment);          // but has nothing to assign
    CHECK(back.members.size() == 1);
    CHECK(world.host.log.size() == records + 1);
    CHECK(world.state_of("g") == "Stable");
    CHECK(world.beat(ids[0], 1, "i") == 82);
    CHECK(as_text(world.synced(world.sync(back.member_id, 1)).assignment) == "for " + ids[0]);
    world.restart();
    CHECK(world.beat(back.member_id, 1, "i") == 0);

    SUBCASE("below version 9 it hears another leader") {
        const auto again = world.call_join({.instance_id = "i"}, 8);
        CHECK(again.leader == back.member_id);
        CHECK(again.leader != again.member_id);
        CHECK(again.members.empty());
    }
}

TEST_CASE("static member: a swap that cannot be written did not happen") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText{.instance_id = "i"}});
    world.host.append_fails = Code::not_enough_replicas;
    CHECK(world.call_join({.instance_id = "i"}).error_code == 15);
    CHECK(world.beat(ids[0], 1, "i") == 0);
}

TEST_CASE("static member: its return in CompletingRebalance forces another one") {
    ClassicWorld world;
    const auto a = world.join({.instance_id = "i"}).second;
    world.wait(3s);
    CHECK(world.joined(a).generation_id == 1);
    CHECK(world.call_join({.instance_id = "i"}).generation_id == 2);
}

TEST_CASE("static member: two of one name, the later one stays") {
    ClassicWorld world;
    const Token first = world.send_join({.instance_id = "i"});
    const Token second = world.send_join({.instance_id = "i"});
    CHECK(world.joined(first).error_code == 82);
    world.wait(3s);
    CHECK(world.joined(second).error_code == 0);
}

TEST_CASE("static member: stays through a rebalance it misses, until its session ends") {
    ClassicWorld world;
    JoinText text{.instance_id = "i"};
    text.session_timeout_ms = 100'000;
    world.stable({text, JoinText()});
    const std::string dynamic = world.members(false)[0];
    const auto newcomer = world.join();
    for (int i = 0; i < 60; i++) {
        world.wait(1s);
        world.beat(dynamic, 1);
    }
    const auto response = world.joined(newcomer.second);
    CHECK(response.members.size() == 2); // the static one and the newcomer
    CHECK(response.leader == newcomer.first);
    CHECK(response.generation_id == 2);
}

TEST_CASE("restart: a stable group goes on, its sessions start anew") {
    ClassicWorld world;
    const auto ids = world.stable({JoinText(), JoinText()});
    world.restart();
    CHECK(world.state_of("g") == "Stable");
    for (const std::string& id : ids) {
        CHECK(world.beat(id, 1) == 0);
        CHECK(as_text(world.synced(world.sync(id, 1)).assignment) == "for " + id);
    }
    CHECK(world.call_join({.member_id = ids[1]}).generation_id == 1);
    world.wait(60s);
    CHECK(world.state_of("g") == "Empty");
    CHECK(world.beat(ids[0], 1) == kUnknownMember);
}
