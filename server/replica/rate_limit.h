// RateLimit: bytes a second that replication may use (KIP-73), of one core and one direction. What
// is over the rate is used first and paid for by waiting. A value of Manager, on its core.
#pragma once

#include "lib/base/time.h"

#include <cstdint>

namespace qtool::replica {

class RateLimit {
public:
    /// UINT64_MAX: without limit. 0: nothing at all.
    void set_rate(uint64_t bytes_per_second, MonoTime now);
    /// Nothing more for now.
    [[nodiscard]] bool is_used_up(MonoTime now);
    void take(uint64_t bytes, MonoTime now);

private:
    void refill(MonoTime now);

    uint64_t rate_ = UINT64_MAX;
    int64_t left_ = 0; // at most what a second gives; below 0: to be waited for
    MonoTime filled_at_{};
};

} // namespace qtool::replica
