// OffsetMap: the latest offset of each key of a log, for compaction. Keys are known by a 128-bit
// keyed hash alone, so memory does not depend on their size; the key of the hash is secret, since
// whoever could make two keys collide could delete the record of another. Bounded; a value of one
// compaction, on the core of its log. Source: Aumasson, Bernstein, "SipHash", 2012 (128-bit form).
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/ids.h"

#include <array>
#include <cstdint>
#include <vector>

namespace qtool::storage {

struct HashSeed {
    uint64_t low = 0;
    uint64_t high = 0;
};
struct Hash128 {
    uint64_t low = 0;
    uint64_t high = 0;

    bool operator==(const Hash128&) const = default;
};
/// SipHash-2-4 with 128 bits of output.
Hash128 hash_key(HashSeed seed, ByteView key);

class OffsetMap {
public:
    /// Memory a key takes at worst, right after its table grew: 24 bytes at a load of 7/16.
    static constexpr uint64_t kBytesPerKey = 56;

    /// At least one key fits, whatever `bytes_max` is.
    OffsetMap(uint64_t bytes_max, HashSeed seed);

    /// `offset` is at or behind all given before. False: there is no room for one more key.
    [[nodiscard]] bool put(ByteView key, Offset offset);
    /// kNoOffset: the key was never put.
    [[nodiscard]] Offset latest(ByteView key) const;
    [[nodiscard]] uint64_t size() const { return count_; }

private:
    // Growing moves one table of many: a step stays short, however large the whole is.
    static constexpr size_t kTableCount = 256;

    struct Entry {
        Hash128 hash;
        int64_t offset = -1; // -1: free
    };
    struct Table {
        std::vector<Entry> entries; // size 0 or a power of two
        size_t count = 0;
    };
    static size_t place(const Table& table, const Hash128& hash);

    HashSeed seed_;
    uint64_t count_max_;
    uint64_t count_ = 0;
    std::array<Table, kTableCount> tables_;
};

} // namespace qtool::storage
