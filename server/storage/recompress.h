// A produced batch in the codec its topic wants (compression.type other than producer). Stateless.
#pragma once

#include "lib/base/result.h"
#include "lib/protocol/record_batch.h"
#include "server/storage/log_config.h"

#include <optional>
#include <vector>

namespace qtool::storage {

/// The batch written anew, and `header` as it then is; nothing when it is as the topic wants it. A
/// batch that has the codec already is not touched, whatever its level. REQUIRES: the batch passed
/// check_append. Errors: message_too_large, record_list_too_large (in the new codec it is larger
/// than the topic takes); malformed, internal.
Result<std::optional<std::vector<std::byte>>>
recompress(ByteView batch, protocol::BatchHeader& header, const LogConfig& config);

} // namespace qtool::storage
