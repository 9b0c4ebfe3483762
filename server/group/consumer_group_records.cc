#include "server/group/consumer_group_records.h"

#include "lib/protocol/msg/consumer_group_current_member_assignment_record.h"
#include "lib/protocol/msg/consumer_group_member_metadata_record.h"
#include "lib/protocol/msg/consumer_group_metadata_record.h"
#include "lib/protocol/msg/consumer_group_partition_metadata_record.h"
#include "lib/protocol/msg/consumer_group_regular_expression_record.h"
#include "lib/protocol/msg/consumer_group_target_assignment_member_record.h"
#include "lib/protocol/msg/consumer_group_target_assignment_metadata_record.h"
#include "server/group/replay.h"
#include "server/group/shard_state.h"

namespace qtool::group {
namespace {

using coordinator::NewRecord;
using coordinator::Record;
using protocol::ConsumerGroupCurrentMemberAssignmentKey;
using protocol::ConsumerGroupCurrentMemberAssignmentValue;
using protocol::ConsumerGroupMemberMetadataKey;
using protocol::ConsumerGroupMemberMetadataValue;
using protocol::ConsumerGroupMetadataKey;
using protocol::ConsumerGroupMetadataValue;
using protocol::ConsumerGroupPartitionMetadataKey;
using protocol::ConsumerGroupRegularExpressionKey;
using protocol::ConsumerGroupRegularExpressionValue;
using protocol::ConsumerGroupTargetAssignmentMemberKey;
using protocol::ConsumerGroupTargetAssignmentMemberValue;
using protocol::ConsumerGroupTargetAssignmentMetadataKey;
using protocol::ConsumerGroupTargetAssignmentMetadataValue;

constexpr int16_t kValueVersion = 0;

template <class Key, class Value>
NewRecord make_record(const Key& key, const Value& value) {
    return group::make_record(key, value, kValueVersion);
}

template <class Key>
Result<Key> decode_key(const Record& record) {
    return Key::decode(record.key.subspan(sizeof(int16_t)), 0);
}

template <class Value>
Result<Value> decode_value(const Record& record) {
    const ByteView bytes = *record.value;
    if (bytes.size() < sizeof(int16_t)) {
        return Error(Code::malformed, "value of a consumer group's record: no version");
    }
    return Value::decode(bytes.subspan(sizeof(int16_t)), load_be<int16_t>(bytes.data()));
}

template <class Out>
void write_epochs(const EpochAssignment& from, std::vector<Out>& to, bool with_epochs) {
    for (const auto& [topic, entries] : from) {
        Out& out = to.emplace_back();
        out.topic_id = topic;
        if (with_epochs) {
            out.assignment_epochs.emplace();
        }
        for (const auto& [partition, epoch] : entries) {
            out.partitions.push_back(partition);
            if (with_epochs) {
                out.assignment_epochs->push_back(epoch);
            }
        }
    }
}

// Records of older brokers have no epochs; the member's own then stands for them.
template <class In>
Result<EpochAssignment> read_epochs(const std::vector<In>& from, int32_t member_epoch) {
    EpochAssignment to;
    for (const In& in : from) {
        const bool has_epochs = in.assignment_epochs && !in.assignment_epochs->empty();
        if (has_epochs && in.assignment_epochs->size() != in.partitions.size()) {
            return Error(Code::malformed, "assignment epochs do not match the partitions");
        }
        for (size_t i = 0; i < in.partitions.size(); i++) {
            to[in.topic_id][in.partitions[i]] =
                has_epochs ? (*in.assignment_epochs)[i] : member_epoch;
        }
    }
    return to;
}

std::optional<std::string> owned(const std::optional<std::string_view>& text) {
    return text ? std::optional<std::string>(std::string(*text)) : std::nullopt;
}

std::optional<std::string_view> view(const std::optional<std::string>& text) {
    return text ? std::optional<std::string_view>(*text) : std::nullopt;
}

MemberMetadata read_metadata(const ConsumerGroupMemberMetadataValue& value) {
    MemberMetadata metadata;
    metadata.instance_id = owned(value.instance_id);
    metadata.rack_id = owned(value.rack_id);
    metadata.client_id = value.client_id;
    metadata.client_host = value.client_host;
    metadata.topic_names.insert(value.subscribed_topic_names.begin(),
                                value.subscribed_topic_names.end());
    metadata.topic_regex = value.subscribed_topic_regex.value_or(std::string_view{});
    metadata.rebalance_timeout_ms = value.rebalance_timeout_ms;
    metadata.assignor = owned(value.server_assignor);
    if (value.classic_member_metadata) {
        ClassicMetadata& classic = metadata.classic.emplace();
        classic.session_timeout_ms = value.classic_member_metadata->session_timeout_ms;
        for (const auto& from : value.classic_member_metadata->supported_protocols) {
            classic.protocols.push_back(ClassicMetadata::Protocol{
                std::string(from.name), {from.metadata.begin(), from.metadata.end()}});
        }
    }
    return metadata;
}

ConsumerGroup* find_consumer(ShardState& state, std::string_view group_id) {
    Group* group = state.find(group_id);
    return group == nullptr || group->kind() != GroupKind::consumer
               ? nullptr
               : static_cast<ConsumerGroup*>(group);
}

// A record about a group that is not there makes it; a group of another kind gave its name up by
// a record before this one, or never had members.
ConsumerGroup& find_or_make(ShardState& state, std::string_view group_id) {
    ConsumerGroup* group = find_consumer(state, group_id);
    if (group == nullptr) {
        if (state.find(group_id) != nullptr) {
            state.remove_group(group_id);
        }
        auto made = std::make_unique<ConsumerGroup>(std::string(group_id));
        group = made.get();
        state.groups.emplace(std::string(group_id), std::move(made));
    }
    return *group;
}

template <class Key, class Value, class Apply, class Remove>
Result<void> replay_as(ShardState& state, const Record& record, Apply&& apply, Remove&& remove) {
    QT_TRY_ASSIGN(const Key key, decode_key<Key>(record));
    if (!record.value) {
        if (ConsumerGroup* group = find_consumer(state, key.group_id); group != nullptr) {
            remove(*group, key);
        }
        return {};
    }
    QT_TRY_ASSIGN(const Value value, decode_value<Value>(record));
    return apply(find_or_make(state, key.group_id), key, value);
}

Result<void> replay_group(ShardState& state, const Record& record) {
    return replay_as<ConsumerGroupMetadataKey, ConsumerGroupMetadataValue>(
        state, record,
        [](ConsumerGroup& group, const auto&, const auto& value) -> Result<void> {
            group.replay_epoch(value.epoch, value.metadata_hash);
            return {};
        },
        [&state](ConsumerGroup&, const ConsumerGroupMetadataKey& key) {
            state.remove_group(key.group_id);
        });
}

Result<void> replay_member(ShardState& state, const Record& record) {
    return replay_as<ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue>(
        state, record,
        [](ConsumerGroup& group, const auto& key, const auto& value) -> Result<void> {
            group.replay_member(key.member_id, read_metadata(value));
            return {};
        },
        [](ConsumerGroup& group, const auto& key) { group.replay_member_gone(key.member_id); });
}

Result<void> replay_target_epoch(ShardState& state, const Record& record) {
    return replay_as<ConsumerGroupTargetAssignmentMetadataKey,
                     ConsumerGroupTargetAssignmentMetadataValue>(
        state, record,
        [](ConsumerGroup& group, const auto&, const auto& value) -> Result<void> {
            group.replay_target_epoch(value.assignment_epoch);
            return {};
        },
        [](ConsumerGroup& group, const auto&) { group.replay_target_epoch(0); });
}

Result<void> replay_target(ShardState& state, const Record& record) {
    return replay_as<ConsumerGroupTargetAssignmentMemberKey,
                     ConsumerGroupTargetAssignmentMemberValue>(
        state, record,
        [](ConsumerGroup& group, const auto& key, const auto& value) -> Result<void> {
            Assignment target;
            for (const auto& topic : value.topic_partitions) {
                target[topic.topic_id] = topic.partitions;
            }
            group.replay_target(key.member_id, normalized(std::move(target)));
            return {};
        },
        [](ConsumerGroup& group, const auto& key) { group.replay_target_gone(key.member_id); });
}

Result<void> replay_progress(ShardState& state, const Record& record) {
    return replay_as<ConsumerGroupCurrentMemberAssignmentKey,
                     ConsumerGroupCurrentMemberAssignmentValue>(
        state, record,
        [](ConsumerGroup& group, const auto& key, const auto& value) -> Result<void> {
            if (value.state < 0 || value.state > static_cast<int8_t>(MemberState::unreleased)) {
                return Error(Code::malformed, "state of a member: unknown");
            }
            MemberProgress progress;
            progress.epoch = value.member_epoch;
            progress.previous_epoch = value.previous_member_epoch;
            progress.state = static_cast<MemberState>(value.state);
            QT_TRY_ASSIGN(progress.assigned,
                          read_epochs(value.assigned_partitions, value.member_epoch));
            QT_TRY_ASSIGN(progress.revoking,
                          read_epochs(value.partitions_pending_revocation, value.member_epoch));
            group.replay_progress(key.member_id, std::move(progress));
            return {};
        },
        [](ConsumerGroup& group, const auto& key) {
            if (group.member(key.member_id) != nullptr) {
                group.replay_progress(key.member_id, {});
            }
        });
}

Result<void> replay_regex(ShardState& state, const Record& record) {
    return replay_as<ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue>(
        state, record,
        [](ConsumerGroup& group, const auto& key, const auto& value) -> Result<void> {
            ResolvedRegex resolved;
            resolved.topics.insert(value.topics.begin(), value.topics.end());
            resolved.revision = value.version_;
            resolved.timestamp_ms = value.timestamp;
            group.replay_regex(key.regular_expression, std::move(resolved));
            return {};
        },
        [](ConsumerGroup& group, const auto& key) {
            group.replay_regex_gone(key.regular_expression);
        });
}

} // namespace

NewRecord group_record(std::string_view group, int32_t epoch, int64_t metadata_hash) {
    ConsumerGroupMetadataValue value;
    value.epoch = epoch;
    value.metadata_hash = metadata_hash;
    return make_record(ConsumerGroupMetadataKey{group}, value);
}

NewRecord group_tombstone(std::string_view group) {
    return make_tombstone(ConsumerGroupMetadataKey{group});
}

NewRecord member_record(std::string_view group, std::string_view member,
                        const MemberMetadata& metadata) {
    ConsumerGroupMemberMetadataValue value;
    value.instance_id = view(metadata.instance_id);
    value.rack_id = view(metadata.rack_id);
    value.client_id = metadata.client_id;
    value.client_host = metadata.client_host;
    value.subscribed_topic_names.assign(metadata.topic_names.begin(), metadata.topic_names.end());
    value.subscribed_topic_regex = metadata.topic_regex;
    value.rebalance_timeout_ms = metadata.rebalance_timeout_ms;
    value.server_assignor = view(metadata.assignor);
    value.classic_member_metadata.reset();
    if (metadata.classic) {
        auto& classic = value.classic_member_metadata.emplace();
        classic.session_timeout_ms = metadata.classic->session_timeout_ms;
        for (const ClassicMetadata::Protocol& from : metadata.classic->protocols) {
            auto& to = classic.supported_protocols.emplace_back();
            to.name = from.name;
            to.metadata = from.metadata;
        }
    }
    return make_record(ConsumerGroupMemberMetadataKey{group, member}, value);
}

NewRecord member_tombstone(std::string_view group, std::string_view member) {
    return make_tombstone(ConsumerGroupMemberMetadataKey{group, member});
}

NewRecord target_epoch_record(std::string_view group, int32_t epoch, int64_t timestamp_ms) {
    ConsumerGroupTargetAssignmentMetadataValue value;
    value.assignment_epoch = epoch;
    value.assignment_timestamp = timestamp_ms;
    return make_record(ConsumerGroupTargetAssignmentMetadataKey{group}, value);
}

NewRecord target_epoch_tombstone(std::string_view group) {
    return make_tombstone(ConsumerGroupTargetAssignmentMetadataKey{group});
}

NewRecord target_record(std::string_view group, std::string_view member, const Assignment& target) {
    ConsumerGroupTargetAssignmentMemberValue value;
    for (const auto& [topic, partitions] : target) {
        auto& to = value.topic_partitions.emplace_back();
        to.topic_id = topic;
        to.partitions = partitions;
    }
    return make_record(ConsumerGroupTargetAssignmentMemberKey{group, member}, value);
}

NewRecord target_tombstone(std::string_view group, std::string_view member) {
    return make_tombstone(ConsumerGroupTargetAssignmentMemberKey{group, member});
}

NewRecord progress_record(std::string_view group, std::string_view member,
                          const MemberProgress& progress) {
    ConsumerGroupCurrentMemberAssignmentValue value;
    value.member_epoch = progress.epoch;
    value.previous_member_epoch = progress.previous_epoch;
    value.state = static_cast<int8_t>(progress.state);
    write_epochs(progress.assigned, value.assigned_partitions, true);
    write_epochs(progress.revoking, value.partitions_pending_revocation, true);
    return make_record(ConsumerGroupCurrentMemberAssignmentKey{group, member}, value);
}

NewRecord progress_tombstone(std::string_view group, std::string_view member) {
    return make_tombstone(ConsumerGroupCurrentMemberAssignmentKey{group, member});
}

NewRecord regex_record(std::string_view group, std::string_view regex,
                       const ResolvedRegex& resolved) {
    ConsumerGroupRegularExpressionValue value;
    value.topics.assign(resolved.topics.begin(), resolved.topics.end());
    value.version_ = resolved.revision;
    value.timestamp = resolved.timestamp_ms;
    return make_record(ConsumerGroupRegularExpressionKey{group, regex}, value);
}

NewRecord regex_tombstone(std::string_view group, std::string_view regex) {
    return make_tombstone(ConsumerGroupRegularExpressionKey{group, regex});
}

void add_member_tombstones(std::string_view group, std::string_view member,
                           std::vector<NewRecord>& records) {
    records.push_back(progress_tombstone(group, member));
    records.push_back(target_tombstone(group, member));
    records.push_back(member_tombstone(group, member));
}

bool is_consumer_group_record(int16_t type) {
    switch (type) {
    case ConsumerGroupMetadataKey::kRecordType:
    case ConsumerGroupPartitionMetadataKey::kRecordType:
    case ConsumerGroupMemberMetadataKey::kRecordType:
    case ConsumerGroupTargetAssignmentMetadataKey::kRecordType:
    case ConsumerGroupTargetAssignmentMemberKey::kRecordType:
    case ConsumerGroupCurrentMemberAssignmentKey::kRecordType:
    case ConsumerGroupRegularExpressionKey::kRecordType:
        return true;
    default:
        return false;
    }
}

Result<void> replay_consumer_group(ShardState& state, int16_t type, const Record& record) {
    switch (type) {
    case ConsumerGroupMetadataKey::kRecordType:
        return replay_group(state, record);
    case ConsumerGroupMemberMetadataKey::kRecordType:
        return replay_member(state, record);
    case ConsumerGroupTargetAssignmentMetadataKey::kRecordType:
        state.counts.rebalances += state.is_loaded && record.value ? 1 : 0;
        return replay_target_epoch(state, record);
    case ConsumerGroupTargetAssignmentMemberKey::kRecordType:
        return replay_target(state, record);
    case ConsumerGroupCurrentMemberAssignmentKey::kRecordType:
        return replay_progress(state, record);
    case ConsumerGroupRegularExpressionKey::kRecordType:
        return replay_regex(state, record);
    default: // the topics as an older broker saw them: this one looks at the image
        return {};
    }
}

} // namespace qtool::group
