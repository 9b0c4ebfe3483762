#include "server/quota/buckets.h"

#include "lib/base/assert.h"

#include <algorithm>

namespace qtool::quota {

namespace {

int64_t nanoseconds(MonoTime at) {
    return at.time_since_epoch().count();
}

int64_t cost_of(const Bucket& bucket, double cost) {
    QT_ASSERT(bucket.rate > 0);
    QT_ASSERT(cost >= 0);
    const double time = cost / bucket.rate * 1e9;
    return static_cast<int64_t>(std::min(time, static_cast<double>(kDebtMax.count())));
}

Duration wait_of(const Bucket& bucket, int64_t full_at, int64_t now) {
    return Duration(std::max<int64_t>(0, full_at - now - bucket.capacity.count()));
}

} // namespace

Buckets::Buckets() : slots_(std::make_unique<Slot[]>(kSlotCount + 1)) {}

// The slot of the key, or one whose bucket is full: a full bucket is as good as none. Two cores
// that want the same free slot at the same time may both write it once; that costs one of them what
// it took then, and nothing else.
Buckets::Slot& Buckets::slot_of(uint64_t key, int64_t now) {
    key = key == 0 ? 1 : key;
    Slot* reusable = nullptr;
    for (size_t probe = 0; probe < kProbeMax; probe++) {
        Slot& slot = slots_[(key + probe) % kSlotCount];
        const uint64_t found = slot.key.load(std::memory_order_relaxed);
        if (found == key) {
            return slot;
        }
        const bool is_free = found == 0 || slot.full_at.load(std::memory_order_relaxed) <= now;
        if (reusable == nullptr && is_free) {
            reusable = &slot;
        }
    }
    if (reusable == nullptr) {
        return slots_[kSlotCount];
    }
    reusable->key.store(key, std::memory_order_relaxed);
    return *reusable;
}

Duration Buckets::take(const Bucket& bucket, double cost, MonoTime at) {
    const int64_t now = nanoseconds(at);
    const int64_t time = cost_of(bucket, cost);
    const int64_t latest = now + bucket.capacity.count() + kDebtMax.count();
    Slot& slot = slot_of(bucket.key, now);
    int64_t before = slot.full_at.load(std::memory_order_relaxed);
    int64_t after = 0;
    do {
        after = std::min(std::max(before, now) + time, latest);
    } while (!slot.full_at.compare_exchange_weak(before, after, std::memory_order_relaxed));
    return wait_of(bucket, after, now);
}

Duration Buckets::wait(const Bucket& bucket, MonoTime at) {
    const int64_t now = nanoseconds(at);
    return wait_of(bucket, slot_of(bucket.key, now).full_at.load(std::memory_order_relaxed), now);
}

Duration Buckets::take_or_refuse(const Bucket& bucket, double cost, MonoTime at) {
    const Duration owed = wait(bucket, at);
    if (owed == Duration{}) {
        take(bucket, cost, at);
    }
    return owed;
}

} // namespace qtool::quota
