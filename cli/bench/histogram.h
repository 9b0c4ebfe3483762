// Histogram: how often each latency came, in buckets that grow with the value, so that p99.99 of
// any number of records costs 60 KiB. Up to 255 every value has its own bucket; above, each
// doubling is cut into 128 buckets, so that a percentile is never too low and less than 1/128 (0.8
// %) too high:
//
//   value      0 .. 255   256 .. 511   512 .. 1023   2^k .. 2^(k+1) - 1
//   width             1            2             4   2^(k-7)
//
// Written by one thread; any thread may read it meanwhile and sees it a little late.
// Source of the idea: G. Tene, HdrHistogram.
#pragma once

#include "lib/base/counter.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace qtool::cli::bench {

class Histogram {
public:
    Histogram() : buckets_(kBucketCount) {}

    void record(uint64_t value);
    /// Adds all that `other` counted.
    void add(const Histogram& other);
    /// Takes away what `earlier`, an older state of the same, had counted. min() and max() stay.
    void subtract(const Histogram& earlier);

    [[nodiscard]] uint64_t count() const { return count_.value(); }
    /// Exact. 0 when nothing was recorded, like all below.
    [[nodiscard]] uint64_t min() const;
    [[nodiscard]] uint64_t max() const { return max_.value(); }
    [[nodiscard]] double mean() const;
    /// The lowest value that at least `per_million` millionths of all values do not pass (nearest
    /// rank), rounded up to the end of its bucket but never above max(). 0 < per_million <= 10^6.
    [[nodiscard]] uint64_t percentile(uint32_t per_million) const;

private:
    static constexpr uint32_t kStepBits = 7; // 2^7 buckets a doubling
    static constexpr size_t kStepCount = size_t{1} << kStepBits;
    static constexpr size_t kBucketCount = (64 - kStepBits + 1) * kStepCount;

    static size_t bucket_of(uint64_t value);
    static uint64_t highest_of(size_t bucket);

    std::vector<Counter> buckets_;
    Counter count_;
    Counter sum_;
    Counter lowest_plus_1_; // 0: nothing recorded yet
    Counter max_;
};

/// What reports name, as (label, millionths).
struct NamedPercentile {
    const char* name;
    uint32_t per_million;
};
inline constexpr std::array<NamedPercentile, 6> kPercentiles = {{{"p50", 500'000},
                                                                 {"p90", 900'000},
                                                                 {"p95", 950'000},
                                                                 {"p99", 990'000},
                                                                 {"p99.9", 999'000},
                                                                 {"p99.99", 999'900}}};

} // namespace qtool::cli::bench
