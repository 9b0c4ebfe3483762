// Prng: xoshiro256** (Blackman, Vigna 2018), seeded by splitmix64. One per node or client machine,
// never shared, so that a run repeats from its seed. Not for secrets.
#pragma once

#include "lib/base/assert.h"

#include <cstdint>

namespace qtool {

class Prng {
public:
    explicit Prng(uint64_t seed) {
        for (uint64_t& word : state_) {
            seed += 0x9e3779b97f4a7c15ull;
            uint64_t z = seed;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
            z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
            word = z ^ (z >> 31);
        }
    }
    uint64_t next() {
        const uint64_t result = rotate(state_[1] * 5, 7) * 9;
        const uint64_t t = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = rotate(state_[3], 45);
        return result;
    }
    /// Uniform in [0, bound); bound > 0. The modulo bias is below 2^-32 for bounds below 2^32.
    uint64_t below(uint64_t bound) {
        QT_ASSERT(bound > 0);
        return next() % bound;
    }
    /// Uniform in [low, high].
    int64_t between(int64_t low, int64_t high) {
        QT_ASSERT(low <= high);
        return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
    }
    /// True in `per_million` of a million calls.
    bool chance(uint32_t per_million) { return below(1'000'000) < per_million; }

private:
    static uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

    uint64_t state_[4];
};

} // namespace qtool
