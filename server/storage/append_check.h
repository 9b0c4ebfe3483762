// The gate of a leader's append: is this batch what the topic accepts? Changes only what the topic
// asks for: times. Stateless; the core's scratch memory is shared by all logs of the core.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/protocol/record_batch.h"
#include "server/storage/log_config.h"

namespace qtool::storage {

/// Checks `batch` and, where the topic wants it, sets LogAppendTime or corrects max_timestamp.
/// Returns the header as it then is. Errors: corrupt, invalid_record, unsupported_compression,
/// message_too_large, record_list_too_large, invalid_timestamp, invalid_txn_state.
Result<protocol::BatchHeader> check_append(ByteSpan batch, const LogConfig& config, WallTime now);

} // namespace qtool::storage
