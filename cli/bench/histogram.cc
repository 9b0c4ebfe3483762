#include "cli/bench/histogram.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <bit>

namespace qtool::cli::bench {

namespace {

constexpr uint64_t kMillion = 1'000'000;

} // namespace

size_t Histogram::bucket_of(uint64_t value) {
    // The leading 8 bits choose the bucket, `shift` bits are dropped: 1000 = 0b11'1110'1000 has
    // shift 2 and leading bits 250, which is bucket 2 * 128 + 250 for 1000 .. 1003.
    const auto width = static_cast<uint32_t>(std::bit_width(value));
    const uint32_t shift = width <= kStepBits + 1 ? 0 : width - kStepBits - 1;
    return shift * kStepCount + static_cast<size_t>(value >> shift);
}

uint64_t Histogram::highest_of(size_t bucket) {
    const size_t shift = bucket < 2 * kStepCount ? 0 : bucket / kStepCount - 1;
    const uint64_t leading = bucket - shift * kStepCount;
    return (leading << shift) + ((uint64_t{1} << shift) - 1);
}

void Histogram::record(uint64_t value) {
    buckets_[bucket_of(value)].add();
    sum_.add(value);
    if (const uint64_t lowest = lowest_plus_1_.value(); lowest == 0 || value < lowest - 1) {
        lowest_plus_1_.set(std::max<uint64_t>(value + 1, 1));
    }
    max_.set(std::max(max_.value(), value));
    count_.add();
}

void Histogram::add(const Histogram& other) {
    // The buckets are summed rather than count_ read, so that both agree while `other` is written.
    uint64_t added = 0;
    for (size_t i = 0; i < kBucketCount; i++) {
        if (const uint64_t n = other.buckets_[i].value(); n != 0) {
            buckets_[i].add(n);
            added += n;
        }
    }
    count_.add(added);
    sum_.add(other.sum_.value());
    max_.set(std::max(max_.value(), other.max_.value()));
    const uint64_t theirs = other.lowest_plus_1_.value();
    const uint64_t ours = lowest_plus_1_.value();
    if (theirs != 0 && (ours == 0 || theirs < ours)) {
        lowest_plus_1_.set(theirs);
    }
}

void Histogram::subtract(const Histogram& earlier) {
    uint64_t left = 0;
    for (size_t i = 0; i < kBucketCount; i++) {
        const uint64_t now = buckets_[i].value();
        const uint64_t then = earlier.buckets_[i].value();
        QT_ASSERT(then <= now);
        buckets_[i].set(now - then);
        left += now - then;
    }
    count_.set(left);
    sum_.set(sum_.value() - earlier.sum_.value());
}

uint64_t Histogram::min() const {
    const uint64_t lowest = lowest_plus_1_.value();
    return lowest == 0 ? 0 : lowest - 1;
}

double Histogram::mean() const {
    return count() == 0 ? 0 : static_cast<double>(sum_.value()) / static_cast<double>(count());
}

uint64_t Histogram::percentile(uint32_t per_million) const {
    QT_ASSERT(per_million > 0 && per_million <= kMillion);
    if (count() == 0) {
        return 0;
    }
    // Whole millions apart, so that no count of records overflows.
    const uint64_t rank = count() / kMillion * per_million +
                          (count() % kMillion * per_million + kMillion - 1) / kMillion;
    uint64_t seen = 0;
    for (size_t i = 0; i < kBucketCount; i++) {
        seen += buckets_[i].value();
        if (seen >= rank) {
            return std::min(highest_of(i), max());
        }
    }
    return max();
}

} // namespace qtool::cli::bench
