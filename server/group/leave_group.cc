// LeaveGroup (key 13): members go, by their id or, static ones, by their instance id.
#include "lib/protocol/msg/leave_group.h"

#include "lib/base/assert.h"
#include "server/group/classic_rebalance.h"
#include "server/group/consumer_group_changes.h"
#include "server/group/consumer_group_classic.h"
#include "server/group/requests.h"

namespace qtool::group {

namespace {

using coordinator::Host;
using protocol::LeaveGroupRequest;
using protocol::LeaveGroupResponse;

constexpr int16_t kMembersFrom = 3;

// An admin tool gives the instance id alone.
KafkaError leave(ShardState& state, ClassicGroup& group, std::string_view member_id,
                 const std::optional<std::string_view>& instance_id, Host& host) {
    if (member_id.empty() && instance_id) {
        const ClassicMember* member = group.find_static(*instance_id);
        if (member == nullptr) {
            return KafkaError::unknown_member_id;
        }
        drop_member(state, group, member->id, KafkaError::unknown_member_id, host);
        return KafkaError::none;
    }
    if (const auto pending = group.pending_members.find(member_id);
        pending != group.pending_members.end()) {
        state.timers.cancel({.group = group.id(),
                             .kind = TimerKind::classic_session,
                             .member = std::string(member_id)});
        group.pending_members.erase(pending);
        return KafkaError::none;
    }
    const KafkaError error = group.check_member(member_id, instance_id);
    if (error == KafkaError::none) {
        drop_member(state, group, member_id, KafkaError::unknown_member_id, host);
    }
    return error;
}

} // namespace

void serve_leave_group(ShardState& state, const coordinator::Request& from, Host& host) {
    const auto request = LeaveGroupRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    LeaveGroupResponse response;
    if (request->group_id.empty()) {
        response.error_code = static_cast<int16_t>(KafkaError::invalid_group_id);
        answer(response, from.id, from.api_version, host);
        return;
    }
    ClassicGroup* group = state.find_classic(request->group_id);
    const size_t member_count = group == nullptr ? 0 : group->members.size();
    const auto leave_one = [&](std::string_view member_id,
                               const std::optional<std::string_view>& instance_id) {
        if (find_consumer_group(state, request->group_id) != nullptr) {
            return static_cast<int16_t>(
                leave_consumer_group(state, request->group_id, member_id, instance_id, host));
        }
        return static_cast<int16_t>(group == nullptr
                                        ? KafkaError::unknown_member_id
                                        : leave(state, *group, member_id, instance_id, host));
    };
    if (from.api_version < kMembersFrom) {
        response.error_code = leave_one(request->member_id, std::nullopt);
    } else {
        for (const auto& member : request->members) {
            auto& out = response.members.emplace_back();
            out.member_id = member.member_id;
            out.group_instance_id = member.group_instance_id;
            out.error_code = leave_one(member.member_id, member.group_instance_id);
        }
    }
    if (group != nullptr && group->members.size() != member_count &&
        group->state != ClassicState::preparing_rebalance) {
        rebalance(state, *group, host);
    } else if (group != nullptr) {
        complete_join_if_ready(state, *group, host); // also when a pending id went
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
