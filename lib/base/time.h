// Two times that must not be mixed: MonoTime for waiting, WallTime for what records carry.
#pragma once

#include <chrono>
#include <cstdint>

namespace qtool {

using Duration = std::chrono::nanoseconds;

struct MonoClockTag {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
};
struct WallClockTag {
    using duration = std::chrono::milliseconds;
    using rep = duration::rep;
    using period = duration::period;
};

/// Nanoseconds since an arbitrary start; never falls.
using MonoTime = std::chrono::time_point<MonoClockTag, std::chrono::nanoseconds>;
/// Milliseconds since 1970-01-01T00:00Z, Kafka's unit; may jump.
using WallTime = std::chrono::time_point<WallClockTag, std::chrono::milliseconds>;

inline constexpr MonoTime kMonoNever = MonoTime::max();

/// An option in milliseconds as a Duration. People write 2^63 - 1 for "never"; a century stands for
/// that, so that adding it to now does not overflow.
constexpr Duration clamped_ms(int64_t ms) {
    constexpr int64_t kCenturyMs = 100LL * 366 * 24 * 3600 * 1000;
    return std::chrono::milliseconds(ms < -kCenturyMs  ? -kCenturyMs
                                     : ms > kCenturyMs ? kCenturyMs
                                                       : ms);
}

using std::chrono::duration_cast;
using namespace std::chrono_literals;

} // namespace qtool
