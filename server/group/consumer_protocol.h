// What a classic consumer's metadata says: the topics it subscribed to. The bytes start with a
// version; any later one is read as the last known, and what follows is ignored.
// Source: SEMANTICS section 9, "Consumer protocol bytes".
#pragma once

#include "lib/base/bytes.h"

#include <optional>
#include <string_view>
#include <vector>

namespace qtool::group {

/// The protocol type of consumers, in JoinGroup.
inline constexpr std::string_view kConsumerProtocolType = "consumer";

/// Views into `metadata`. Nothing: not a subscription.
std::optional<std::vector<std::string_view>> subscribed_topics(ByteView metadata);

} // namespace qtool::group
