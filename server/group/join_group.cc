// JoinGroup (key 11): a member comes, comes again, or changes what it can do. The answer waits for
// the others, except where nothing changes.
#include "lib/protocol/msg/join_group.h"

#include "lib/base/assert.h"
#include "server/group/classic_rebalance.h"
#include "server/group/consumer_group_classic.h"
#include "server/group/limits.h"
#include "server/group/requests.h"

#include <algorithm>
#include <utility>

namespace qtool::group {

namespace {

using coordinator::Host;
using coordinator::Request;
using protocol::JoinGroupRequest;
using protocol::JoinGroupResponse;

constexpr int16_t kRebalanceTimeoutFrom = 1;
constexpr int16_t kMemberIdRequiredFrom = 4; // KIP-394
constexpr int16_t kSkipAssignmentFrom = 9;   // KIP-814

/// One request on its way through the rules.
struct Join {
    ShardState& state;
    const JoinGroupRequest& request;
    const Request& from;
    Host& host;

    [[nodiscard]] Parked parked() const { return {from.id, from.api_version}; }
    void refuse(KafkaError error, std::string_view member_id) const {
        answer_join_error(error, member_id, parked(), host);
    }
};

std::vector<ClassicMember::Protocol> protocols_of(const JoinGroupRequest& request) {
    std::vector<ClassicMember::Protocol> protocols;
    protocols.reserve(request.protocols.size());
    for (const auto& offered : request.protocols) {
        protocols.push_back(
            {std::string(offered.name), {offered.metadata.begin(), offered.metadata.end()}});
    }
    return protocols;
}

bool is_within_bounds(const JoinGroupRequest& request) {
    size_t size = 0;
    for (const auto& offered : request.protocols) {
        size += offered.name.size() + offered.metadata.size();
    }
    return size <= kMemberBytesMax;
}

int32_t rebalance_timeout_ms(const Join& join) {
    return join.from.api_version >= kRebalanceTimeoutFrom ? join.request.rebalance_timeout_ms
                                                          : join.request.session_timeout_ms;
}

// What the request says about the member, as it is from now on. A join of the same member that
// still waits was given up by its client; it gets an answer all the same.
void update_member(const Join& join, ClassicMember& member) {
    if (member.join) {
        answer_join_error(KafkaError::rebalance_in_progress, member.id,
                          *std::exchange(member.join, std::nullopt), join.host);
    }
    member.client_id = join.from.client_id;
    member.client_host = join.from.client_host;
    member.protocols = protocols_of(join.request);
    member.rebalance_timeout_ms = rebalance_timeout_ms(join);
    member.session_timeout_ms = join.request.session_timeout_ms;
}

void update_and_rebalance(const Join& join, ClassicGroup& group, ClassicMember& member) {
    update_member(join, member);
    member.join = join.parked();
    renew_session(join.state, group, member, join.host);
    rebalance(join.state, group, join.host);
}

void add_and_rebalance(const Join& join, ClassicGroup& group, std::string member_id) {
    ClassicMember added;
    added.id = std::move(member_id);
    if (join.request.group_instance_id) {
        added.instance_id = std::string(*join.request.group_instance_id);
    }
    update_member(join, added);
    added.is_new = true;
    added.join = join.parked();
    group.pending_members.erase(added.id);
    if (group.members.empty()) {
        group.type = join.request.protocol_type;
    }
    const ClassicMember& member = group.add_member(std::move(added));
    group.member_added = true;
    renew_session(join.state, group, member, join.host); // also ends the timer of a pending id
    rebalance(join.state, group, join.host);
}

// A static member is back under its name: the old id is fenced, the place is kept (KIP-345).
void replace_static(const Join& join, ClassicGroup& group, ClassicMember& old) {
    const std::string old_id = old.id;
    const bool was_leader = group.leader && *group.leader == old_id;
    const std::string new_id = make_member_id(*join.request.group_instance_id, join.host);
    if (old.join) {
        answer_join_error(KafkaError::fenced_instance_id, old_id,
                          *std::exchange(old.join, std::nullopt), join.host);
    }
    if (old.sync) {
        answer_sync(group, KafkaError::fenced_instance_id, {},
                    *std::exchange(old.sync, std::nullopt), join.host);
    }
    join.state.timers.cancel(
        {.group = group.id(), .kind = TimerKind::classic_session, .member = old_id});

    ClassicMember& member = group.rename_member(old_id, new_id);
    const ClassicMember before = member;
    update_member(join, member);
    if (group.state != ClassicState::stable || group.select_protocol() != group.protocol) {
        member.join = join.parked();
        renew_session(join.state, group, member, join.host);
        rebalance(join.state, group, join.host);
        return;
    }
    const auto now_ms = join.host.wall_now_ms();
    const auto appended = join.host.append({.records = {group.record(now_ms)}});
    ClassicMember* current = group.find_member(new_id); // replay made the members anew
    QT_ASSERT(current != nullptr);
    if (!appended) {
        *current = before;
        ClassicMember& restored = group.rename_member(new_id, old_id);
        renew_session(join.state, group, restored, join.host);
        join.refuse(append_error(appended.error().code), new_id);
        return;
    }
    renew_session(join.state, group, *current, join.host);
    if (join.from.api_version < kSkipAssignmentFrom && was_leader) {
        // Told that it leads, the client would assign again and the group not stay as it is: an
        // older one hears its former self is the leader.
        JoinGroupResponse response;
        response.generation_id = group.generation;
        response.protocol_type = group.type;
        response.protocol_name = group.protocol_name();
        response.leader = old_id;
        response.member_id = new_id;
        answer(response, join.from.id, join.from.api_version, join.host);
        return;
    }
    answer_joined(group, *current, join.parked(), join.host, was_leader);
}

void join_new(const Join& join, ClassicGroup& group) {
    const auto& instance_id = join.request.group_instance_id;
    if (instance_id) {
        if (ClassicMember* known = group.find_static(*instance_id); known != nullptr) {
            replace_static(join, group, *known);
        } else {
            add_and_rebalance(join, group, make_member_id(*instance_id, join.host));
        }
        return;
    }
    std::string member_id = make_member_id(join.from.client_id, join.host);
    if (join.from.api_version < kMemberIdRequiredFrom) {
        add_and_rebalance(join, group, std::move(member_id));
        return;
    }
    // The id is to come back: a client that never sees this answer leaves no member behind.
    if (group.pending_members.size() >= kPendingMembersMax) {
        join.refuse(KafkaError::group_max_size_reached, {});
        return;
    }
    join.state.timers.set(
        {.group = group.id(), .kind = TimerKind::classic_session, .member = member_id},
        join.host.now() + clamped_ms(join.request.session_timeout_ms));
    join.refuse(KafkaError::member_id_required, member_id);
    group.pending_members.insert(std::move(member_id));
}

void join_known(const Join& join, ClassicGroup& group) {
    const std::string_view member_id = join.request.member_id;
    if (group.pending_members.contains(member_id)) {
        // Ids are handed out to dynamic members alone.
        if (join.request.group_instance_id) {
            join.refuse(KafkaError::unknown_member_id, member_id);
        } else {
            add_and_rebalance(join, group, std::string(member_id));
        }
        return;
    }
    const KafkaError error = group.check_member(member_id, join.request.group_instance_id);
    if (error != KafkaError::none) {
        join.refuse(error, member_id);
        return;
    }
    ClassicMember& member = *group.find_member(member_id);
    const bool is_unchanged = member.protocols == protocols_of(join.request);
    switch (group.state) {
    case ClassicState::preparing_rebalance:
        update_and_rebalance(join, group, member);
        return;
    case ClassicState::completing_rebalance:
        if (is_unchanged) { // did not get the answer to its join
            renew_session(join.state, group, member, join.host);
            answer_joined(group, member, join.parked(), join.host);
        } else {
            update_and_rebalance(join, group, member);
        }
        return;
    case ClassicState::stable:
        // A leader that joins again has seen a change of topics and wants to assign anew.
        if (is_unchanged && (!group.leader || *group.leader != member_id)) {
            renew_session(join.state, group, member, join.host);
            answer_joined(group, member, join.parked(), join.host);
        } else {
            update_and_rebalance(join, group, member);
        }
        return;
    case ClassicState::empty:
        join.refuse(KafkaError::unknown_member_id, member_id);
        return;
    }
    QT_UNREACHABLE();
}

// A group that is full takes back its members, and in a rebalance the first to join.
bool has_place(const ClassicGroup& group, std::string_view member_id, size_t size_max) {
    const ClassicMember* member = group.find_member(member_id);
    switch (group.state) {
    case ClassicState::empty:
        return true;
    case ClassicState::preparing_rebalance: {
        const auto joined = static_cast<size_t>(
            std::count_if(group.members.begin(), group.members.end(),
                          [](const auto& entry) { return entry.second.join.has_value(); }));
        return (member != nullptr && member->join) || joined < size_max;
    }
    case ClassicState::completing_rebalance:
    case ClassicState::stable:
        return member != nullptr || group.members.size() < size_max;
    }
    QT_UNREACHABLE();
}

} // namespace

void serve_join_group(ShardState& state, const Request& from, Host& host) {
    const auto decoded = JoinGroupRequest::decode(from.body, from.api_version);
    QT_ASSERT(decoded);
    const JoinGroupRequest& request = *decoded;
    const Join join{state, request, from, host};
    const std::string_view member_id = request.member_id;
    if (request.group_id.empty()) {
        join.refuse(KafkaError::invalid_group_id, member_id);
        return;
    }
    if (request.session_timeout_ms < host.config().group_session_timeout_min_ms ||
        request.session_timeout_ms > host.config().group_session_timeout_max_ms) {
        join.refuse(KafkaError::invalid_session_timeout, member_id);
        return;
    }
    if (!is_within_bounds(request)) {
        join.refuse(KafkaError::policy_violation, member_id);
        return;
    }
    Group* known = state.find(request.group_id);
    if (known != nullptr && known->kind() != GroupKind::classic && !known->is_empty()) {
        join_consumer_group(state, request.group_id, request, from, host);
        return;
    }
    const bool is_classic = known != nullptr && known->kind() == GroupKind::classic;
    if (!is_classic && !member_id.empty()) {
        join.refuse(KafkaError::unknown_member_id, member_id);
        return;
    }
    if (request.protocol_type.empty() || request.protocols.empty()) {
        join.refuse(KafkaError::inconsistent_group_protocol, member_id);
        return;
    }
    if (known == nullptr && !state.has_room()) {
        join.refuse(KafkaError::policy_violation, member_id);
        return;
    }
    if (known != nullptr && !is_classic) {
        // An empty group of another kind gives its id away; the log has to know.
        std::vector<coordinator::NewRecord> tombstones;
        known->add_tombstones(tombstones);
        if (const auto appended = append_in_batches(std::move(tombstones), host); !appended) {
            join.refuse(append_error(appended.error().code), member_id);
            return;
        }
    }
    ClassicGroup& group = state.classic(request.group_id);
    if (!has_place(group, member_id, group_size_max(host.config()))) {
        group.pending_members.erase(std::string(member_id));
        drop_member(state, group, member_id, KafkaError::group_max_size_reached, host);
        join.refuse(KafkaError::group_max_size_reached, {});
        return;
    }
    if (!group.supports(request.protocol_type, protocols_of(request))) {
        join.refuse(KafkaError::inconsistent_group_protocol, member_id);
        return;
    }
    if (member_id.empty()) {
        join_new(join, group);
    } else {
        join_known(join, group);
    }
}

} // namespace qtool::group
