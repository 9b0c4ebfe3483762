// Histogram: how long things took, in fixed buckets from 100 µs to 10 s. Written by one core, read
// by any, as a Counter is: an observation is two or three plain stores.
#pragma once

#include "lib/base/counter.h"
#include "lib/base/time.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qtool::metrics {

class Histogram {
public:
    struct Bound {
        int64_t ns;
        std::string_view seconds; // as Prometheus writes it in the label `le`
    };
    static constexpr std::array<Bound, 16> kBounds{{{100'000, "0.0001"},
                                                    {250'000, "0.00025"},
                                                    {500'000, "0.0005"},
                                                    {1'000'000, "0.001"},
                                                    {2'500'000, "0.0025"},
                                                    {5'000'000, "0.005"},
                                                    {10'000'000, "0.01"},
                                                    {25'000'000, "0.025"},
                                                    {50'000'000, "0.05"},
                                                    {100'000'000, "0.1"},
                                                    {250'000'000, "0.25"},
                                                    {500'000'000, "0.5"},
                                                    {1'000'000'000, "1"},
                                                    {2'500'000'000, "2.5"},
                                                    {5'000'000'000, "5"},
                                                    {10'000'000'000, "10"}}};
    static constexpr size_t kBucketCount = kBounds.size() + 1; // the last one has no bound

    /// What is below 0 (a clock that was set) counts as 0.
    void observe(Duration took) {
        const int64_t ns = took.count() < 0 ? 0 : took.count();
        size_t bucket = 0;
        while (bucket < kBounds.size() && ns > kBounds[bucket].ns) {
            bucket++;
        }
        buckets_[bucket].add();
        sum_ns_.add(static_cast<uint64_t>(ns));
    }

    /// Observations of this bucket alone; Prometheus wants the sum of it and all below.
    [[nodiscard]] uint64_t in_bucket(size_t index) const { return buckets_[index].value(); }
    [[nodiscard]] uint64_t sum_ns() const { return sum_ns_.value(); }

private:
    std::array<Counter, kBucketCount> buckets_;
    Counter sum_ns_;
};

} // namespace qtool::metrics
