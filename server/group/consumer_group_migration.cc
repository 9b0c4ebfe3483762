#include "server/group/consumer_group_migration.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/group/classic_rebalance.h"
#include "server/group/consumer_group_changes.h"
#include "server/group/consumer_group_records.h"
#include "server/group/consumer_group_target.h"
#include "server/group/consumer_protocol.h"

#include <algorithm>
#include <utility>

namespace qtool::group {
namespace {

using coordinator::Host;
using coordinator::NewBatch;

struct Upgraded {
    MemberMetadata metadata;
    Assignment assigned;
};

// Nothing: the member does not speak as a consumer.
std::optional<Upgraded> upgrade_member(const ClassicGroup& group, const ClassicMember& member,
                                       const metadata::Image& image) {
    const ClassicMember::Protocol* chosen =
        group.protocol ? member.find_protocol(*group.protocol) : nullptr;
    if (chosen == nullptr && !member.protocols.empty()) {
        chosen = &member.protocols.front(); // in its first rebalance
    }
    if (chosen == nullptr) {
        return std::nullopt;
    }
    const auto subscription = read_subscription(chosen->metadata);
    if (!subscription) {
        return std::nullopt;
    }
    Upgraded upgraded;
    MemberMetadata& metadata = upgraded.metadata;
    metadata.instance_id = member.instance_id;
    if (subscription->rack_id) {
        metadata.rack_id = *subscription->rack_id;
    }
    metadata.client_id = member.client_id;
    metadata.client_host = member.client_host;
    metadata.topic_names = {subscription->topics.begin(), subscription->topics.end()};
    metadata.rebalance_timeout_ms = member.rebalance_timeout_ms;
    ClassicMetadata& classic = metadata.classic.emplace();
    classic.session_timeout_ms = member.session_timeout_ms;
    for (const ClassicMember::Protocol& protocol : member.protocols) {
        classic.protocols.push_back({protocol.name, protocol.metadata});
    }
    if (!member.assignment.empty()) {
        const auto assignment = read_assignment(member.assignment);
        if (!assignment) {
            return std::nullopt;
        }
        upgraded.assigned = to_assignment(assignment->assigned_partitions, image);
    }
    return upgraded;
}

// What waits in the classic group's members cannot be settled by it any more.
void release_parked(ClassicGroup& group, Host& host) {
    for (auto& [id, member] : group.members) {
        if (member.join) {
            answer_join_error(KafkaError::rebalance_in_progress, id,
                              *std::exchange(member.join, std::nullopt), host);
        }
        if (member.sync) {
            answer_sync(group, KafkaError::rebalance_in_progress, {},
                        *std::exchange(member.sync, std::nullopt), host);
        }
    }
}

bool may_upgrade(const ClassicGroup& group, const Host& host) {
    const auto& options = host.config().consumer_groups;
    return options.may_upgrade && group.type == kConsumerProtocolType &&
           group.members.size() < static_cast<size_t>(options.size_max);
}

Result<bool> upgrade(ShardState& state, ClassicGroup& group, Host& host) {
    const std::string group_id = group.id();
    const int32_t epoch = group.generation;
    NewBatch batch;
    group.add_tombstones(batch.records);
    Assignment taken; // a leader's assignment may name a partition twice; the first member keeps it
    for (const auto& [id, member] : group.members) {
        std::optional<Upgraded> upgraded = upgrade_member(group, member, host.image());
        if (!upgraded) {
            return false;
        }
        const Assignment assigned = without(upgraded->assigned, taken);
        MemberProgress progress;
        progress.epoch = epoch;
        progress.previous_epoch = epoch;
        for_each_partition(assigned, [&](const PartitionKey& key) {
            progress.assigned[key.topic_id][key.index.value()] = epoch;
            taken[key.topic_id].push_back(key.index.value());
        });
        taken = normalized(std::move(taken));
        batch.records.push_back(member_record(group_id, id, upgraded->metadata));
        batch.records.push_back(target_record(group_id, id, assigned));
        batch.records.push_back(progress_record(group_id, id, progress));
    }
    batch.records.push_back(group_record(group_id, epoch, 0));
    batch.records.push_back(target_epoch_record(group_id, epoch, host.wall_now_ms()));
    // Replay takes the classic group away, so what waits in it is answered first; should the append
    // fail, these clients join again.
    release_parked(group, host);
    QT_TRY(host.append(batch));
    ConsumerGroup* upgraded_group = find_consumer_group(state, group_id);
    QT_ASSERT(upgraded_group != nullptr);
    for (const auto& [id, member] : upgraded_group->members()) {
        renew_consumer_session(state, *upgraded_group, member, host);
    }
    log_line(LogLevel::info, "group_upgraded",
             {{"group", group_id}, {"members", std::to_string(upgraded_group->members().size())}});
    return true;
}

bool may_downgrade(const ConsumerGroup& group, const Host& host) {
    return host.config().consumer_groups.may_downgrade && !group.is_empty() &&
           group.classic_count() == group.members().size() &&
           group.members().size() <= static_cast<size_t>(host.config().group_size_max);
}

} // namespace

Result<bool> open_to_consumers(ShardState& state, std::string_view group_id, Host& host) {
    ClassicGroup* group = state.find_classic(group_id);
    QT_ASSERT(group != nullptr);
    if (!group->is_empty()) {
        return may_upgrade(*group, host) ? upgrade(state, *group, host) : Result<bool>(false);
    }
    NewBatch batch;
    group->add_tombstones(batch.records);
    QT_TRY(host.append(batch));
    return true;
}

Result<bool> downgrade_if_due(ShardState& state, std::string_view group_id, Host& host) {
    const ConsumerGroup* group = find_consumer_group(state, group_id);
    if (group == nullptr || !may_downgrade(*group, host)) {
        return false;
    }
    ClassicGroup classic{std::string(group_id)};
    classic.type = kConsumerProtocolType;
    classic.state = ClassicState::stable;
    classic.generation = group->epoch();
    for (const auto& [id, member] : group->members()) {
        ClassicMember to;
        to.id = id;
        to.instance_id = member.metadata.instance_id;
        to.client_id = member.metadata.client_id;
        to.client_host = member.metadata.client_host;
        to.rebalance_timeout_ms = member.metadata.rebalance_timeout_ms;
        to.session_timeout_ms = member.metadata.classic->session_timeout_ms;
        for (const ClassicMetadata::Protocol& protocol : member.metadata.classic->protocols) {
            to.protocols.push_back({protocol.name, protocol.metadata});
        }
        to.assignment = classic_assignment(member, host.image());
        classic.add_member(std::move(to));
    }
    classic.protocol = classic.select_protocol();
    classic.leader = classic.members.begin()->first;
    const std::string id = classic.id();
    NewBatch batch;
    group->add_tombstones(batch.records);
    batch.records.push_back(classic.record(host.wall_now_ms()));
    QT_TRY(host.append(batch));
    ClassicGroup* made = state.find_classic(id);
    QT_ASSERT(made != nullptr);
    // The record names one protocol; the members know more.
    for (auto& [member_id, member] : classic.members) {
        if (ClassicMember* to = made->find_member(member_id); to != nullptr) {
            to->protocols = std::move(member.protocols);
        }
    }
    log_line(LogLevel::info, "group_downgraded", {{"group", id}});
    start_classic(state, *made, host);
    rebalance(state, *made, host);
    return true;
}

std::vector<std::byte> classic_assignment(const ConsumerMember& member,
                                          const metadata::Image& image) {
    protocol::ConsumerProtocolAssignment assignment;
    for (const auto& [id, partitions] : plain(member.progress.assigned)) {
        if (const metadata::TopicImage* topic = image.topic(id); topic != nullptr) {
            auto& to = assignment.assigned_partitions.emplace_back();
            to.topic = topic->name;
            to.partitions = partitions;
        }
    }
    const auto& classic = member.metadata.classic;
    const int16_t version = classic && !classic->protocols.empty()
                                ? protocol_version(classic->protocols.front().metadata)
                                : int16_t{0};
    return write_assignment(assignment, version);
}

} // namespace qtool::group
