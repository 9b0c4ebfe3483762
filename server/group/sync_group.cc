// SyncGroup (key 14): the leader brings the assignments, everybody gets its own. Answers of the
// followers wait until the assignments are in the log.
#include "lib/protocol/msg/sync_group.h"

#include "lib/base/assert.h"
#include "server/group/classic_rebalance.h"
#include "server/group/consumer_group_changes.h"
#include "server/group/consumer_group_classic.h"
#include "server/group/limits.h"
#include "server/group/requests.h"

#include <map>
#include <utility>

namespace qtool::group {

namespace {

using coordinator::Host;
using coordinator::Request;
using protocol::SyncGroupRequest;

constexpr int16_t kProtocolRequiredFrom = 5; // KIP-559

KafkaError check(const ClassicGroup& group, const SyncGroupRequest& request) {
    const KafkaError error = group.check_member(request.member_id, request.group_instance_id);
    if (error != KafkaError::none) {
        return error;
    }
    if (request.generation_id != group.generation) {
        return KafkaError::illegal_generation;
    }
    if ((request.protocol_type && *request.protocol_type != group.type) ||
        (request.protocol_name && group.protocol && *request.protocol_name != *group.protocol)) {
        return KafkaError::inconsistent_group_protocol;
    }
    return KafkaError::none;
}

void answer_waiting(ShardState& state, ClassicGroup& group, KafkaError error, Host& host) {
    for (auto& [member_id, member] : group.members) {
        if (member.sync) {
            answer_sync(group, error, member.assignment, *std::exchange(member.sync, std::nullopt),
                        host);
            renew_session(state, group, member, host);
        }
    }
}

// The assignments of the leader go into the log, and from there to everybody.
void assign(ShardState& state, ClassicGroup& group, const SyncGroupRequest& request, Host& host) {
    for (auto& [member_id, member] : group.members) {
        member.assignment.clear();
    }
    KafkaError error = KafkaError::none;
    for (const auto& given : request.assignments) {
        if (given.assignment.size() > kMemberBytesMax) {
            error = KafkaError::unknown_server_error;
        } else if (ClassicMember* member = group.find_member(given.member_id); member != nullptr) {
            member->assignment.assign(given.assignment.begin(), given.assignment.end());
        }
    }
    if (error == KafkaError::none) {
        const auto now_ms = host.wall_now_ms();
        const auto appended = host.append({.records = {group.record(now_ms)}});
        if (appended) { // replay made the group Stable
            answer_waiting(state, group, KafkaError::none, host);
            return;
        }
        error = append_error(appended.error().code);
    }
    for (auto& [member_id, member] : group.members) {
        member.assignment.clear();
    }
    answer_waiting(state, group, error, host);
    rebalance(state, group, host);
}

} // namespace

void serve_sync_group(ShardState& state, const Request& from, Host& host) {
    const auto decoded = SyncGroupRequest::decode(from.body, from.api_version);
    QT_ASSERT(decoded);
    const SyncGroupRequest& request = *decoded;
    const Parked parked{from.id, from.api_version};
    ClassicGroup* group = state.find_classic(request.group_id);
    const ClassicGroup nobody("");
    const auto refuse = [&](KafkaError error) { answer_sync(nobody, error, {}, parked, host); };

    if (request.group_id.empty()) {
        return refuse(KafkaError::invalid_group_id);
    }
    if (from.api_version >= kProtocolRequiredFrom &&
        (!request.protocol_type || !request.protocol_name)) {
        return refuse(KafkaError::inconsistent_group_protocol);
    }
    if (ConsumerGroup* consumers = find_consumer_group(state, request.group_id);
        consumers != nullptr) {
        return sync_consumer_group(state, *consumers, request, from, host);
    }
    if (group == nullptr) {
        return refuse(KafkaError::unknown_member_id);
    }
    if (const KafkaError error = check(*group, request); error != KafkaError::none) {
        return refuse(error);
    }
    ClassicMember& member = *group->find_member(request.member_id);
    switch (group->state) {
    case ClassicState::empty:
        return refuse(KafkaError::unknown_member_id);
    case ClassicState::preparing_rebalance:
        return refuse(KafkaError::rebalance_in_progress);
    case ClassicState::completing_rebalance:
        if (member.sync) { // the client asks again
            answer_sync(*group, KafkaError::rebalance_in_progress, {},
                        *std::exchange(member.sync, std::nullopt), host);
        }
        member.sync = parked;
        member.owes_sync = false;
        renew_session(state, *group, member, host);
        if (group->leader && *group->leader == member.id) {
            assign(state, *group, request, host);
        }
        return;
    case ClassicState::stable:
        member.owes_sync = false;
        renew_session(state, *group, member, host);
        answer_sync(*group, KafkaError::none, member.assignment, parked, host);
        return;
    }
    QT_UNREACHABLE();
}

} // namespace qtool::group
