#include "server/storage/epoch_cache.h"

#include <algorithm>

namespace qtool::storage {

void EpochCache::assign(LeaderEpoch epoch, Offset start) {
    if (epoch > latest()) {
        starts_.push_back({epoch, start});
    }
}

void EpochCache::trim_below(Offset log_start) {
    size_t keep = 0;
    while (keep + 1 < starts_.size() && starts_[keep + 1].start <= log_start) {
        keep++;
    }
    starts_.erase(starts_.begin(), starts_.begin() + static_cast<ptrdiff_t>(keep));
    if (!starts_.empty()) {
        starts_.front().start = std::max(starts_.front().start, log_start);
    }
}

void EpochCache::truncate_at(Offset end) {
    while (!starts_.empty() && starts_.back().start >= end) {
        starts_.pop_back();
    }
}

EpochEnd EpochCache::end_of(LeaderEpoch epoch, Offset log_end) const {
    if (epoch < LeaderEpoch{0} || epoch > latest()) {
        return {};
    }
    if (epoch == latest()) {
        return {epoch, log_end};
    }
    const auto next =
        std::upper_bound(starts_.begin(), starts_.end(), epoch,
                         [](LeaderEpoch e, const EpochStart& start) { return e < start.epoch; });
    if (next == starts_.begin()) {
        return {epoch, next->start};
    }
    return {std::prev(next)->epoch, next->start};
}

LeaderEpoch EpochCache::at(Offset offset) const {
    const auto next =
        std::upper_bound(starts_.begin(), starts_.end(), offset,
                         [](Offset o, const EpochStart& start) { return o < start.start; });
    return next == starts_.begin() ? kNoLeaderEpoch : std::prev(next)->epoch;
}

} // namespace qtool::storage
