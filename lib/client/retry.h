// Backoff: how long to wait before trying again. Doubles with each failure up to a bound, with a
// jitter of a fifth either way so that many clients do not come back at once (KIP-580).
#pragma once

#include "lib/base/prng.h"
#include "lib/base/time.h"

#include <algorithm>
#include <cstdint>

namespace qtool::client {

struct Backoff {
    int64_t base_ms = 100;
    int64_t max_ms = 1000;

    /// The pause after the `failures`-th failure in a row (from 1).
    [[nodiscard]] Duration delay(uint32_t failures, Prng& prng) const {
        const uint32_t doublings = std::min<uint32_t>(failures > 0 ? failures - 1 : 0, 20);
        const int64_t wanted_ms = std::min(base_ms << doublings, std::max(base_ms, max_ms));
        const int64_t wanted_us = wanted_ms * 1000;
        return std::chrono::microseconds(wanted_us + prng.between(-wanted_us / 5, wanted_us / 5));
    }
};

} // namespace qtool::client
