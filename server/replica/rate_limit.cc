#include "server/replica/rate_limit.h"

#include <algorithm>

namespace qtool::replica {

namespace {

constexpr uint64_t kRateMax = uint64_t{1} << 40; // more is no limit to any disk

} // namespace

void RateLimit::set_rate(uint64_t bytes_per_second, MonoTime now) {
    refill(now);
    rate_ = bytes_per_second;
    if (rate_ < kRateMax) {
        left_ = std::min(left_, static_cast<int64_t>(rate_));
    }
}

void RateLimit::refill(MonoTime now) {
    const Duration passed = std::min<Duration>(now - filled_at_, 1s);
    filled_at_ = now;
    if (rate_ >= kRateMax) {
        left_ = 0;
        return;
    }
    const auto rate = static_cast<int64_t>(rate_);
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(passed).count();
    left_ = std::min(rate, left_ + rate / 1000 * us / 1000 + rate % 1000 * us / 1'000'000);
}

bool RateLimit::is_used_up(MonoTime now) {
    if (rate_ >= kRateMax) {
        return false;
    }
    refill(now);
    return left_ <= 0;
}

void RateLimit::take(uint64_t bytes, MonoTime now) {
    if (rate_ < kRateMax) {
        refill(now);
        left_ -= static_cast<int64_t>(std::min(bytes, kRateMax));
    }
}

} // namespace qtool::replica
