// A group's member against a coordinator that is scripted step by step: joins, gives back before it
// says so, commits across moves and epochs, is fenced and joins again, and leaves last.
#include "lib/client/consumer.h"
#include "lib/client/group_member.h"
#include "tests/unit/lib/client/fake_broker.h"

using namespace qtool;
using namespace qtool::client;
using protocol::ConsumerGroupHeartbeatRequest;
using protocol::ConsumerGroupHeartbeatResponse;
using protocol::FindCoordinatorRequest;
using protocol::FindCoordinatorResponse;
using protocol::KafkaError;
using protocol::OffsetCommitRequest;
using protocol::OffsetCommitResponse;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;

namespace {

constexpr int32_t kIntervalMs = 3000;

class World {
public:
    World() : consumer(config::ClientConfig{}, 1), broker(consumer.cluster()) {
        broker.partition_count = 3;
        member.emplace(consumer.cluster(), config::ClientConfig{}, GroupOptions{"g", {"t"}}, 2);
        step(0ms);
    }

    void step(Duration passed) {
        now += passed;
        for (int i = 0; i < 6; i++) {
            consumer.step(now, out);
            member->step(consumer.take_other_replies(), now, out);
            broker.apply(out, now);
        }
    }

    /// The oldest request, which is of this kind; nothing: none waits. Views live until the next.
    template <class Request>
    std::optional<Request> asked() {
        if (broker.group_asked.empty()) {
            return std::nullopt;
        }
        const auto& one = broker.group_asked.front();
        REQUIRE(one.asked.header.api_key == Request::kApiKey);
        body_ = one.body;
        auto request = Request::decode(body_, one.asked.header.api_version);
        REQUIRE(request);
        return *request;
    }
    template <class Response>
    void answer(const Response& response) {
        broker.answer_group(response, now, out);
        step(0ms);
    }

    void answer_coordinator() {
        const auto request = asked<FindCoordinatorRequest>();
        REQUIRE(request);
        CHECK(request->coordinator_keys == std::vector<std::string_view>{"g"});
        FindCoordinatorResponse response;
        auto& coordinator = response.coordinators.emplace_back();
        coordinator.key = "g";
        coordinator.node_id = 1;
        answer(response);
    }
    void answer_heartbeat(int32_t epoch, std::optional<std::vector<int32_t>> assigned) {
        ConsumerGroupHeartbeatResponse response;
        response.member_epoch = epoch;
        response.heartbeat_interval_ms = kIntervalMs;
        if (assigned) {
            auto& topics = response.assignment.emplace().topic_partitions;
            topics.emplace_back().topic_id = broker.topic_id();
            topics.back().partitions = *assigned;
        }
        answer(response);
    }
    void refuse_heartbeat(KafkaError error) {
        REQUIRE(asked<ConsumerGroupHeartbeatRequest>());
        ConsumerGroupHeartbeatResponse response;
        response.error_code = static_cast<int16_t>(error);
        answer(response);
    }
    void answer_offsets(const std::vector<int64_t>& offsets, KafkaError error = KafkaError::none) {
        const auto request = asked<OffsetFetchRequest>();
        REQUIRE(request);
        OffsetFetchResponse response;
        auto& group = response.groups.emplace_back();
        group.group_id = "g";
        auto& topic = group.topics.emplace_back();
        topic.name = "t";
        REQUIRE(request->groups[0].topics->at(0).partition_indexes.size() == offsets.size());
        for (size_t i = 0; i < offsets.size(); i++) {
            auto& partition = topic.partitions.emplace_back();
            partition.partition_index = request->groups[0].topics->at(0).partition_indexes[i];
            partition.committed_offset = offsets[i];
            partition.error_code = static_cast<int16_t>(error);
        }
        answer(response);
    }
    /// Checks the request: one partition of "t".
    void answer_commit(int32_t epoch, int32_t partition, int64_t offset, KafkaError error) {
        const auto request = asked<OffsetCommitRequest>();
        REQUIRE(request);
        CHECK(request->generation_id_or_member_epoch == epoch);
        REQUIRE(request->topics.size() == 1);
        REQUIRE(request->topics[0].partitions.size() == 1);
        CHECK(request->topics[0].partitions[0].partition_index == partition);
        CHECK(request->topics[0].partitions[0].committed_offset == offset);
        OffsetCommitResponse response;
        response.topics.emplace_back().name = "t";
        response.topics[0].partitions.push_back({partition, static_cast<int16_t>(error)});
        answer(response);
    }
    /// What a heartbeat says is owned; nothing: unchanged.
    std::optional<std::vector<int32_t>> owned() {
        const auto request = asked<ConsumerGroupHeartbeatRequest>();
        REQUIRE(request);
        if (!request->topic_partitions) {
            return std::nullopt;
        }
        return request->topic_partitions->empty() ? std::vector<int32_t>{}
                                                  : request->topic_partitions->at(0).partitions;
    }
    /// A member of epoch 1 with partitions 0 and 1, known to the coordinator.
    void join() {
        answer_coordinator();
        answer_heartbeat(1, {{0, 1}});
        answer_offsets({-1, 5});
        REQUIRE(member->take_change());
        answer_heartbeat(1, {});
        REQUIRE(broker.group_asked.empty());
    }

    MonoTime now = MonoTime{} + 1000s;
    Consumer consumer;
    FakeBroker broker;
    std::optional<GroupMember> member;
    Outbox out;

private:
    std::vector<std::byte> body_;
};

using Partitions = std::vector<int32_t>;

} // namespace

TEST_CASE("group member: joins under its own id and takes on partitions with their offsets") {
    World world;
    world.answer_coordinator();
    auto beat = world.asked<ConsumerGroupHeartbeatRequest>();
    REQUIRE(beat);
    CHECK(beat->member_epoch == 0);
    CHECK(beat->subscribed_topic_names == std::vector<std::string_view>{"t"});
    CHECK(beat->rebalance_timeout_ms > 0);
    CHECK(world.owned() == Partitions{});
    const std::string id(beat->member_id);
    CHECK(id.size() >= 16);
    world.answer_heartbeat(1, {{0, 1}});

    const auto fetch = world.asked<OffsetFetchRequest>();
    REQUIRE(fetch);
    CHECK(fetch->require_stable);
    CHECK(fetch->groups[0].member_id == id);
    CHECK(fetch->groups[0].member_epoch == 1);
    CHECK_FALSE(world.member->has_change());
    world.answer_offsets({-1, -1}, KafkaError::unstable_offset_commit); // a transaction is open
    CHECK_FALSE(world.member->has_change());
    world.step(1s);
    world.answer_offsets({-1, 5});
    const auto change = world.member->take_change();
    REQUIRE(change);
    CHECK(change->assigned == std::vector<PartitionOffset>{{"t", 0, -1}, {"t", 1, 5}});

    CHECK(world.owned() == Partitions{0, 1}); // at once: it acknowledges
    world.answer_heartbeat(1, {});
    CHECK_FALSE(world.asked<ConsumerGroupHeartbeatRequest>());
    world.step(std::chrono::milliseconds(kIntervalMs + 1));
    beat = world.asked<ConsumerGroupHeartbeatRequest>();
    REQUIRE(beat);
    CHECK(beat->member_id == id);
    CHECK(beat->member_epoch == 1);
    CHECK_FALSE(beat->topic_partitions);
    CHECK_FALSE(beat->subscribed_topic_names);
}

TEST_CASE("group member: what is revoked is given back when the caller says so, not before") {
    World world;
    world.join();
    world.step(4s);
    world.answer_heartbeat(1, {{1, 2}});
    auto change = world.member->take_change();
    REQUIRE(change);
    CHECK(change->revoked == std::vector<TopicPartition>{{"t", 0}});
    CHECK_FALSE(world.member->has_change()); // the new one comes after

    world.step(4s);
    CHECK_FALSE(world.owned()); // kept alive, nothing acknowledged
    world.answer_heartbeat(1, {});
    world.member->commit({{"t", 0, 7}});
    world.step(0ms);
    world.answer_commit(1, 0, 7, KafkaError::none);
    CHECK(world.member->is_committed());
    world.member->give_back();
    world.step(0ms);
    world.answer_offsets({9});
    CHECK(world.owned() == Partitions{1});
    world.answer_heartbeat(2, {{1, 2}});
    CHECK(world.owned() == Partitions{1, 2});
    change = world.member->take_change();
    REQUIRE(change);
    CHECK(change->assigned == std::vector<PartitionOffset>{{"t", 2, 9}});
}

TEST_CASE("group member: fenced, it loses all and joins again") {
    for (const KafkaError error : {KafkaError::fenced_member_epoch, KafkaError::unknown_member_id,
                                   KafkaError::group_id_not_found}) {
        for (const bool by_heartbeat : {false, true}) {
            CAPTURE(std::string(protocol::to_string(error)));
            CAPTURE(by_heartbeat);
            World world;
            world.join();
            world.member->commit({{"t", 0, 3}});
            world.step(0ms);
            if (by_heartbeat) { // which overtakes a commit that is tried again and again
                world.answer_commit(1, 0, 3, KafkaError::coordinator_load_in_progress);
                world.step(4s);
                world.answer_commit(1, 0, 3, KafkaError::coordinator_load_in_progress);
                world.refuse_heartbeat(error);
            } else {
                world.answer_commit(1, 0, 3, error);
            }
            const auto change = world.member->take_change();
            REQUIRE(change);
            CHECK(change->lost);
            CHECK(world.member->is_committed());
            CHECK(world.member->take_commit_result().error().code == Code::cancelled);
            world.member->commit({{"t", 0, 4}}); // the caller has not heard yet
            CHECK(world.member->take_commit_result().error().code == Code::cancelled);

            world.step(1s);
            const auto beat = world.asked<ConsumerGroupHeartbeatRequest>();
            REQUIRE(beat);
            CHECK(beat->member_epoch == 0);
            CHECK(beat->subscribed_topic_names);
            CHECK(world.owned() == Partitions{});
            world.answer_heartbeat(5, {{1}});
            world.answer_offsets({6});
            const auto again = world.member->take_change();
            REQUIRE(again);
            CHECK(again->assigned == std::vector<PartitionOffset>{{"t", 1, 6}});
        }
    }
}

TEST_CASE("group member: a partition the metadata does not have yet waits for it") {
    World world;
    world.answer_coordinator();
    world.broker.partition_count = 4;
    world.answer_heartbeat(1, {{3}});
    world.step(1s);
    world.answer_offsets({2});
    const auto change = world.member->take_change();
    REQUIRE(change);
    CHECK(change->assigned == std::vector<PartitionOffset>{{"t", 3, 2}});
}

TEST_CASE("group member: a commit follows the coordinator and the epoch") {
    World world;
    world.join();
    world.member->commit({{"t", 0, 3}});
    world.step(0ms);
    SUBCASE("the coordinator moved") {
        world.answer_commit(1, 0, 3, KafkaError::not_coordinator);
        world.step(1s);
        world.answer_coordinator();
        world.answer_commit(1, 0, 3, KafkaError::none);
        world.step(3s);
        CHECK(world.owned() == Partitions{0, 1}); // the new one is told everything
    }
    SUBCASE("the answer is lost") {
        world.broker.cut(world.now);
        world.step(2s);
        world.step(2s);
        world.answer_coordinator();
        world.answer_commit(1, 0, 3, KafkaError::none);
        CHECK(world.owned() == Partitions{0, 1});
    }
    SUBCASE("a heartbeat brings a new epoch first") {
        world.answer_commit(1, 0, 3, KafkaError::stale_member_epoch);
        world.answer_heartbeat(2, {});
        world.step(1s);
        world.answer_commit(2, 0, 3, KafkaError::none);
    }
    SUBCASE("a later offset takes the place of one that is tried again") {
        world.answer_commit(1, 0, 3, KafkaError::coordinator_load_in_progress);
        world.member->commit({{"t", 0, 8}});
        world.step(1s);
        world.answer_commit(1, 0, 8, KafkaError::none);
    }
    SUBCASE("a topic that is gone needs no offsets") {
        for (int i = 0; i < 4; i++) {
            world.answer_commit(1, 0, 3, KafkaError::unknown_topic_or_partition);
            world.step(900ms);
        }
    }
    CHECK(world.member->is_committed());
    CHECK(world.member->take_commit_result());
}

TEST_CASE("group member: a refusal that does not pass ends it") {
    const auto failure_of = [](KafkaError error) {
        World world;
        world.answer_coordinator();
        world.refuse_heartbeat(error);
        REQUIRE(world.member->failure());
        CHECK(world.member->has_left());
        world.step(10s);
        CHECK(world.broker.group_asked.empty());
        return world.member->failure()->code;
    };
    CHECK(failure_of(KafkaError::group_id_not_found) == Code::invalid_request);
    CHECK(failure_of(KafkaError::group_authorization_failed) == Code::not_authorized);
    CHECK(failure_of(KafkaError::unsupported_version) == Code::unsupported_version);
}

TEST_CASE("group member: leaves after what is to be committed") {
    World world;
    SUBCASE("nobody has heard of it") {
        world.member->leave();
        world.step(0ms);
        CHECK(world.member->has_left());
        return;
    }
    world.join();
    world.member->commit({{"t", 0, 3}});
    world.member->leave();
    world.step(0ms);
    world.answer_commit(1, 0, 3, KafkaError::none);
    const auto beat = world.asked<ConsumerGroupHeartbeatRequest>();
    REQUIRE(beat);
    CHECK(beat->member_epoch == -1);
    CHECK_FALSE(world.member->has_left());
    world.answer_heartbeat(-1, {});
    CHECK(world.member->has_left());
}
