// Buckets: how much of its quotas each client has used, one table for all cores of a broker.
//
// A bucket holds `capacity` worth of its rate and fills at that rate. Its whole state is the time
// at which it is full again, so taking is one compare-and-swap and the cores share a limit exactly:
//
//   rate 100/s, capacity 10 s, full at t=0
//   t=0   take  500: full again at 5, allowed ahead 10: no wait
//   t=1   take 1000: full again at 15, 14 s ahead: wait 4 s, which is when it is 10 s ahead
//
// Thread-safe; lives in broker::Shared. See README.md for why it is no core's own.
#pragma once

#include "lib/base/time.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace qtool::quota {

/// Slots of the table, for clients that used something within the last capacity or so. Beyond,
/// those without a slot share one. 64 KiB.
inline constexpr size_t kSlotCount = 4096;
/// Slots a key may be in.
inline constexpr size_t kProbeMax = 16;
/// The longest debt that is remembered: a tiny quota and a large request would make years.
inline constexpr Duration kDebtMax = std::chrono::minutes(15);

struct Bucket {
    uint64_t key = 0;    // of quota kind and client; equal keys share a bucket
    double rate = 0;     // units a second, above 0
    Duration capacity{}; // >= 0
};

class Buckets {
public:
    Buckets();

    /// Takes `cost` units (>= 0) and says how long until the bucket is no longer overdrawn; 0: it
    /// is not.
    Duration take(const Bucket& bucket, double cost, MonoTime now);
    /// The same without taking.
    [[nodiscard]] Duration wait(const Bucket& bucket, MonoTime now);
    /// Takes unless the bucket is overdrawn already; else the wait, and nothing is taken. So one
    /// request may overdraw it, however large it is: none is refused for ever.
    Duration take_or_refuse(const Bucket& bucket, double cost, MonoTime now);

private:
    struct Slot {
        std::atomic<uint64_t> key{0};    // 0: never used
        std::atomic<int64_t> full_at{0}; // nanoseconds of MonoTime
    };
    Slot& slot_of(uint64_t key, int64_t now);

    std::unique_ptr<Slot[]> slots_; // kSlotCount, and one that the rest share
};

} // namespace qtool::quota
