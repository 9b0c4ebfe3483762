#include "server/broker/first_byte.h"

#include <string>

namespace qtool::broker {

Result<Protocol> recognize(std::byte first, ListenerKind listener) {
    const auto byte = static_cast<unsigned>(first);
    if (byte >= 'A' && byte <= 'Z') {
        if (listener == ListenerKind::kafka_only) {
            return Error(Code::malformed, "HTTP on a Kafka listener; see admin.listeners");
        }
        return Protocol::http;
    }
    if (byte <= 0x06) {
        if (listener == ListenerKind::http_only) {
            return Error(Code::malformed, "Kafka protocol on an admin listener; see listeners");
        }
        return Protocol::kafka;
    }
    if (byte == 0x16) {
        return Error(Code::malformed, "TLS handshake, but this broker does not speak TLS");
    }
    return Error(Code::malformed, "first byte " + std::to_string(byte) + " is of no protocol");
}

} // namespace qtool::broker
