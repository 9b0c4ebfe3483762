// Proves that percentiles are those of the exact, sorted values, never too low and less than 1/128
// too high, for several shapes of data; and that merging and taking a difference are exact.
#include "cli/bench/histogram.h"
#include "lib/base/prng.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <vector>

using qtool::Prng;
using qtool::cli::bench::Histogram;
using qtool::cli::bench::kPercentiles;

namespace {

constexpr uint64_t kErrorPart = 128; // the bound is value / kErrorPart

uint64_t exact_percentile(std::vector<uint64_t> values, uint32_t per_million) {
    std::sort(values.begin(), values.end());
    const uint64_t rank = (values.size() * per_million + 999'999) / 1'000'000;
    return values[rank - 1];
}

void check_against_exact(const std::vector<uint64_t>& values) {
    Histogram histogram;
    for (const uint64_t value : values) {
        histogram.record(value);
    }
    CHECK(histogram.count() == values.size());
    CHECK(histogram.min() == *std::min_element(values.begin(), values.end()));
    CHECK(histogram.max() == *std::max_element(values.begin(), values.end()));
    for (const uint32_t per_million :
         {1u, 1000u, 500'000u, 900'000u, 990'000u, 999'000u, 999'900u, 999'999u, 1'000'000u}) {
        CAPTURE(per_million);
        const uint64_t exact = exact_percentile(values, per_million);
        const uint64_t found = histogram.percentile(per_million);
        CHECK(found >= exact);
        CHECK(found - exact <= exact / kErrorPart);
    }
}

} // namespace

TEST_CASE("histogram: nothing recorded is zero everywhere") {
    const Histogram histogram;
    CHECK(histogram.count() == 0);
    CHECK(histogram.min() == 0);
    CHECK(histogram.max() == 0);
    CHECK(histogram.mean() == 0);
    CHECK(histogram.percentile(999'900) == 0);
}

TEST_CASE("histogram: one value is every percentile, exactly") {
    for (const uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{255}, uint64_t{256},
                                 uint64_t{123'456'789}, std::numeric_limits<uint64_t>::max() - 1}) {
        CAPTURE(value);
        Histogram histogram;
        histogram.record(value);
        CHECK(histogram.min() == value);
        CHECK(histogram.max() == value);
        for (const auto& one : kPercentiles) {
            CHECK(histogram.percentile(one.per_million) == value);
        }
    }
}

TEST_CASE("histogram: small values are exact") {
    Histogram histogram;
    for (uint64_t value = 1; value <= 200; value++) {
        histogram.record(value);
    }
    CHECK(histogram.percentile(500'000) == 100);
    CHECK(histogram.percentile(990'000) == 198);
    CHECK(histogram.percentile(1'000'000) == 200);
    CHECK(histogram.mean() == doctest::Approx(100.5));
}

TEST_CASE("histogram: percentiles of the edges of all buckets keep the bound") {
    std::vector<uint64_t> values;
    for (uint32_t bit = 0; bit < 62; bit++) {
        for (const uint64_t step : {uint64_t{0}, uint64_t{1}}) {
            values.push_back((uint64_t{1} << bit) - step);
            values.push_back((uint64_t{1} << bit) + step);
        }
    }
    check_against_exact(values);
}

TEST_CASE("histogram: percentiles of random values keep the bound") {
    for (const uint64_t seed : {1u, 2u, 3u}) {
        CAPTURE(seed);
        Prng prng(seed);
        std::vector<uint64_t> even;
        std::vector<uint64_t> long_tail; // as latencies are: a few are thousands of times the rest
        for (int i = 0; i < 50'000; i++) {
            even.push_back(prng.below(10'000'000));
            long_tail.push_back((uint64_t{1} << prng.below(40)) + prng.below(1000));
        }
        check_against_exact(even);
        check_against_exact(long_tail);
    }
}

TEST_CASE(
    "histogram: the sum of two is what one would have counted, and the difference undoes it") {
    Histogram first;
    Histogram second;
    Histogram both;
    Prng prng(7);
    for (int i = 0; i < 10'000; i++) {
        const uint64_t value = prng.below(1'000'000'000);
        (i % 3 == 0 ? first : second).record(value);
        both.record(value);
    }
    Histogram sum;
    sum.add(first);
    sum.add(second);
    CHECK(sum.count() == both.count());
    CHECK(sum.min() == both.min());
    CHECK(sum.max() == both.max());
    CHECK(sum.mean() == both.mean());
    for (const auto& one : kPercentiles) {
        CHECK(sum.percentile(one.per_million) == both.percentile(one.per_million));
    }
    sum.subtract(first);
    CHECK(sum.count() == second.count());
    CHECK(sum.mean() == second.mean());
    CHECK(sum.percentile(500'000) == second.percentile(500'000));
}
