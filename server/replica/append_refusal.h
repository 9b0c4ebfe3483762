// What is told of a batch that a partition refused, beside the error.
#pragma once

#include "server/replica/requests.h"
#include "server/storage/log.h"

namespace qtool::replica {

/// The append of `batch` to `log` at this time ended with `code`, and nothing was appended.
AppendRefusal refusal_of(Code code, ByteView batch, const storage::Log& log,
                         const storage::LogConfig& config, WallTime now);

} // namespace qtool::replica
