#include "server/storage/compaction_map.h"

#include <algorithm>
#include <bit>

namespace qtool::storage {

namespace {

constexpr size_t kTableSizeMin = 16;

uint64_t load_le64(const std::byte* at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= static_cast<uint64_t>(at[i]) << (8 * i);
    }
    return value;
}

struct SipState {
    uint64_t v0;
    uint64_t v1;
    uint64_t v2;
    uint64_t v3;

    void rounds(int count) {
        for (int i = 0; i < count; i++) {
            v0 += v1;
            v1 = std::rotl(v1, 13) ^ v0;
            v0 = std::rotl(v0, 32);
            v2 += v3;
            v3 = std::rotl(v3, 16) ^ v2;
            v0 += v3;
            v3 = std::rotl(v3, 21) ^ v0;
            v2 += v1;
            v1 = std::rotl(v1, 17) ^ v2;
            v2 = std::rotl(v2, 32);
        }
    }
    void take(uint64_t word) {
        v3 ^= word;
        rounds(2);
        v0 ^= word;
    }
    [[nodiscard]] uint64_t sum() const { return v0 ^ v1 ^ v2 ^ v3; }
};

} // namespace

Hash128 hash_key(HashSeed seed, ByteView key) {
    SipState state{0x736f6d6570736575u ^ seed.low, 0x646f72616e646f6du ^ seed.high ^ 0xee,
                   0x6c7967656e657261u ^ seed.low, 0x7465646279746573u ^ seed.high};
    const size_t whole = key.size() & ~size_t{7};
    for (size_t at = 0; at < whole; at += 8) {
        state.take(load_le64(key.data() + at, 8));
    }
    state.take((static_cast<uint64_t>(key.size()) << 56) |
               load_le64(key.data() + whole, key.size() - whole));
    Hash128 hash;
    state.v2 ^= 0xee;
    state.rounds(4);
    hash.low = state.sum();
    state.v1 ^= 0xdd;
    state.rounds(4);
    hash.high = state.sum();
    return hash;
}

OffsetMap::OffsetMap(uint64_t bytes_max, HashSeed seed)
    : seed_(seed),
      count_max_(std::max<uint64_t>(1, bytes_max / kBytesPerKey)) {}

// Where the hash is, or the free entry where it would go.
size_t OffsetMap::place(const Table& table, const Hash128& hash) {
    const size_t mask = table.entries.size() - 1;
    size_t at = static_cast<size_t>(hash.high) & mask;
    while (table.entries[at].offset >= 0 && table.entries[at].hash != hash) {
        at = (at + 1) & mask;
    }
    return at;
}

bool OffsetMap::put(ByteView key, Offset offset) {
    const Hash128 hash = hash_key(seed_, key);
    Table& table = tables_[hash.low % kTableCount];
    if (!table.entries.empty()) {
        Entry& entry = table.entries[place(table, hash)];
        if (entry.offset >= 0) {
            entry.offset = std::max(entry.offset, offset.value());
            return true;
        }
    }
    if (count_ >= count_max_) {
        return false;
    }
    if ((table.count + 1) * 8 > table.entries.size() * 7) {
        Table larger;
        larger.entries.resize(std::max(kTableSizeMin, table.entries.size() * 2));
        larger.count = table.count;
        for (const Entry& entry : table.entries) {
            if (entry.offset >= 0) {
                larger.entries[place(larger, entry.hash)] = entry;
            }
        }
        table = std::move(larger);
    }
    table.entries[place(table, hash)] = Entry{hash, offset.value()};
    table.count++;
    count_++;
    return true;
}

Offset OffsetMap::latest(ByteView key) const {
    const Hash128 hash = hash_key(seed_, key);
    const Table& table = tables_[hash.low % kTableCount];
    if (table.entries.empty()) {
        return kNoOffset;
    }
    const Entry& entry = table.entries[place(table, hash)];
    return entry.offset >= 0 ? Offset(entry.offset) : kNoOffset;
}

} // namespace qtool::storage
