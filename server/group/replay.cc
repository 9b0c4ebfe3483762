#include "server/group/replay.h"

#include "lib/protocol/msg/group_metadata_record.h"
#include "lib/protocol/msg/offset_commit_record.h"
#include "server/group/classic_group.h"
#include "server/group/consumer_group_records.h"

namespace qtool::group {

namespace {

using coordinator::Record;
using protocol::GroupMetadataKey;
using protocol::GroupMetadataValue;
using protocol::OffsetCommitKey;
using protocol::OffsetCommitValue;

// Offsets had type 0 before they had type 1; the fields are the same.
constexpr int16_t kOldOffsetCommitType = 0;
constexpr size_t kTypeSize = 2;

template <class Value>
Result<Value> decode_value(ByteView value) {
    if (value.size() < kTypeSize) {
        return Error(Code::malformed, "a group record's value has no version");
    }
    return Value::decode(value.subspan(kTypeSize), load_be<int16_t>(value.data()));
}

Result<void> replay_offset(ShardState& state, const Record& record, ByteView key_fields) {
    QT_TRY_ASSIGN(const OffsetCommitKey key, OffsetCommitKey::decode(key_fields, 0));
    if (!record.value) {
        state.offsets.erase(key.group, key.topic, key.partition);
        return {};
    }
    QT_TRY_ASSIGN(const OffsetCommitValue value, decode_value<OffsetCommitValue>(*record.value));
    if (state.find(key.group) == nullptr) {
        state.classic(key.group); // a group of offsets alone
    }
    CommittedOffset offset{.position = record.offset,
                           .offset = value.offset,
                           .leader_epoch = value.leader_epoch,
                           .metadata = std::string(value.metadata),
                           .commit_ms = value.commit_timestamp,
                           .expire_ms = value.expire_timestamp,
                           .topic_id = value.topic_id};
    state.counts.offset_commits += state.is_loaded ? 1 : 0;
    state.offsets.put(key.group, key.topic, key.partition, std::move(offset), record.producer_id);
    return {};
}

Result<void> replay_classic(ShardState& state, const Record& record, ByteView key_fields) {
    QT_TRY_ASSIGN(const GroupMetadataKey key, GroupMetadataKey::decode(key_fields, 0));
    if (!record.value) {
        // The tombstone may precede the records of another kind under the same id, which a group
        // that changed its kind wrote; by then the group is of that kind.
        if (state.find_classic(key.group) != nullptr) {
            state.remove_group(key.group);
        }
        return {};
    }
    QT_TRY_ASSIGN(const GroupMetadataValue value, decode_value<GroupMetadataValue>(*record.value));
    state.classic(key.group).apply(value);
    return {};
}

} // namespace

Result<void> replay_record(ShardState& state, const Record& record) {
    if (record.key.size() < kTypeSize) {
        return Error(Code::malformed, "a group record's key has no type");
    }
    const ByteView fields = record.key.subspan(kTypeSize);
    const auto type = load_be<int16_t>(record.key.data());
    if (is_consumer_group_record(type)) {
        return replay_consumer_group(state, type, record);
    }
    switch (type) {
    case kOldOffsetCommitType:
    case OffsetCommitKey::kRecordType:
        return replay_offset(state, record, fields);
    case GroupMetadataKey::kRecordType:
        return replay_classic(state, record, fields);
    default:
        return {}; // of a later version: skipped, as Kafka does
    }
}

} // namespace qtool::group
