// EpochCache: which leader epoch wrote which offsets, to answer OffsetForLeaderEpoch and to detect
// divergence (KIP-101, KIP-320). A value of one partition; rebuilt from batch headers at recovery.
#pragma once

#include "lib/base/ids.h"
#include "server/storage/checkpoint.h"

#include <utility>
#include <vector>

namespace qtool::storage {

struct EpochEnd {
    LeaderEpoch epoch = kNoLeaderEpoch;
    Offset end_offset = kNoOffset;
};

class EpochCache {
public:
    EpochCache() = default;
    explicit EpochCache(std::vector<EpochStart> starts) : starts_(std::move(starts)) {}

    /// A batch of `epoch` is at `start`. Older or known epochs change nothing.
    void assign(LeaderEpoch epoch, Offset start);
    /// Epochs that lie whole below the log start are dropped; the first begins there.
    void trim_below(Offset log_start);
    /// Epochs that begin at or behind `end` are dropped.
    void truncate_at(Offset end);

    /// With starts (0 at 0, 2 at 10, 5 at 30) and log end 40:
    ///   5 -> (5, 40)   2 -> (2, 30)   3 -> (2, 30)   6 or -1 -> (-1, -1)
    /// An epoch below all known is answered with itself and the first start.
    [[nodiscard]] EpochEnd end_of(LeaderEpoch epoch, Offset log_end) const;
    /// -1 when nothing is known at `offset`.
    [[nodiscard]] LeaderEpoch at(Offset offset) const;
    [[nodiscard]] LeaderEpoch latest() const {
        return starts_.empty() ? kNoLeaderEpoch : starts_.back().epoch;
    }
    [[nodiscard]] const std::vector<EpochStart>& starts() const { return starts_; }

private:
    std::vector<EpochStart> starts_; // rising in epoch and in start
};

} // namespace qtool::storage
