#include "server/group/shard_state.h"

#include "server/group/classic_group.h"
#include "server/group/limits.h"

#include <algorithm>
#include <iterator>

namespace qtool::group {

std::string_view to_string(GroupKind kind) noexcept {
    switch (kind) {
    case GroupKind::classic:
        return "classic";
    case GroupKind::consumer:
        return "consumer";
    }
    QT_UNREACHABLE();
}

ClassicGroup* ShardState::find_classic(std::string_view group_id) {
    Group* group = find(group_id);
    return group != nullptr && group->kind() == GroupKind::classic
               ? static_cast<ClassicGroup*>(group)
               : nullptr;
}

ClassicGroup& ShardState::classic(std::string_view group_id) {
    if (ClassicGroup* group = find_classic(group_id); group != nullptr) {
        return *group;
    }
    remove_group(group_id);
    auto group = std::make_unique<ClassicGroup>(std::string(group_id));
    ClassicGroup& added = *group;
    groups.emplace(group_id, std::move(group));
    return added;
}

void ShardState::remove_group(std::string_view group_id) {
    const auto found = groups.find(group_id);
    if (found != groups.end()) {
        timers.cancel_group(group_id);
        groups.erase(found);
    }
}

bool ShardState::has_room() const {
    return groups.size() < kGroupsMax;
}

Result<void> append_in_batches(std::vector<coordinator::NewRecord> records,
                               coordinator::Host& host) {
    for (size_t begin = 0; begin < records.size(); begin += kTombstonesPerBatchMax) {
        const size_t end = std::min(records.size(), begin + kTombstonesPerBatchMax);
        coordinator::NewBatch batch;
        batch.records.assign(
            std::make_move_iterator(records.begin() + static_cast<ptrdiff_t>(begin)),
            std::make_move_iterator(records.begin() + static_cast<ptrdiff_t>(end)));
        QT_TRY(host.append(batch));
    }
    return {};
}

KafkaError append_error(Code code) noexcept {
    switch (code) {
    case Code::unknown_topic:
    case Code::unknown_topic_id:
    case Code::unknown_partition:
    case Code::not_enough_replicas:
    case Code::not_enough_replicas_after_append:
    case Code::timed_out:
    case Code::coordinator_not_available:
    case Code::overloaded:
        return KafkaError::coordinator_not_available;
    case Code::not_leader:
    case Code::fenced_leader_epoch:
    case Code::not_coordinator:
    case Code::storage_io:
    case Code::storage_full:
    case Code::storage_offline:
    case Code::shutting_down:
        return KafkaError::not_coordinator;
    case Code::coordinator_loading:
        return KafkaError::coordinator_load_in_progress;
    case Code::invalid_producer_epoch:
        return KafkaError::invalid_producer_epoch;
    case Code::invalid_txn_state:
        return KafkaError::invalid_txn_state;
    default: // too large, and what an append never says: nothing a client could do about
        return KafkaError::unknown_server_error;
    }
}

std::string make_member_id(std::string_view prefix, coordinator::Host& host) {
    const uint64_t high = host.random().next();
    const uint64_t low = host.random().next();
    const Uuid uuid = make_uuid(high, low);
    std::string id(prefix.substr(0, kMemberIdPrefixSizeMax));
    id += '-';
    constexpr std::string_view kHex = "0123456789abcdef";
    for (size_t i = 0; i < uuid.bytes.size(); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) { // as Java prints UUIDs
            id += '-';
        }
        id += kHex[uuid.bytes[i] >> 4];
        id += kHex[uuid.bytes[i] & 15];
    }
    return id;
}

} // namespace qtool::group
