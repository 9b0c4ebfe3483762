#include "tests/sim/classic_member.h"

#include "lib/base/assert.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/consumer_protocol_assignment.h"
#include "lib/protocol/msg/consumer_protocol_subscription.h"
#include "lib/protocol/msg/heartbeat.h"
#include "lib/protocol/msg/join_group.h"
#include "lib/protocol/msg/leave_group.h"
#include "lib/protocol/msg/sync_group.h"

#include <algorithm>
#include <set>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr std::string_view kType = "consumer";
constexpr std::string_view kProtocol = "sim";

int32_t to_ms(Duration duration) {
    return static_cast<int32_t>(duration / 1ms);
}

template <class Data>
std::vector<std::byte> encode_protocol(const Data& data) {
    constexpr int16_t kVersion = 0;
    ByteWriter out(64);
    out.be<int16_t>(kVersion);
    data.encode(out, kVersion);
    const ByteView bytes = out.view();
    return {bytes.begin(), bytes.end()};
}

} // namespace

void ClassicMember::forget() {
    identity() = {};
}

void ClassicMember::ask_join() {
    protocol::ConsumerProtocolSubscription subscription;
    std::set<std::string> topics;
    for (const PartitionPlace& place : setup().partitions) {
        topics.insert(place.topic);
    }
    subscription.topics.assign(topics.begin(), topics.end());
    const std::vector<std::byte> metadata = encode_protocol(subscription);

    protocol::JoinGroupRequest request;
    request.group_id = log().name();
    request.session_timeout_ms = to_ms(setup().session_timeout);
    request.rebalance_timeout_ms = to_ms(setup().rebalance_timeout);
    request.member_id = identity().member_id;
    const bool is_static = !setup().instance_id.empty();
    if (is_static) {
        request.group_instance_id = setup().instance_id;
    }
    request.protocol_type = kType;
    auto& offered = request.protocols.emplace_back();
    offered.name = kProtocol;
    offered.metadata = metadata;
    const auto version = static_cast<int16_t>(world().random().between(is_static ? 5 : 2, 9));
    stream().ask(request, version, [this, version, known = log().generation()](ByteView body) {
        on_joined(body, version, known);
    });
}

bool ClassicMember::goes_on(const char* api, int16_t error_code) {
    switch (judge(api, error_code)) {
    case Verdict::fine:
        return true;
    case Verdict::rejoin:
        forget();
        [[fallthrough]];
    case Verdict::retry:
        next_later(world().between(5ms, 100ms));
        return false;
    case Verdict::unexpected:
        return false;
    }
    QT_UNREACHABLE();
}

void ClassicMember::on_joined(ByteView body, int16_t version, int32_t known_generation) {
    const auto answer = protocol::JoinGroupResponse::decode(body, version);
    if (!answer) {
        world().violate("JoinGroup: an answer that cannot be read");
        return;
    }
    if (answer->error_code == static_cast<int16_t>(KafkaError::member_id_required)) {
        identity().member_id = answer->member_id;
        next();
        return;
    }
    if (!goes_on("JoinGroup", answer->error_code)) {
        return;
    }
    log().on_joined(known_generation, answer->generation_id);
    identity() = {std::string(answer->member_id), answer->generation_id};
    std::vector<std::string> members;
    if (answer->leader == answer->member_id && !answer->skip_assignment) {
        for (const auto& member : answer->members) {
            members.emplace_back(member.member_id);
        }
    }
    ask_sync(members);
}

// `members`: of whom this one is the leader; else none.
void ClassicMember::ask_sync(const std::vector<std::string>& members) {
    std::map<std::string, protocol::ConsumerProtocolAssignment> shares;
    for (const std::string& member : members) {
        shares[member];
    }
    size_t turn = members.empty() ? 0 : world().random().below(members.size());
    for (const PartitionPlace& place : setup().partitions) {
        if (!members.empty()) {
            auto& given = shares[members[turn++ % members.size()]].assigned_partitions;
            auto topic = std::find_if(given.begin(), given.end(),
                                      [&](const auto& t) { return t.topic == place.topic; });
            if (topic == given.end()) {
                topic = given.emplace(given.end());
                topic->topic = place.topic;
            }
            topic->partitions.push_back(place.index);
        }
    }
    std::vector<std::vector<std::byte>> encoded; // that the request has views of
    encoded.reserve(shares.size());
    protocol::SyncGroupRequest request;
    request.group_id = log().name();
    request.generation_id = identity().generation;
    request.member_id = identity().member_id;
    if (!setup().instance_id.empty()) {
        request.group_instance_id = setup().instance_id;
    }
    request.protocol_type = kType;
    request.protocol_name = kProtocol;
    for (const auto& [member, share] : shares) {
        encoded.push_back(encode_protocol(share));
        request.assignments.push_back({member, encoded.back()});
    }
    const auto version = static_cast<int16_t>(world().random().between(3, 5));
    stream().ask(request, version, [this, version](ByteView body) { on_synced(body, version); });
}

void ClassicMember::on_synced(ByteView body, int16_t version) {
    const auto answer = protocol::SyncGroupResponse::decode(body, version);
    if (!answer) {
        world().violate("SyncGroup: an answer that cannot be read");
        return;
    }
    if (!goes_on("SyncGroup", answer->error_code)) {
        return;
    }
    std::vector<uint16_t> numbers;
    if (!answer->assignment.empty()) {
        const auto share = protocol::ConsumerProtocolAssignment::decode(
            answer->assignment.subspan(sizeof(int16_t)), 0);
        if (!share) {
            world().violate("SyncGroup: an assignment that cannot be read");
            return;
        }
        for (const auto& topic : share->assigned_partitions) {
            for (const int32_t index : topic.partitions) {
                if (const auto number = number_of(topic.topic, index)) {
                    numbers.push_back(*number);
                }
            }
        }
    }
    world().trace("assigned", static_cast<uint64_t>(identity().generation), numbers.size());
    // A static member's place outlives its ids.
    log().on_assigned(identity().generation,
                      setup().instance_id.empty() ? identity().member_id : setup().instance_id,
                      numbers);
    take(numbers, false);
    set_joined(true);
    next();
}

void ClassicMember::ask_heartbeat() {
    protocol::HeartbeatRequest request;
    request.group_id = log().name();
    request.generation_id = identity().generation;
    request.member_id = identity().member_id;
    if (!setup().instance_id.empty()) {
        request.group_instance_id = setup().instance_id;
    }
    const auto version = static_cast<int16_t>(world().random().between(3, 4));
    stream().ask(request, version, [this, version](ByteView body) {
        const auto answer = protocol::HeartbeatResponse::decode(body, version);
        if (!answer) {
            world().violate("Heartbeat: an answer that cannot be read");
            return;
        }
        const Verdict verdict = judge("Heartbeat", answer->error_code);
        set_settled(verdict == Verdict::fine);
        const bool rebalances =
            answer->error_code == static_cast<int16_t>(KafkaError::rebalance_in_progress);
        if (rebalances) { // the group comes together anew; the member keeps its id
            leave_ghost();
            lose_membership();
            next();
            return;
        }
        if (verdict == Verdict::rejoin) {
            forget();
            lose_membership();
        }
        verdict == Verdict::fine ? next() : next_later(world().between(5ms, 100ms));
    });
}

void ClassicMember::ask_leave() {
    protocol::LeaveGroupRequest request;
    request.group_id = log().name();
    auto& member = request.members.emplace_back();
    member.member_id = identity().member_id;
    if (!setup().instance_id.empty()) {
        member.group_instance_id = setup().instance_id;
    }
    const auto version = static_cast<int16_t>(world().random().between(3, 5));
    stream().ask(request, version, [this, version](ByteView body) {
        const auto answer = protocol::LeaveGroupResponse::decode(body, version);
        if (!answer) {
            world().violate("LeaveGroup: an answer that cannot be read");
            return;
        }
        world().trace("left", static_cast<uint64_t>(answer->error_code));
        judge("LeaveGroup", answer->error_code);
        forget();
        lose_membership();
        next_later(world().between(10ms, 2s));
    });
}

} // namespace qtool::sim
