// The gate of a leader's append: is this batch what the topic accepts? Stateless; the core's
// scratch memory is shared by all logs of the core.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/protocol/record_batch.h"
#include "server/storage/log_config.h"

#include <string>
#include <vector>

namespace qtool::storage {

struct CheckedBatch {
    protocol::BatchHeader header;
    int64_t max_timestamp = protocol::kNoTimestamp; // the real one; the header's may lie
};

/// Changes nothing: the batch may come again. Errors: corrupt, invalid_record,
/// unsupported_compression, message_too_large, record_list_too_large, invalid_timestamp.
Result<CheckedBatch> check_append(ByteView batch, const LogConfig& config, WallTime now);

/// A record for which check_append refuses its batch.
struct RefusedRecord {
    int32_t index = 0; // in the batch
    std::string message;
};

/// All of them, in order (at most protocol::kListedRecordsMax): records without key in a compacted
/// topic, and with a time outside. Empty: the batch as a whole is refused, or it is not.
std::vector<RefusedRecord> refused_records(ByteView batch, const LogConfig& config, WallTime now);

/// The batch goes into the log: where the topic wants it, sets LogAppendTime or corrects
/// max_timestamp, in the bytes and in the header.
void set_batch_time(ByteSpan batch, const LogConfig& config, WallTime now, CheckedBatch& checked);

} // namespace qtool::storage
