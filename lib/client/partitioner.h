// Partitioner: which partition a record without one goes to, as Kafka's Java client decides: by the
// murmur2 hash of its key, or without a key the same partition until a batch is full (KIP-480).
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/prng.h"

#include <cstdint>

namespace qtool::client {

/// Kafka's variant of MurmurHash2: 32 bits, seed 0x9747b28c.
uint32_t murmur2(ByteView key) noexcept;

/// The partition of a key; partition_count > 0.
inline int32_t partition_of_key(ByteView key, int32_t partition_count) noexcept {
    return static_cast<int32_t>(murmur2(key) & 0x7fffffffu) % partition_count;
}

/// The partition for records without a key, one a topic.
class StickyPartition {
public:
    /// partition_count > 0; stays the same until move_on() or until the count shrinks below it.
    int32_t get(int32_t partition_count, Prng& prng) {
        if (current_ < 0 || current_ >= partition_count) {
            current_ = static_cast<int32_t>(prng.below(static_cast<uint64_t>(partition_count)));
        }
        return current_;
    }
    /// A batch is full: the next one goes elsewhere when there is an elsewhere.
    void move_on(int32_t partition_count, Prng& prng) {
        if (partition_count > 1) {
            const auto step =
                static_cast<int32_t>(1 + prng.below(static_cast<uint64_t>(partition_count) - 1));
            current_ = static_cast<int32_t>((int64_t{get(partition_count, prng)} + step) %
                                            partition_count);
        }
    }

private:
    int32_t current_ = -1;
};

} // namespace qtool::client
