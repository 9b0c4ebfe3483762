// The record types of __consumer_offsets: what each does to the state when it is replayed.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/result.h"
#include "server/coordinator/machine.h"
#include "server/group/shard_state.h"

namespace qtool::group {

/// Types this version does not know are skipped. Errors: malformed, unsupported_version.
Result<void> replay_record(ShardState& state, const coordinator::Record& record);

/// Encodes key and value; no value: a tombstone. `Key` and `Value` are generated record types.
template <class Key>
coordinator::NewRecord make_tombstone(const Key& key) {
    ByteWriter writer;
    writer.be<int16_t>(Key::kRecordType);
    key.encode(writer, Key::kVersionMin);
    return {writer.take(), std::nullopt};
}
template <class Key, class Value>
coordinator::NewRecord make_record(const Key& key, const Value& value, int16_t version) {
    coordinator::NewRecord record = make_tombstone(key);
    ByteWriter writer;
    writer.be<int16_t>(version);
    value.encode(writer, version);
    record.value = writer.take();
    return record;
}

} // namespace qtool::group
