// Proves the rules of committed offsets (SEMANTICS section 10) on one shard with a log in memory:
// who may commit, what is read back, what transactions hide, what removes offsets and groups.
#include "lib/protocol/msg/offset_delete.h"

#include <doctest/doctest.h>

#include "offset_world.h"

using namespace qtool;
using namespace qtool::test;

TEST_CASE("commit: without a group, and what is read back") {
    OffsetWorld world;
    CHECK(world.fetch().committed_offset == -1);
    CHECK(world.fetch().committed_leader_epoch == -1);
    CHECK(world.fetch().metadata == "");
    CHECK(world.fetch().error_code == 0);
    CHECK(world.commit({}) == 0);
    CHECK(world.state_of("g") == "Empty");
    for (int i = 0; i < 2; i++) {
        const auto fetched = world.fetch();
        CHECK(fetched.committed_offset == 5);
        CHECK(fetched.committed_leader_epoch == 3);
        CHECK(fetched.metadata == "m");
        world.restart();
    }
    CHECK(world.commit({.group_id = ""}) == 0); // the empty id is one, for offsets
    CHECK(world.fetch("").committed_offset == 5);
}

TEST_CASE("commit: who may") {
    OffsetWorld world;
    CHECK(world.commit({.generation = 1, .member_id = "m"}, 9) == 69); // no such group
    CHECK(world.commit({.generation = 1, .member_id = "m"}, 8) == 22);
    const auto ids = world.stable({JoinText{.instance_id = "i"}});
    CHECK(world.commit({}) == kUnknownMember); // members use it
    CHECK(world.commit({.generation = 1, .member_id = "stranger"}) == kUnknownMember);
    CHECK(world.commit({.generation = 2, .member_id = ids[0]}) == 22);
    CHECK(world.commit({.generation = 1, .member_id = "x", .instance_id = "i"}) == 82);
    CHECK(world.commit({.generation = 1, .member_id = ids[0], .instance_id = "i"}) == 0);
    CHECK(world.commit_in_transaction(9, {}) == 0); // a transaction need not say who it is
    CHECK(world.commit_in_transaction(9, {.generation = 2, .member_id = ids[0]}) == 22);

    // CompletingRebalance: a plain commit waits for the assignment, a transaction's does not.
    JoinText changed{.member_id = ids[0], .instance_id = "i"};
    changed.protocols = {{"range", {}}};
    CHECK(world.call_join(changed).generation_id == 2);
    CHECK(world.commit({.generation = 2, .member_id = ids[0]}) == kRebalanceInProgress);
    CHECK(world.commit_in_transaction(9, {.generation = 2, .member_id = ids[0]}) == 0);
}

TEST_CASE("commit: keeps the session alive") {
    OffsetWorld world;
    const auto ids = world.stable({JoinText()});
    for (int i = 0; i < 5; i++) {
        world.wait(9s);
        CHECK(world.commit({.generation = 1, .member_id = ids[0]}) == 0);
    }
}

TEST_CASE("commit: what is wrong with a partition is its own error") {
    OffsetWorld world;
    CHECK(world.commit({.topic = "none"}) == 3);
    CHECK(world.commit({.topic = "none"}, 10) == 100);
    CHECK(world.commit({.partition = 2}) == 3);
    CHECK(world.commit({.partition = -1}) == 3);
    CHECK(world.commit({.metadata = std::string(4097, 'x')}) == 12);
    CHECK(world.commit({.metadata = std::string(4096, 'x')}, 10) == 0);
    std::string accented; // 4096 characters, twice as many bytes
    for (int i = 0; i < 4096; i++) {
        accented += "\xc3\xa9";
    }
    CHECK(world.commit({.metadata = accented}) == 0);
    CHECK(world.commit({.metadata = accented + "x"}) == 12);
    world.host.append_fails = Code::storage_full;
    CHECK(world.commit({}) == 16);
    world.host.append_fails = Code::message_too_large;
    CHECK(world.commit({}) == -1);
}

TEST_CASE("fetch: each shape of the request") {
    OffsetWorld world;
    REQUIRE(world.commit({}) == 0);
    REQUIRE(world.commit({.partition = 1, .offset = 7}) == 0);
    REQUIRE(world.commit({.group_id = "h", .offset = 9}) == 0);
    using protocol::OffsetFetchRequest;
    using protocol::OffsetFetchResponse;
    for (int16_t version = 1; version <= 7; version++) {
        CAPTURE(version);
        OffsetFetchRequest request;
        request.group_id = "g";
        request.topics->push_back({"t", {1, 0}});
        const auto some = world.call<OffsetFetchResponse>(request, version);
        CHECK(some.error_code == 0);
        CHECK(some.topics[0].partitions[0].committed_offset == 7);
        CHECK(some.topics[0].partitions[1].committed_offset == 5);
        if (version >= 2) {
            request.topics.reset();
            const auto all = world.call<OffsetFetchResponse>(request, version);
            CHECK(all.topics[0].partitions.size() == 2);
        }
    }
    const TopicId id = world.host.image_now.topic("t")->id;
    for (int16_t version = 8; version <= 10; version++) {
        CAPTURE(version);
        OffsetFetchRequest request;
        request.groups.resize(3);
        request.groups[0].group_id = "g";
        request.groups[0].topics.reset();
        request.groups[1].group_id = "h";
        request.groups[1].topics->push_back({"t", id, {0}});
        request.groups[2].group_id = "none";
        request.groups[2].topics.reset();
        const auto response = world.call<OffsetFetchResponse>(request, version);
        REQUIRE(response.groups.size() == 3);
        REQUIRE(response.groups[0].topics.size() == 1);
        CHECK(response.groups[0].topics[0].partitions.size() == 2);
        CHECK(response.groups[0].topics[0].topic_id == (version < 10 ? TopicId() : id));
        CHECK(response.groups[1].topics[0].partitions[0].committed_offset == 9);
        CHECK(response.groups[2].error_code == 0);
        CHECK(response.groups[2].topics.empty());
    }
    OffsetFetchRequest unknown;
    unknown.groups.emplace_back().group_id = "g";
    unknown.groups.back().topics->push_back({"", make_uuid(8, 8), {0}});
    const auto response = world.call<OffsetFetchResponse>(unknown, 10);
    CHECK(response.groups[0].topics[0].partitions[0].error_code == 100);
}

TEST_CASE("transaction: offsets count from the commit marker on") {
    OffsetWorld world;
    REQUIRE(world.commit({.offset = 1}) == 0);
    REQUIRE(world.commit_in_transaction(9, {.offset = 2}) == 0);
    CHECK(world.fetch().committed_offset == 1);
    CHECK(world.fetch("g", true).error_code == 88);
    CHECK(world.fetch("g", true).committed_offset == -1);
    SUBCASE("commit") {
        world.end_transaction(9, true);
        CHECK(world.fetch("g", true).committed_offset == 2);
    }
    SUBCASE("abort") {
        world.end_transaction(9, false);
        CHECK(world.fetch("g", true).committed_offset == 1);
    }
    SUBCASE("a later plain commit wins") {
        REQUIRE(world.commit({.offset = 3}) == 0);
        world.end_transaction(9, true);
        CHECK(world.fetch("g", true).committed_offset == 3);
    }
    SUBCASE("another producer's marker ends nothing") {
        world.end_transaction(8, true);
        CHECK(world.fetch("g", true).error_code == 88);
    }
    SUBCASE("the group is deleted meanwhile") {
        CHECK(world.delete_group("g") == 0);
        world.end_transaction(9, true);
        CHECK(world.fetch("g", true).committed_offset == -1);
        CHECK(world.shard->state().offsets.size() == 0);
    }
    const auto before = world.fetch("g", true);
    const int64_t offset = before.committed_offset;
    const int16_t error = before.error_code;
    world.restart();
    CHECK(world.fetch("g", true).committed_offset == offset);
    CHECK(world.fetch("g", true).error_code == error);
}

TEST_CASE("transaction: refused without a producer id") {
    OffsetWorld world;
    CHECK(world.commit_in_transaction(-1, {}) == 49);
    CHECK(world.host.log.empty());
}

TEST_CASE("expiry: of a group of offsets alone counts from each commit") {
    OffsetWorld world;
    world.host.config_now.offsets_retention_minutes = 60;
    REQUIRE(world.commit({}) == 0);
    world.wait(30min);
    REQUIRE(world.commit({.partition = 1}) == 0);
    world.wait(40min);
    CHECK(world.fetch().committed_offset == -1);
    CHECK(world.shard->state().offsets.size() == 1);
    CHECK(world.state_of("g") == "Empty");
    world.wait(30min);
    CHECK(world.state_of("g") == "none"); // and the group goes with the last
    world.restart();
    CHECK(world.state_of("g") == "none");
    CHECK(world.shard->state().offsets.size() == 0);
}

TEST_CASE("expiry: a retention of its own is kept, in the log too") {
    OffsetWorld world;
    REQUIRE(world.commit({.retention_ms = 1000}, 4) == 0);
    world.restart();
    CHECK(world.fetch().committed_offset == 5);
    world.wait(10min);
    CHECK(world.fetch().committed_offset == -1);
}

TEST_CASE("expiry: of a group with members, from when it became empty") {
    OffsetWorld world;
    world.host.config_now.offsets_retention_minutes = 60;
    JoinText text;
    text.session_timeout_ms = 1'800'000;
    const auto ids = world.stable({text});
    REQUIRE(world.commit({.generation = 1, .member_id = ids[0]}) == 0);
    for (int i = 0; i < 8; i++) {
        world.wait(20min);
        REQUIRE(world.beat(ids[0], 1) == 0);
    }
    CHECK(world.fetch().committed_offset == 5); // the topic is subscribed
    world.leave(ids[0]);
    world.wait(50min);
    CHECK(world.fetch().committed_offset == 5);
    world.wait(20min);
    CHECK(world.state_of("g") == "none");
}

TEST_CASE("expiry: a stable consumer group keeps only what it subscribed to") {
    OffsetWorld world;
    world.add_topic("u", 1);
    world.host.config_now.offsets_retention_minutes = 1;
    JoinText text;
    text.session_timeout_ms = 1'800'000;
    const auto ids = world.stable({text});
    REQUIRE(world.commit({.generation = 1, .member_id = ids[0]}) == 0);
    REQUIRE(world.commit({.generation = 1, .member_id = ids[0], .topic = "u"}) == 0);
    world.wait(11min);
    CHECK(world.shard->state().offsets.size() == 1);
    CHECK(world.fetch().committed_offset == 5);
}

TEST_CASE("expiry: pending offsets stay") {
    OffsetWorld world;
    world.host.config_now.offsets_retention_minutes = 1;
    REQUIRE(world.commit({}) == 0);
    REQUIRE(world.commit_in_transaction(9, {.offset = 6}) == 0);
    world.wait(30min);
    CHECK(world.fetch().committed_offset == 5);
    world.end_transaction(9, true);
    CHECK(world.fetch().committed_offset == 6);
}

TEST_CASE("topics: offsets of a deleted one go, also when the broker was down meanwhile") {
    OffsetWorld world;
    REQUIRE(world.commit({}) == 0);
    REQUIRE(world.commit_in_transaction(9, {.partition = 1}) == 0);
    SUBCASE("seen") {
        world.delete_topic("t");
    }
    SUBCASE("not seen") {
        world.host.image_now.topics_by_name.clear();
        world.restart();
    }
    CHECK(world.shard->state().offsets.size() == 0);
    world.add_topic("t", 2, 2);
    CHECK(world.fetch().committed_offset == -1);
}

TEST_CASE("topics: one made again under the same name starts without offsets") {
    OffsetWorld world;
    REQUIRE(world.commit({}) == 0);
    world.host.image_now.topics_by_name.clear();
    world.host.image_now.topics_by_id.clear();
    world.add_topic("t", 2, 2);
    CHECK(world.fetch().committed_offset == -1);
    world.restart();
    CHECK(world.shard->state().offsets.size() == 0);
}

TEST_CASE("offset delete: not while a member reads the topic") {
    OffsetWorld world;
    world.add_topic("u", 1);
    protocol::OffsetDeleteRequest request;
    request.group_id = "g";
    request.topics = {{"t", {{0}, {1}}}, {"u", {{0}}}, {"none", {{0}}}};
    using protocol::OffsetDeleteResponse;
    CHECK(world.call<OffsetDeleteResponse>(request, 0).error_code == 69);
    const auto ids = world.stable({JoinText()});
    REQUIRE(world.commit({.generation = 1, .member_id = ids[0]}) == 0);
    REQUIRE(world.commit({.generation = 1, .member_id = ids[0], .topic = "u"}) == 0);
    const auto response = world.call<OffsetDeleteResponse>(request, 0);
    CHECK(response.error_code == 0);
    CHECK(response.topics[0].partitions[0].error_code == 86);
    CHECK(response.topics[1].partitions[0].error_code == 0);
    CHECK(response.topics[2].partitions[0].error_code == 3);
    CHECK(world.shard->state().offsets.size() == 1);
    world.leave(ids[0]);
    const auto empty = world.call<OffsetDeleteResponse>(request, 0);
    CHECK(empty.topics[0].partitions[0].error_code == 0);
    CHECK(world.shard->state().offsets.size() == 0);
}

TEST_CASE("offset delete: members of other than consumer groups are not understood") {
    OffsetWorld world;
    JoinText text;
    text.protocol_type = "connect";
    world.join(text);
    protocol::OffsetDeleteRequest request;
    request.group_id = "g";
    CHECK(world.call<protocol::OffsetDeleteResponse>(request, 0).error_code == 68);
}
