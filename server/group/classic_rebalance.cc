#include "server/group/classic_rebalance.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/protocol/msg/join_group.h"
#include "lib/protocol/msg/sync_group.h"
#include "server/group/limits.h"

#include <algorithm>
#include <utility>

namespace qtool::group {

namespace {

using coordinator::Host;

TimerKey join_timer(const ClassicGroup& group) {
    return {.group = group.id(), .kind = TimerKind::classic_join};
}

TimerKey sync_timer(const ClassicGroup& group) {
    return {.group = group.id(), .kind = TimerKind::classic_sync};
}

Duration rebalance_timeout(const ClassicGroup& group) {
    return clamped_ms(group.rebalance_timeout_ms());
}

// The leader stays if it joined again; else the first that did. False: nobody joined.
bool choose_leader(ClassicGroup& group) {
    const ClassicMember* leader = group.leader ? group.find_member(*group.leader) : nullptr;
    if (leader != nullptr && leader->join) {
        return true;
    }
    const auto joined = std::find_if(group.members.begin(), group.members.end(),
                                     [](const auto& entry) { return entry.second.join; });
    if (joined == group.members.end()) {
        return false;
    }
    group.leader = joined->first;
    return true;
}

// Nobody is left: the group is Empty, which the log has to know, as the retention of its offsets
// counts from here. When the append fails the group is Empty in memory alone; then a later start
// finds the members of before, whose sessions run out.
void become_empty(ShardState& state, ClassicGroup& group, Host& host) {
    group.generation++;
    group.protocol.reset();
    group.leader.reset();
    group.state = ClassicState::empty;
    state.timers.cancel(join_timer(group));
    state.timers.cancel(sync_timer(group));
    const auto now_ms = host.wall_now_ms();
    group.state_since_ms = now_ms;
    static_cast<void>(host.append({.records = {group.record(now_ms)}}));
}

void complete_join(ShardState& state, ClassicGroup& group, Host& host) {
    group.in_initial_delay = false;
    std::vector<std::string> absent; // dynamic members that did not join again
    for (const auto& [member_id, member] : group.members) {
        if (!member.join && !member.instance_id) {
            absent.push_back(member_id);
        }
    }
    for (const std::string& member_id : absent) {
        drop_member(state, group, member_id, KafkaError::unknown_member_id, host);
    }
    if (group.members.empty()) {
        become_empty(state, group, host);
        return;
    }
    if (!choose_leader(group)) {
        // Static members that are all away: they have until their sessions run out.
        state.timers.set(join_timer(group), host.now() + rebalance_timeout(group));
        return;
    }
    state.timers.cancel(join_timer(group));
    state.counts.rebalances++;
    group.generation++;
    group.protocol = group.select_protocol();
    group.state = ClassicState::completing_rebalance;
    for (auto& [member_id, member] : group.members) {
        if (!member.join) {
            continue; // a static member that is away keeps its place, not its session
        }
        answer_joined(group, member, *std::exchange(member.join, std::nullopt), host);
        member.is_new = false;
        member.owes_sync = true;
        renew_session(state, group, member, host);
    }
    state.timers.set(sync_timer(group), host.now() + rebalance_timeout(group));
}

// Those that wait for assignments are told to join again.
void cancel_syncs(ClassicGroup& group, Host& host) {
    for (auto& [member_id, member] : group.members) {
        member.assignment.clear();
        if (member.sync) {
            answer_sync(group, KafkaError::rebalance_in_progress, {},
                        *std::exchange(member.sync, std::nullopt), host);
        }
    }
}

void prepare(ShardState& state, ClassicGroup& group, Host& host) {
    if (group.state == ClassicState::completing_rebalance) {
        cancel_syncs(group, host);
    }
    for (auto& [member_id, member] : group.members) {
        member.owes_sync = false;
    }
    state.timers.cancel(sync_timer(group));
    const bool is_initial = group.state == ClassicState::empty;
    group.state = ClassicState::preparing_rebalance;
    group.rebalance_started = host.now();
    if (!is_initial) {
        complete_join_if_ready(state, group, host);
        return;
    }
    const Duration delay = clamped_ms(host.config().group_initial_rebalance_delay_ms);
    group.in_initial_delay = true;
    group.member_added = false;
    group.delay_ends_at_most = host.now() + std::max(delay, rebalance_timeout(group));
    state.timers.set(join_timer(group), host.now() + delay);
}

} // namespace

void rebalance(ShardState& state, ClassicGroup& group, Host& host) {
    if (group.state == ClassicState::preparing_rebalance) {
        complete_join_if_ready(state, group, host);
    } else {
        prepare(state, group, host);
    }
}

void complete_join_if_ready(ShardState& state, ClassicGroup& group, Host& host) {
    if (group.state != ClassicState::preparing_rebalance) {
        return;
    }
    if (group.in_initial_delay) {
        if (group.members.empty() && group.pending_members.empty()) {
            group.in_initial_delay = false;
            become_empty(state, group, host);
        }
        return; // the delay is waited for, however many have joined
    }
    if (group.all_joined()) {
        complete_join(state, group, host);
        return;
    }
    // From the start of the rebalance, and longer when a new member has a longer timeout.
    state.timers.set(join_timer(group), group.rebalance_started + rebalance_timeout(group));
}

void drop_member(ShardState& state, ClassicGroup& group, std::string_view member_id,
                 KafkaError error, Host& host) {
    ClassicMember* member = group.find_member(member_id);
    if (member == nullptr) {
        return;
    }
    const std::string id = member->id; // `member_id` may be a view of it
    if (member->join) {
        answer_join_error(error, id, *member->join, host);
    }
    if (member->sync) {
        answer_sync(group, error, {}, *member->sync, host);
    }
    state.timers.cancel({.group = group.id(), .kind = TimerKind::classic_session, .member = id});
    group.remove_member(id);
}

void renew_session(ShardState& state, const ClassicGroup& group, const ClassicMember& member,
                   Host& host) {
    const Duration timeout =
        member.is_new ? Duration(kNewMemberJoinTimeout) : clamped_ms(member.session_timeout_ms);
    state.timers.set({.group = group.id(), .kind = TimerKind::classic_session, .member = member.id},
                     host.now() + timeout);
}

void on_session_due(ShardState& state, const TimerKey& key, Host& host) {
    ClassicGroup* group = state.find_classic(key.group);
    if (group == nullptr) {
        return;
    }
    if (group->pending_members.erase(key.member) > 0) {
        complete_join_if_ready(state, *group, host);
        return;
    }
    const ClassicMember* member = group->find_member(key.member);
    if (member == nullptr) {
        return;
    }
    if (!member->is_new && (member->join || member->sync)) {
        renew_session(state, *group, *member, host); // its silence is our doing
        return;
    }
    drop_member(state, *group, key.member, KafkaError::unknown_member_id, host);
    if (group->state == ClassicState::preparing_rebalance) {
        complete_join_if_ready(state, *group, host);
    } else {
        rebalance(state, *group, host);
    }
}

void on_join_due(ShardState& state, const TimerKey& key, Host& host) {
    ClassicGroup* group = state.find_classic(key.group);
    if (group == nullptr || group->state != ClassicState::preparing_rebalance) {
        return;
    }
    if (group->in_initial_delay && group->member_added && host.now() < group->delay_ends_at_most) {
        group->member_added = false;
        const Duration delay = clamped_ms(host.config().group_initial_rebalance_delay_ms);
        state.timers.set(key, std::min(host.now() + delay, group->delay_ends_at_most));
        return;
    }
    complete_join(state, *group, host);
}

void on_sync_due(ShardState& state, const TimerKey& key, Host& host) {
    ClassicGroup* group = state.find_classic(key.group);
    if (group == nullptr || (group->state != ClassicState::completing_rebalance &&
                             group->state != ClassicState::stable)) {
        return;
    }
    std::vector<std::string> silent;
    for (const auto& [member_id, member] : group->members) {
        if (member.owes_sync) {
            silent.push_back(member_id);
        }
    }
    for (const std::string& member_id : silent) {
        drop_member(state, *group, member_id, KafkaError::unknown_member_id, host);
    }
    if (!silent.empty()) {
        rebalance(state, *group, host);
    }
}

void start_classic(ShardState& state, ClassicGroup& group, Host& host) {
    for (const auto& [member_id, member] : group.members) {
        renew_session(state, group, member, host);
    }
    if (group.members.size() > group_size_max(host.config())) {
        rebalance(state, group, host); // the option was lowered: those that come first stay
    }
}

size_t group_size_max(const config::BrokerConfig& config) {
    return std::min(static_cast<size_t>(config.group_size_max), kMembersMax);
}

void answer_joined(const ClassicGroup& group, const ClassicMember& member, Parked to, Host& host,
                   bool skip_assignment) {
    protocol::JoinGroupResponse response;
    response.skip_assignment = skip_assignment;
    response.generation_id = group.generation;
    response.protocol_type = group.type;
    response.protocol_name = group.protocol_name();
    response.leader = group.leader_id();
    response.member_id = member.id;
    if (group.leader && *group.leader == member.id) {
        for (const auto& [member_id, known] : group.members) {
            auto& out = response.members.emplace_back();
            out.member_id = member_id;
            out.group_instance_id = known.instance_id;
            const ClassicMember::Protocol* metadata =
                group.protocol ? known.find_protocol(*group.protocol) : nullptr;
            out.metadata = metadata == nullptr ? ByteView() : ByteView(metadata->metadata);
        }
    }
    answer(response, to.request, to.api_version, host);
}

void answer_join_error(KafkaError error, std::string_view member_id, Parked to, Host& host) {
    protocol::JoinGroupResponse response;
    response.error_code = static_cast<int16_t>(error);
    response.member_id = member_id;
    if (to.api_version >= 7) {
        response.protocol_name = std::nullopt;
    }
    answer(response, to.request, to.api_version, host);
}

void answer_sync(const ClassicGroup& group, KafkaError error, ByteView assignment, Parked to,
                 Host& host) {
    protocol::SyncGroupResponse response;
    response.error_code = static_cast<int16_t>(error);
    if (error == KafkaError::none) {
        response.protocol_type = group.type;
        response.protocol_name = group.protocol;
        response.assignment = assignment;
    }
    answer(response, to.request, to.api_version, host);
}

} // namespace qtool::group
