// CRC-32C (Castagnoli), the checksum of Kafka's record batches and of our own files. Uses ISA-L.
#pragma once

#include "lib/base/bytes.h"

#include <cstdint>

namespace qtool {

/// The checksum of `bytes`, continuing from `crc` (0 to start).
uint32_t crc32c(ByteView bytes, uint32_t crc = 0);

} // namespace qtool
