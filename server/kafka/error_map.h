// Our codes as Kafka's: one switch without default, so that the compiler names a forgotten one.
#pragma once

#include "lib/base/error.h"
#include "lib/protocol/kafka_error.h"

namespace qtool::kafka {

protocol::KafkaError kafka_error(Code code) noexcept;

/// The number on the wire.
inline int16_t error_code(Code code) noexcept {
    return static_cast<int16_t>(kafka_error(code));
}

} // namespace qtool::kafka
