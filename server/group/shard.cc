#include "server/group/shard.h"

#include "lib/base/assert.h"
#include "lib/protocol/msg/consumer_group_describe.h"
#include "lib/protocol/msg/consumer_group_heartbeat.h"
#include "lib/protocol/msg/delete_groups.h"
#include "lib/protocol/msg/describe_groups.h"
#include "lib/protocol/msg/heartbeat.h"
#include "lib/protocol/msg/join_group.h"
#include "lib/protocol/msg/leave_group.h"
#include "lib/protocol/msg/list_groups.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_delete.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/sync_group.h"
#include "lib/protocol/msg/txn_offset_commit.h"
#include "server/group/classic_rebalance.h"
#include "server/group/consumer_group_changes.h"
#include "server/group/offset_expiry.h"
#include "server/group/replay.h"
#include "server/group/requests.h"

namespace qtool::group {

using coordinator::Host;

Result<void> GroupShard::replay(const coordinator::Record& record) {
    return replay_record(state_, record);
}

void GroupShard::replay_marker(const protocol::TransactionMarker& marker) {
    state_.offsets.end_transaction(marker.producer_id,
                                   marker.type == protocol::ControlType::commit);
}

void GroupShard::on_loaded(Host& host) {
    QT_ASSERT(!state_.is_loaded);
    state_.is_loaded = true;
    std::vector<std::string> classic_ids; // a rebalance may remove groups
    for (const auto& [id, group] : state_.groups) {
        if (group->kind() == GroupKind::classic) {
            classic_ids.push_back(id);
        }
    }
    for (const std::string& id : classic_ids) {
        if (ClassicGroup* group = state_.find_classic(id); group != nullptr) {
            start_classic(state_, *group, host);
        }
    }
    for (const auto& [id, group] : state_.groups) {
        if (group->kind() == GroupKind::consumer) {
            start_consumer_group(state_, static_cast<ConsumerGroup&>(*group), host);
        }
    }
    drop_offsets_of_deleted_topics(state_, host);
    schedule_offset_expiry(state_, host);
}

void GroupShard::on_request(const coordinator::Request& request, Host& host) {
    QT_ASSERT(state_.is_loaded);
    switch (request.api_key) {
    case protocol::JoinGroupRequest::kApiKey:
        return serve_join_group(state_, request, host);
    case protocol::SyncGroupRequest::kApiKey:
        return serve_sync_group(state_, request, host);
    case protocol::HeartbeatRequest::kApiKey:
        return serve_heartbeat(state_, request, host);
    case protocol::LeaveGroupRequest::kApiKey:
        return serve_leave_group(state_, request, host);
    case protocol::OffsetCommitRequest::kApiKey:
        return serve_offset_commit(state_, request, host);
    case protocol::TxnOffsetCommitRequest::kApiKey:
        return serve_txn_offset_commit(state_, request, host);
    case protocol::OffsetFetchRequest::kApiKey:
        return serve_offset_fetch(state_, request, host);
    case protocol::OffsetDeleteRequest::kApiKey:
        return serve_offset_delete(state_, request, host);
    case protocol::DescribeGroupsRequest::kApiKey:
        return serve_describe_groups(state_, request, host);
    case protocol::ListGroupsRequest::kApiKey:
        return serve_list_groups(state_, request, host);
    case protocol::DeleteGroupsRequest::kApiKey:
        return serve_delete_groups(state_, request, host);
    case protocol::ConsumerGroupHeartbeatRequest::kApiKey:
        return serve_consumer_group_heartbeat(state_, request, host);
    case protocol::ConsumerGroupDescribeRequest::kApiKey:
        return serve_consumer_group_describe(state_, request, host);
    default:
        QT_UNREACHABLE(); // handlers send what is listed here
    }
}

void GroupShard::on_image(const metadata::Delta& delta, Host& host) {
    if (state_.is_loaded && !delta.topics_deleted.empty()) {
        drop_offsets_of_deleted_topics(state_, host);
    }
    if (state_.is_loaded) {
        on_topics_changed(state_, delta, host);
    }
}

void GroupShard::on_time(Host& host) {
    while (const auto due = state_.timers.pop_due(host.now())) {
        switch (due->kind) {
        case TimerKind::offset_expiry:
            expire_offsets(state_, host);
            schedule_offset_expiry(state_, host);
            break;
        case TimerKind::classic_session:
            on_session_due(state_, *due, host);
            break;
        case TimerKind::classic_join:
            on_join_due(state_, *due, host);
            break;
        case TimerKind::classic_sync:
            on_sync_due(state_, *due, host);
            break;
        case TimerKind::consumer_session:
        case TimerKind::consumer_revocation:
        case TimerKind::consumer_target:
        case TimerKind::consumer_regex:
        case TimerKind::consumer_join:
        case TimerKind::consumer_sync:
            on_consumer_timer(state_, *due, host);
            break;
        }
    }
}

void GroupShard::survey(metrics::CoreSurvey& survey, uint32_t offsets_max) const {
    metrics::CoordinatorSurvey& out = survey.coordinators;
    for (const auto& [id, group] : state_.groups) {
        out.groups[std::string(to_string(group->kind())) + "/" +
                   std::string(group->state_name())]++;
        out.members += group->member_count();
    }
    out.committed_offsets += state_.offsets.size();
    out.rebalances += state_.counts.rebalances;
    out.offset_commits += state_.counts.offset_commits;
    out.offsets_expired += state_.counts.offsets_expired;
    for (const auto& [group, topics] : state_.offsets.groups()) {
        for (const auto& [topic, partitions] : topics) {
            for (const auto& [partition, offset] : partitions) {
                if (survey.offsets.size() < offsets_max) {
                    survey.offsets.push_back({group, topic, partition, offset.offset});
                } else {
                    survey.offsets_left_out++;
                }
            }
        }
    }
}

} // namespace qtool::group
