#include "lib/base/crc32c.h"

#include <isa-l/crc.h>

namespace qtool {

uint32_t crc32c(ByteView bytes, uint32_t crc) {
    // ISA-L takes a length of int and neither complements the start nor the end value.
    constexpr size_t kStep = size_t{1} << 30;
    uint32_t state = ~crc;
    while (!bytes.empty()) {
        const size_t size = bytes.size() < kStep ? bytes.size() : kStep;
        // ISA-L's signature lacks const; it only reads.
        auto* data =
            reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data())); // NOLINT
        state = crc32_iscsi(data, static_cast<int>(size), state);
        bytes = bytes.subspan(size);
    }
    return ~state;
}

} // namespace qtool
