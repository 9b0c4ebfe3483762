// Proves what the handlers of group APIs add to the coordinators' answers: which shard is asked,
// how requests with several groups are split and joined, and what a client hears when a shard does
// not answer. The shards are played by the test.
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/consumer_group_describe.h"
#include "lib/protocol/msg/consumer_group_heartbeat.h"
#include "lib/protocol/msg/delete_groups.h"
#include "lib/protocol/msg/describe_groups.h"
#include "lib/protocol/msg/heartbeat.h"
#include "lib/protocol/msg/join_group.h"
#include "lib/protocol/msg/leave_group.h"
#include "lib/protocol/msg/list_groups.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/txn_offset_commit.h"
#include "server/coordinator/machine.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;

namespace {

constexpr int32_t kShards = 3;

class GroupsFixture : public KafkaFixture {
public:
    GroupsFixture() {
        auto image = make_image();
        add_topic(*image, make_topic("__consumer_offsets", 3, kShards));
        add_topic(*image, make_topic("__transaction_state", 4, 2));
        services.image_ = image;
    }
    /// The oldest request to a shard, as it travels.
    [[nodiscard]] const replica::CoordinatorOp& op() const {
        REQUIRE_FALSE(services.submitted.empty());
        return std::get<replica::CoordinatorOp>(services.submitted.front().op);
    }
    [[nodiscard]] int32_t shard() const {
        REQUIRE_FALSE(services.submitted.empty());
        return services.submitted.front().key.index.value();
    }
    template <class Request>
    Request asked() const {
        auto request = Request::decode(op().body, op().api_version);
        REQUIRE(request.has_value());
        return std::move(*request);
    }
    template <class Response>
    void reply(const Response& response) {
        ByteWriter writer;
        response.encode(writer, op().api_version);
        services.answer_partition(
            replica::PartitionResult(replica::CoordinatorResult{writer.take()}));
    }
    void fail(Code code) { services.answer_partition(Error(code)); }
};

int32_t shard_of(std::string_view group) {
    return coordinator::shard_of(group, kShards).value();
}

} // namespace

TEST_CASE("groups: a request goes to its group's shard as it came, and so does the answer") {
    GroupsFixture fixture;
    for (const std::string group : {"a", "b", "c", "some group"}) {
        protocol::JoinGroupRequest request;
        request.group_id = group;
        request.protocol_type = "consumer";
        fixture.send(request, 9);
        CHECK(fixture.shard() == shard_of(group));
        CHECK(fixture.op().api_key == 11);
        CHECK(fixture.op().client_id == "test");
        CHECK(fixture.op().client_host.starts_with("/"));
        CHECK(fixture.asked<protocol::JoinGroupRequest>().group_id == group);
        protocol::JoinGroupResponse response;
        response.generation_id = 4;
        response.member_id = "m";
        fixture.reply(response);
        const auto received = fixture.receive<protocol::JoinGroupResponse>(9);
        CHECK(received.generation_id == 4);
        CHECK(received.member_id == "m");
    }
}

TEST_CASE("groups: a coordinator that does not answer becomes an error clients know") {
    struct Case {
        Code code;
        int16_t join;
        int16_t heartbeat;
    };
    for (const Case& c :
         {Case{Code::coordinator_loading, 14, 0}, Case{Code::not_coordinator, 16, 16},
          Case{Code::not_leader, 16, 16}, Case{Code::timed_out, 15, 15}}) {
        CAPTURE(to_string(c.code));
        GroupsFixture fixture;
        protocol::JoinGroupRequest join;
        join.group_id = "g";
        protocol::HeartbeatRequest heartbeat;
        heartbeat.group_id = "g";
        fixture.send(join, 9);
        fixture.fail(c.code);
        CHECK(fixture.receive<protocol::JoinGroupResponse>(9).error_code == c.join);
        fixture.send(heartbeat, 4);
        fixture.fail(c.code);
        CHECK(fixture.receive<protocol::HeartbeatResponse>(4).error_code == c.heartbeat);
    }
}

TEST_CASE("groups: without the internal topic there is no coordinator, and there are no groups") {
    GroupsFixture fixture;
    auto image = make_image();
    image->topics_by_name.erase("__consumer_offsets");
    fixture.services.image_ = image;
    protocol::LeaveGroupRequest leave;
    leave.group_id = "g";
    CHECK(fixture.call<protocol::LeaveGroupResponse>(leave, 5).error_code == 15);
    const auto list = fixture.call<protocol::ListGroupsResponse>(protocol::ListGroupsRequest(), 5);
    CHECK(list.error_code == 0);
    CHECK(list.groups.empty());
    protocol::DescribeGroupsRequest describe;
    describe.groups = {"g"};
    CHECK(fixture.call<protocol::DescribeGroupsResponse>(describe, 6).groups[0].error_code == 15);
}

TEST_CASE("groups: several groups are split by shard and joined in the order asked") {
    GroupsFixture fixture;
    const std::vector<std::string_view> groups = {"a", "b", "c", "d", "a2", "b2"};
    protocol::DeleteGroupsRequest request;
    request.groups_names = groups;
    fixture.send(request, 2);
    std::vector<std::string> failed;
    std::vector<std::string> seen;
    while (!fixture.services.submitted.empty()) {
        const auto part = fixture.asked<protocol::DeleteGroupsRequest>();
        protocol::DeleteGroupsResponse response;
        for (const std::string_view group : part.groups_names) {
            CHECK(shard_of(group) == fixture.shard());
            seen.emplace_back(group);
            response.results.push_back({group, 69});
        }
        if (failed.empty()) { // the first shard is away
            failed.assign(part.groups_names.begin(), part.groups_names.end());
            fixture.fail(Code::not_coordinator);
        } else {
            fixture.reply(response);
        }
    }
    CHECK(seen.size() == groups.size());
    const auto response = fixture.receive<protocol::DeleteGroupsResponse>(2);
    REQUIRE(response.results.size() == groups.size());
    for (size_t i = 0; i < groups.size(); i++) {
        CAPTURE(groups[i]);
        CHECK(response.results[i].group_id == groups[i]);
        const bool is_failed = std::find(failed.begin(), failed.end(), groups[i]) != failed.end();
        CHECK(response.results[i].error_code == (is_failed ? 16 : 69));
    }
}

TEST_CASE("groups: a consumer group's heartbeat goes to its shard, and so does the answer") {
    GroupsFixture fixture;
    for (const std::string group : {"a", "b", "c", "some group"}) {
        for (const int16_t version : {int16_t{0}, int16_t{1}}) {
            CAPTURE(group);
            CAPTURE(version);
            protocol::ConsumerGroupHeartbeatRequest request;
            request.group_id = group;
            request.member_id = "m";
            request.member_epoch = 4;
            request.rebalance_timeout_ms = 300'000;
            request.subscribed_topic_names = std::vector<std::string_view>{"events", "orders"};
            fixture.send(request, version);
            CHECK(fixture.shard() == shard_of(group));
            CHECK(fixture.op().api_key == 68);
            CHECK(fixture.op().api_version == version);
            CHECK(fixture.op().client_id == "test");
            CHECK(fixture.op().client_host.starts_with("/"));
            CHECK(fixture.asked<protocol::ConsumerGroupHeartbeatRequest>() == request);
            protocol::ConsumerGroupHeartbeatResponse response;
            response.member_id = "m";
            response.member_epoch = 5;
            response.heartbeat_interval_ms = 5000;
            response.assignment.emplace().topic_partitions.push_back({make_uuid(1, 2), {0, 2}});
            fixture.reply(response);
            CHECK(fixture.receive<protocol::ConsumerGroupHeartbeatResponse>(version) == response);
        }
    }
}

TEST_CASE("groups: a consumer group's member hears when its coordinator does not answer") {
    struct Case {
        Code code;
        int16_t error;
    };
    for (const Case& c : {Case{Code::coordinator_loading, 14}, Case{Code::not_coordinator, 16},
                          Case{Code::not_leader, 16}, Case{Code::storage_offline, 16},
                          Case{Code::timed_out, 15}, Case{Code::coordinator_not_available, 15}}) {
        CAPTURE(to_string(c.code));
        GroupsFixture fixture;
        protocol::ConsumerGroupHeartbeatRequest heartbeat;
        heartbeat.group_id = "g";
        heartbeat.member_id = "m";
        fixture.send(heartbeat, 1);
        fixture.fail(c.code);
        const auto beaten = fixture.receive<protocol::ConsumerGroupHeartbeatResponse>(1);
        CHECK(beaten.error_code == c.error);
        CHECK_FALSE(beaten.assignment);

        protocol::ConsumerGroupDescribeRequest describe;
        describe.group_ids = {"g"};
        fixture.send(describe, 1);
        fixture.fail(c.code);
        const auto described = fixture.receive<protocol::ConsumerGroupDescribeResponse>(1);
        REQUIRE(described.groups.size() == 1);
        CHECK(described.groups[0].group_id == "g");
        CHECK(described.groups[0].error_code == c.error);
        CHECK(described.groups[0].members.empty());
    }
}

TEST_CASE("groups: without the internal topic no consumer group is coordinated") {
    GroupsFixture fixture;
    auto image = make_image();
    image->topics_by_name.erase("__consumer_offsets");
    fixture.services.image_ = image;
    protocol::ConsumerGroupHeartbeatRequest heartbeat;
    heartbeat.group_id = "g";
    CHECK(fixture.call<protocol::ConsumerGroupHeartbeatResponse>(heartbeat, 1).error_code == 15);
    protocol::ConsumerGroupDescribeRequest describe;
    describe.group_ids = {"g", "h"};
    const auto described = fixture.call<protocol::ConsumerGroupDescribeResponse>(describe, 0);
    REQUIRE(described.groups.size() == 2);
    CHECK(described.groups[1].group_id == "h");
    CHECK(described.groups[1].error_code == 15);
}

TEST_CASE("groups: several consumer groups are described by their shards, in the order asked") {
    for (const int16_t version : {int16_t{0}, int16_t{1}}) {
        CAPTURE(version);
        GroupsFixture fixture;
        const std::vector<std::string_view> groups = {"a", "b", "c", "a", "a2", "b2"};
        protocol::ConsumerGroupDescribeRequest request;
        request.group_ids = groups;
        request.include_authorized_operations = true;
        fixture.send(request, version);
        size_t asked_count = 0;
        while (!fixture.services.submitted.empty()) {
            const auto part = fixture.asked<protocol::ConsumerGroupDescribeRequest>();
            CHECK(part.include_authorized_operations);
            protocol::ConsumerGroupDescribeResponse response;
            for (const std::string_view group : part.group_ids) {
                CHECK(shard_of(group) == fixture.shard());
                asked_count++;
                auto& out = response.groups.emplace_back();
                out.group_id = group;
                if (group == "b") {
                    out.error_code = 69;
                    out.error_message = "no such group";
                    continue;
                }
                out.group_state = "Stable";
                out.group_epoch = static_cast<int32_t>(group.size());
                auto& member = out.members.emplace_back();
                member.member_id = group;
                member.assignment.topic_partitions.push_back({make_uuid(1, 2), "events", {0}});
            }
            fixture.reply(response);
        }
        CHECK(asked_count == groups.size());
        const auto response = fixture.receive<protocol::ConsumerGroupDescribeResponse>(version);
        REQUIRE(response.groups.size() == groups.size());
        for (size_t i = 0; i < groups.size(); i++) {
            CAPTURE(groups[i]);
            const auto& group = response.groups[i];
            CHECK(group.group_id == groups[i]);
            CHECK(group.error_code == (groups[i] == "b" ? 69 : 0));
            if (groups[i] == "b") {
                CHECK(group.error_message == "no such group");
                continue;
            }
            CHECK(group.group_epoch == static_cast<int32_t>(groups[i].size()));
            REQUIRE(group.members.size() == 1);
            CHECK(group.members[0].member_id == groups[i]);
            CHECK(group.members[0].assignment.topic_partitions[0].topic_name == "events");
        }
    }
}

TEST_CASE("groups: offsets of several groups; below version 8 of one") {
    GroupsFixture fixture;
    protocol::OffsetFetchRequest request;
    request.require_stable = true;
    for (const char* group : {"a", "b"}) {
        auto& asked = request.groups.emplace_back();
        asked.group_id = group;
        asked.topics.reset();
    }
    fixture.send(request, 9);
    while (!fixture.services.submitted.empty()) {
        const auto part = fixture.asked<protocol::OffsetFetchRequest>();
        CHECK(part.require_stable);
        protocol::OffsetFetchResponse response;
        for (const auto& group : part.groups) {
            auto& out = response.groups.emplace_back();
            out.group_id = group.group_id;
            out.topics.emplace_back().name = group.group_id;
        }
        fixture.reply(response);
    }
    const auto response = fixture.receive<protocol::OffsetFetchResponse>(9);
    REQUIRE(response.groups.size() == 2);
    CHECK(response.groups[0].topics[0].name == "a");
    CHECK(response.groups[1].topics[0].name == "b");

    protocol::OffsetFetchRequest old;
    old.group_id = "a";
    old.topics->push_back({"t", {0, 1}});
    for (const int16_t version : {int16_t{1}, int16_t{2}, int16_t{7}}) {
        CAPTURE(version);
        fixture.send(old, version);
        fixture.fail(Code::coordinator_loading);
        const auto refused = fixture.receive<protocol::OffsetFetchResponse>(version);
        CHECK(refused.error_code == (version == 1 ? 0 : 14));
        CHECK(refused.topics[0].partitions[1].error_code == 14);
        CHECK(refused.topics[0].partitions[1].committed_offset == -1);
    }
}

TEST_CASE("groups: the list is that of all shards; one that loads makes it incomplete") {
    GroupsFixture fixture;
    for (const bool is_loading : {false, true}) {
        CAPTURE(is_loading);
        protocol::ListGroupsRequest request;
        request.states_filter = {"Stable"};
        fixture.send(request, 5);
        CHECK(fixture.services.submitted.size() == kShards);
        for (int32_t i = 0; i < kShards; i++) {
            CHECK(fixture.asked<protocol::ListGroupsRequest>().states_filter[0] == "Stable");
            if (is_loading && i == 1) {
                fixture.fail(Code::coordinator_loading);
                continue;
            }
            protocol::ListGroupsResponse response;
            const std::string name = "group" + std::to_string(i);
            response.groups.emplace_back().group_id = name;
            fixture.reply(response);
        }
        const auto response = fixture.receive<protocol::ListGroupsResponse>(5);
        CHECK(response.error_code == (is_loading ? 14 : 0));
        CHECK(response.groups.size() == (is_loading ? 2 : 3));
    }
}

TEST_CASE("groups: an error of a commit stands on each partition") {
    GroupsFixture fixture;
    protocol::OffsetCommitRequest request;
    request.group_id = "g";
    const TopicId id = make_uuid(1, 2);
    request.topics.resize(2);
    request.topics[0].topic_id = id;
    request.topics[0].partitions.resize(2);
    request.topics[1].partitions.resize(1);
    fixture.send(request, 10);
    fixture.fail(Code::not_leader);
    const auto response = fixture.receive<protocol::OffsetCommitResponse>(10);
    REQUIRE(response.topics.size() == 2);
    CHECK(response.topics[0].topic_id == id);
    REQUIRE(response.topics[0].partitions.size() == 2);
    CHECK(response.topics[0].partitions[1].error_code == 16);
    CHECK(response.topics[1].partitions[0].error_code == 16);
}

TEST_CASE("groups: offsets of a transaction are written once its coordinator agreed") {
    struct Case {
        int16_t version;
        int16_t verified; // what the transaction's coordinator says
        int16_t error;    // what the client hears; 0: the group's coordinator was asked
    };
    for (const Case& c : {Case{3, 0, 0}, Case{5, 0, 0}, Case{3, 120, 48}, Case{4, 120, 120},
                          Case{4, 90, 47}, Case{5, 51, 14}, Case{5, 16, 14}, Case{4, 49, 49}}) {
        CAPTURE(c.version);
        CAPTURE(c.verified);
        GroupsFixture fixture;
        protocol::TxnOffsetCommitRequest request;
        request.transactional_id = "x";
        request.group_id = "g";
        request.producer_id = 7;
        request.producer_epoch = 2;
        request.topics.emplace_back().name = "t";
        request.topics[0].partitions.resize(1);
        fixture.send(request, c.version);

        const auto add = fixture.asked<protocol::AddPartitionsToTxnRequest>();
        REQUIRE(add.transactions.size() == 1);
        CHECK(add.transactions[0].transactional_id == "x");
        CHECK(add.transactions[0].producer_id == 7);
        CHECK(add.transactions[0].producer_epoch == 2);
        CHECK(add.transactions[0].verify_only == (c.version < 5));
        REQUIRE(add.transactions[0].topics.size() == 1);
        CHECK(add.transactions[0].topics[0].name == "__consumer_offsets");
        CHECK(add.transactions[0].topics[0].partitions == std::vector<int32_t>{shard_of("g")});
        protocol::AddPartitionsToTxnResponse agreed;
        agreed.results_by_transaction.push_back(
            {"x", {{"__consumer_offsets", {{shard_of("g"), c.verified}}}}});
        fixture.reply(agreed);

        if (c.error == 0) {
            CHECK(fixture.shard() == shard_of("g"));
            CHECK(fixture.asked<protocol::TxnOffsetCommitRequest>().producer_id == 7);
            protocol::TxnOffsetCommitResponse response;
            response.topics.push_back({"t", {{0, 12}}});
            fixture.reply(response);
        }
        CHECK(fixture.services.submitted.empty());
        const auto response = fixture.receive<protocol::TxnOffsetCommitResponse>(c.version);
        CHECK(response.topics[0].partitions[0].error_code == (c.error == 0 ? 12 : c.error));
    }
}
