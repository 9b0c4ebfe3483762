// Which protocol a connection speaks, from its first byte: one port serves all.
#pragma once

#include "lib/base/result.h"
#include "server/broker/shared.h"

namespace qtool::broker {

enum class Protocol : uint8_t { kafka, http };

/// 'A'..'Z' is an HTTP method; 0x00..0x06 the highest byte of a Kafka frame length up to 100 MiB;
/// 0x16 a TLS handshake, refused until TLS is built. Errors: malformed with the reason to close.
Result<Protocol> recognize(std::byte first, ListenerKind listener);

} // namespace qtool::broker
