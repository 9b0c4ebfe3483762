// What a classic consumer's metadata says: the topics it subscribed to. The bytes start with a
// version; any later one is read as the last known, and what follows is ignored.
// Source: SEMANTICS section 9, "Consumer protocol bytes".
#pragma once

#include "lib/base/bytes.h"
#include "lib/protocol/msg/consumer_protocol_assignment.h"
#include "lib/protocol/msg/consumer_protocol_subscription.h"

#include <optional>
#include <string_view>
#include <vector>

namespace qtool::group {

/// The protocol type of consumers, in JoinGroup.
inline constexpr std::string_view kConsumerProtocolType = "consumer";

/// Views into `metadata`. Nothing: not a subscription.
std::optional<std::vector<std::string_view>> subscribed_topics(ByteView metadata);

/// All of it. Views into the bytes. Nothing: not one.
std::optional<protocol::ConsumerProtocolSubscription> read_subscription(ByteView metadata);
std::optional<protocol::ConsumerProtocolAssignment> read_assignment(ByteView assignment);
/// The version that a subscription was written in, as far as it is known here; 0 when it is none.
int16_t protocol_version(ByteView metadata);
std::vector<std::byte> write_assignment(const protocol::ConsumerProtocolAssignment& assignment,
                                        int16_t version);

} // namespace qtool::group
