// What tests of consumer groups say often: a member of the consumer protocol that keeps what the
// broker told it and sends heartbeats as a client does.
#pragma once

#include "lib/protocol/msg/consumer_group_describe.h"
#include "lib/protocol/msg/consumer_group_heartbeat.h"
#include "server/group/consumer_group.h"

#include "classic_world.h"

namespace qtool::test {

inline constexpr int16_t kConsumerBeat = 1;

/// The client's side of a member.
struct Consumer {
    std::string id;
    std::vector<std::string> topics = {"t"};
    std::string regex = {};
    std::optional<std::string> instance_id = {};
    std::optional<std::string> assignor = {};
    int32_t epoch = 0;
    group::Assignment owned = {};    // what it works on
    group::Assignment assigned = {}; // what it was told last
    bool has_reported = true;        // the broker knows `owned`
    bool has_lost_answer = false;    // it says everything again, as clients do after a timeout
};

class ConsumerWorld : public ClassicWorld {
public:
    protocol::ConsumerGroupHeartbeatResponse
    send_beat(const protocol::ConsumerGroupHeartbeatRequest& request,
              int16_t version = kConsumerBeat) {
        return call<protocol::ConsumerGroupHeartbeatResponse>(request, version);
    }

    /// A heartbeat with everything in it that the protocol asks for: all at a join, what the member
    /// owns when that is news.
    protocol::ConsumerGroupHeartbeatResponse beat(Consumer& member) {
        protocol::ConsumerGroupHeartbeatRequest request;
        request.group_id = "g";
        request.member_id = member.id;
        request.member_epoch = member.epoch;
        if (member.instance_id) {
            request.instance_id = *member.instance_id;
        }
        if (member.assignor) {
            request.server_assignor = *member.assignor;
        }
        if (member.epoch == 0) {
            member.owned.clear();
        }
        const bool is_full = member.epoch == 0 || member.has_lost_answer;
        if (is_full) {
            request.rebalance_timeout_ms = 30'000;
            request.subscribed_topic_names.emplace(member.topics.begin(), member.topics.end());
            if (!member.regex.empty()) {
                request.subscribed_topic_regex = member.regex;
            }
        }
        if (is_full || !member.has_reported) {
            auto& owned = request.topic_partitions.emplace();
            for (const auto& [topic, partitions] : member.owned) {
                owned.push_back({topic, partitions});
            }
        }
        const auto response = send_beat(request);
        if (response.error_code == 0) {
            member.has_reported = true;
            member.has_lost_answer = false;
            learn(member, response);
        }
        return response;
    }
    static void learn(Consumer& member, const protocol::ConsumerGroupHeartbeatResponse& response) {
        member.epoch = response.member_epoch;
        if (response.assignment) {
            member.assigned.clear();
            for (const auto& topic : response.assignment->topic_partitions) {
                member.assigned[topic.topic_id] = topic.partitions;
            }
        }
    }
    /// The client gives up what it was not told to have, and takes up the rest.
    static void apply(Consumer& member) {
        if (member.owned != member.assigned) {
            member.owned = member.assigned;
            member.has_reported = false;
        }
    }
    /// Heartbeats of all, and what follows from them, until nothing changes.
    void settle(const std::vector<Consumer*>& members) {
        for (int round = 0; round < 20; round++) {
            wait(1100ms); // beyond the assignment interval
            bool has_changed = false;
            for (Consumer* member : members) {
                const group::Assignment before = member->assigned;
                const int32_t epoch = member->epoch;
                if (beat(*member).error_code != 0) { // fenced while it dawdled: it begins anew
                    member->epoch = 0;
                    member->owned.clear();
                    REQUIRE(beat(*member).error_code == 0);
                }
                apply(*member);
                has_changed = has_changed || before != member->assigned || epoch != member->epoch ||
                              !member->has_reported;
            }
            if (!has_changed && state_of("g") == "Stable") {
                return;
            }
        }
        for (const auto& [id, member] : consumer_group().members()) {
            MESSAGE(id << " epoch " << member.progress.epoch << " state "
                       << static_cast<int>(member.progress.state) << " has "
                       << group::partition_count(group::plain(member.progress.assigned)) << " of "
                       << group::partition_count(consumer_group().target(id)));
        }
        FAIL("the group does not settle: " << state_of("g") << ", epoch "
                                           << consumer_group().epoch() << ", target "
                                           << consumer_group().target_epoch());
    }
    int16_t leave_consumer(Consumer& member, int32_t epoch = -1) {
        protocol::ConsumerGroupHeartbeatRequest request;
        request.group_id = "g";
        request.member_id = member.id;
        request.member_epoch = epoch;
        if (member.instance_id) {
            request.instance_id = *member.instance_id;
        }
        return send_beat(request).error_code;
    }
    [[nodiscard]] const group::ConsumerGroup& consumer_group() const {
        const auto* found = dynamic_cast<const group::ConsumerGroup*>(find("g"));
        REQUIRE(found != nullptr);
        return *found;
    }
    void topics_changed(const TopicId& created) {
        metadata::Delta delta;
        delta.topics_created.push_back(created);
        shard->on_image(delta, host);
    }
};

} // namespace qtool::test
