// Log: snapshots of producers, written when a segment ends and when the log falls idle, read where
// the producers are wanted.
#include "lib/base/log.h"
#include "server/storage/checkpoint.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"

#include <algorithm>
#include <utility>

namespace qtool::storage {

std::string Log::snapshot_path(Offset taken_at) const {
    return path(offset_file_name(taken_at) + std::string(kSnapshotExtension));
}

// One that is there says the same, and may be the only one, and durable: a new file in its place
// would not be yet.
Result<void> Log::write_producers() {
    QT_TRY_ASSIGN(const std::optional<Snapshot> known, read_snapshot(log_end_));
    if (known) {
        return {};
    }
    return write_small_file(disk_, {directory_, base_name(snapshot_path(log_end_)), false},
                            hot_->producers.encode(log_end_));
}

// A failure only means that the next append reads them from the log.
void Log::release_write_producers() {
    if (Result<void> written = write_producers(); !written) {
        log_line(LogLevel::warn, "producer_snapshot_not_written",
                 {{"partition", directory_}, {"error", to_string(written.error())}});
        return;
    }
    // Earlier ones of this segment would pile up, one for each time the log fell idle.
    const Result<Listing> listing = list_files();
    if (!listing) {
        return; // they go the next time
    }
    for (const Offset snapshot : listing->snapshots) {
        if (snapshot > hot_->active().base_offset() && snapshot < log_end_) {
            // What stays is only clutter: the next time finds it again.
            static_cast<void>(disk_.remove(snapshot_path(snapshot)));
        }
    }
}

// ---- old ones go -------------------------------------------------------------------------------

// One from which recovery knows the producers of batches that are about to go: taken at or behind
// the first segment kept. The first such, which nearly always lies below the high watermark, as one
// has to that is to tell of open transactions (snapshot_to_replay_from). It is to be durable first.
// Nothing: nobody is known.
Result<std::optional<Offset>> Log::snapshot_behind(Offset first_kept, WallTime now) {
    QT_TRY_ASSIGN(Hot * hot, load_with_producers(now));
    if (hot->producers.size() == 0) {
        return std::optional<Offset>();
    }
    QT_TRY_ASSIGN(const Listing listing, list_files());
    for (const Offset taken_at : listing.snapshots) {
        if (taken_at >= first_kept && taken_at <= log_end_) {
            QT_TRY_ASSIGN(const std::optional<Snapshot> snapshot, read_snapshot(taken_at));
            if (snapshot) {
                return std::optional<Offset>(taken_at);
            }
        }
    }
    QT_TRY(write_producers());
    return std::optional<Offset>(log_end_);
}

// The newest at or below `offset` that can be read, if there are older ones. It may be all that is
// known of producers whose batches are deleted, so it is to be durable before those go.
Result<std::optional<Offset>> Log::snapshot_that_replaces(Offset offset) {
    QT_TRY_ASSIGN(const Listing listing, list_files());
    if (listing.snapshots.size() < 2) {
        return std::optional<Offset>();
    }
    QT_TRY_ASSIGN(const std::optional<Snapshot> kept,
                  newest_snapshot(listing, listing.snapshots[1], offset));
    return kept ? std::optional<Offset>(kept->taken_at) : std::nullopt;
}

// Those older than a durable one, if that is still there (compaction removes some).
void Log::delete_snapshots_before(Offset durable) {
    const Result<bool> is_there = disk_.exists(snapshot_path(durable));
    if (is_there && *is_there) {
        delete_snapshots_below(durable);
    }
}

// What cannot be removed is only clutter; the next call finds it again.
void Log::delete_snapshots_below(Offset offset) {
    const Result<Listing> listing = list_files();
    if (!listing) {
        return;
    }
    for (const Offset snapshot : listing->snapshots) {
        if (snapshot < offset) {
            static_cast<void>(disk_.remove(snapshot_path(snapshot)));
        }
    }
}

// Of those that rolls left, the one that stays is made durable by the flush at hand. So is its
// name, if it is not yet: the roll that asked for this added a segment.
void Log::begin_flush_snapshot(FlushWork& work) {
    if (!hot_->snapshots_until) {
        return;
    }
    const Offset until = *std::exchange(hot_->snapshots_until, std::nullopt);
    const Result<std::optional<Offset>> kept = snapshot_that_replaces(until);
    if (!kept || !*kept) {
        return;
    }
    if (Result<port::FileRef> file =
            disk_.open(snapshot_path(**kept), port::OpenMode::read_write)) {
        work.files.push_back(*std::move(file));
        work.snapshot = **kept;
    } // else they stay until the next eight segments
}

// ---- reading -----------------------------------------------------------------------------------

// Nothing: it cannot be used.
Result<std::optional<Log::Snapshot>> Log::read_snapshot(Offset taken_at) {
    const std::string name = snapshot_path(taken_at);
    QT_TRY_ASSIGN(const auto bytes, read_small_file(disk_, name, kSmallFileMax));
    if (!bytes) {
        return std::optional<Snapshot>();
    }
    Result<ProducerState> state = ProducerState::decode(*bytes, taken_at);
    if (!state) {
        log_line(LogLevel::warn, "producer_snapshot_ignored",
                 {{"file", name}, {"error", to_string(state.error())}});
        return std::optional<Snapshot>();
    }
    return std::optional<Snapshot>(Snapshot{*std::move(state), taken_at});
}

// Of those taken from `from` to `to`, both included, the newest that can be read.
Result<std::optional<Log::Snapshot>> Log::newest_snapshot(const Listing& listing, Offset from,
                                                          Offset to) {
    for (size_t i = listing.snapshots.size(); i-- > 0;) {
        const Offset taken_at = listing.snapshots[i];
        if (taken_at > to || taken_at < from) {
            continue;
        }
        QT_TRY_ASSIGN(std::optional<Snapshot> snapshot, read_snapshot(taken_at));
        if (snapshot) {
            return snapshot;
        }
    }
    return std::optional<Snapshot>();
}

// The latest at or below `at_most`; else the state of an empty log, at its front.
Result<Log::Snapshot> Log::latest_snapshot(const Listing& listing, Offset at_most) {
    const Offset front = hot_->segments.empty() ? at_most : hot_->segments.front().base_offset();
    QT_TRY_ASSIGN(std::optional<Snapshot> found, newest_snapshot(listing, front, at_most));
    return found ? *std::move(found) : Snapshot{{}, front};
}

// At or below the high watermark where there is one, since a snapshot knows nothing of markers that
// wait for it. Else the first that is left, once records were deleted: it alone knows who wrote
// them.
Result<Log::Snapshot> Log::snapshot_to_replay_from(const Listing& listing) {
    const Offset front = hot_->segments.empty() ? log_end_ : hot_->segments.front().base_offset();
    const Offset high = std::min(log_end_, std::max(high_watermark_, front));
    QT_TRY_ASSIGN(Snapshot latest, latest_snapshot(listing, high));
    if (latest.taken_at > front || front == Offset{0}) {
        return latest;
    }
    for (const Offset taken_at : listing.snapshots) {
        if (taken_at < front || taken_at > log_end_) {
            continue;
        }
        QT_TRY_ASSIGN(std::optional<Snapshot> snapshot, read_snapshot(taken_at));
        if (snapshot) {
            return *std::move(snapshot);
        }
    }
    return latest;
}

// From a snapshot, and the batch headers behind it.
Result<void> Log::load_producers(const Listing& listing, WallTime now) {
    QT_TRY_ASSIGN(Snapshot snapshot, snapshot_to_replay_from(listing));
    hot_->producers = std::move(snapshot.state);
    QT_TRY(replay_producers(hot_->producers, snapshot.taken_at, now, nullptr));
    hot_->producers_loaded = true;
    return {};
}

} // namespace qtool::storage
