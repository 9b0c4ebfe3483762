#include "lib/client/partitioner.h"

namespace qtool::client {

// Source: Kafka, clients/.../common/utils/Utils.java, murmur2.
uint32_t murmur2(ByteView key) noexcept {
    constexpr uint32_t kMix = 0x5bd1e995;
    constexpr int kShift = 24;
    const auto size = static_cast<uint32_t>(key.size());
    const auto at = [&](size_t i) { return static_cast<uint32_t>(key[i]); };
    uint32_t hash = 0x9747b28cu ^ size;
    size_t i = 0;
    for (; i + 4 <= key.size(); i += 4) {
        uint32_t k = at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24;
        k *= kMix;
        k ^= k >> kShift;
        k *= kMix;
        hash *= kMix;
        hash ^= k;
    }
    const size_t left = key.size() - i;
    if (left >= 3) {
        hash ^= at(i + 2) << 16;
    }
    if (left >= 2) {
        hash ^= at(i + 1) << 8;
    }
    if (left >= 1) {
        hash ^= at(i);
        hash *= kMix;
    }
    hash ^= hash >> 13;
    hash *= kMix;
    hash ^= hash >> 15;
    return hash;
}

} // namespace qtool::client
