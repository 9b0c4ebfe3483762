// Log: deleting from the front, in steps between which flushes wait for the device.
//
//   0  log-start.tmp says the new start
//   1  a flush syncs that, a snapshot of the producers whose batches are about to go, all that was
//      appended, and the directory
//   2  log-start.tmp -> log-start
//   3  a flush syncs the directory
//   4  readers are told; segments get their *.deleted names, indexes and older snapshots go
//
// A crash before 2 leaves the log as it was; behind it the log begins where it did or at the new
// start, and has all from either on; behind 3 at the new start, so that files may vanish in any
// order: what lies below the log start may be missing. Nobody is told of a log start that a crash
// could take back.
#include "lib/base/log.h"
#include "server/storage/checkpoint.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"

#include <algorithm>
#include <utility>

namespace qtool::storage {

bool Log::is_deleting() const {
    return hot_ && hot_->deletion;
}

// REQUIRES: hot, and none is under way.
Result<void> Log::begin_deletion(Offset to, const char* why) {
    Deletion deletion;
    deletion.to = to;
    deletion.why = why;
    const std::deque<Segment>& segments = hot_->segments;
    for (size_t i = 1; i < segments.size() && segments[i].base_offset() <= to; i++) {
        deletion.first_kept = segments[i].base_offset();
    }
    if (deletion.first_kept > Offset{0}) {
        QT_TRY_ASSIGN(const std::optional<Offset> taken_at,
                      snapshot_behind(deletion.first_kept, last_wall_));
        if (taken_at) {
            QT_TRY_ASSIGN(deletion.snapshot,
                          disk_.open(snapshot_path(*taken_at), port::OpenMode::read_write));
        }
    }
    QT_TRY_ASSIGN(deletion.log_start, prepare_log_start(disk_, directory_, to));
    hot_->names_made++; // the snapshot's may be new
    hot_->deletion = std::move(deletion);
    return {};
}

// A flush is done; maybe one that began before the deletion.
Result<uint32_t> Log::go_on_deleting(const FlushWork& work) {
    std::optional<Deletion>& deletion = hot_->deletion;
    if (!deletion) {
        return 0u;
    }
    if (deletion->log_start) {
        if (work.log_start == deletion->log_start) {
            if (Result<void> named = name_log_start(disk_, directory_); !named) {
                deletion.reset();
                return std::move(named).error();
            }
            deletion->log_start.reset();
            deletion->snapshot.reset();
            deletion->named_at = ++hot_->names_made;
        }
        return 0u;
    }
    if (hot_->names_synced < deletion->named_at) {
        return 0u;
    }
    const Deletion done = *std::exchange(deletion, std::nullopt);
    is_clean_ = false;
    log_start_ = done.to;
    epochs_.trim_below(log_start_);
    QT_TRY_ASSIGN(const uint32_t count, delete_segments_below(done.first_kept));
    if (count > 0) {
        log_line(LogLevel::info, "segments_deleted",
                 {{"partition", directory_}, {"count", count}, {"why", done.why}});
    }
    if (done.then > log_start_) {
        QT_TRY(begin_deletion(done.then, done.why));
    }
    return count;
}

// The log is about to be cut, maybe below the start that its file says already.
Result<void> Log::cancel_deletion() {
    if (is_deleting()) {
        if (!hot_->deletion->log_start) {
            QT_TRY(write_log_start(disk_, directory_, log_start_));
        }
        hot_->deletion.reset();
    }
    return {};
}

Result<uint32_t> Log::delete_segments_below(Offset first_kept) {
    std::deque<Segment>& segments = hot_->segments;
    const WallTime due = last_wall_ + duration_cast<std::chrono::milliseconds>(
                                          clamped_ms(config_.file_delete_delay_ms));
    uint32_t count = 0;
    Result<void> result;
    // Compaction may have put several into one since.
    while (segments.size() > 1 && segments[1].base_offset() <= first_kept) {
        Segment& oldest = segments.front();
        const std::string deleted = oldest.path() + std::string(kDeletedExtension);
        result = disk_.rename(oldest.path(), deleted);
        if (!result) {
            break;
        }
        deleted_.push_back({deleted, due});
        const Offset base = oldest.base_offset();
        oldest.close_files();
        segments.pop_front();
        count++;
        // Of no use without the segment; what stays behind goes at the next recovery.
        remove_indexes(base);
    }
    if (count > 0) {
        delete_snapshots_below(segments.front().base_offset());
        QT_TRY(note_damage(segments.front().ensure_index(config_.index_interval_bytes)));
        update_summary();
    }
    if (!result) {
        return std::move(result).error();
    }
    return count;
}

Result<void> Log::advance_log_start(Offset offset) {
    QT_TRY(check_usable());
    if (offset > log_end_) {
        return Error(Code::offset_out_of_range, directory_ + ": cannot delete before offset " +
                                                    std::to_string(offset.value()) +
                                                    ", the log ends at " +
                                                    std::to_string(log_end_.value()));
    }
    if (offset <= log_start_) {
        return {};
    }
    QT_TRY(load(last_wall_));
    if (std::optional<Deletion>& deletion = hot_->deletion) {
        if (offset > deletion->to) {
            deletion->then = std::max(deletion->then, offset);
        }
        return {};
    }
    return begin_deletion(offset, "delete records");
}

void Log::unlink_due(WallTime now) {
    std::erase_if(deleted_, [&](const DeletedFile& file) {
        if (file.due > now) {
            return false;
        }
        disk_.remove_later(file.path);
        return true;
    });
}

Result<bool> Log::apply_retention(WallTime now, Offset high_watermark) {
    QT_TRY(check_usable());
    last_wall_ = now;
    unlink_due(now);
    if (hot_ && hot_->producers_loaded) {
        hot_->producers.expire(now, config_.producer_id_expiration_ms);
    }
    const int64_t now_ms = now.time_since_epoch().count();
    const auto is_old = [&](int64_t max_timestamp) {
        // Records without a time never age; size may still delete them.
        return config_.deletes && config_.retention_ms >= 0 && max_timestamp >= 0 &&
               now_ms - max_timestamp > config_.retention_ms;
    };
    const bool too_large = config_.deletes && config_.retention_bytes >= 0 &&
                           size_bytes_ > static_cast<uint64_t>(config_.retention_bytes);
    // Answered from the cold state for nearly every partition at nearly every call.
    if (size_bytes_ == 0 || is_deleting() ||
        (!is_old(oldest_max_timestamp_) &&
         !(too_large && (segment_count_ > 1 || config_.retention_bytes == 0)))) {
        return false;
    }
    QT_TRY_ASSIGN(Hot * hot, load(now));
    std::deque<Segment>& segments = hot->segments;
    const auto next_base = [&](size_t i) {
        return i + 1 < segments.size() ? segments[i + 1].base_offset() : log_end_;
    };
    size_t count = 0; // segments to delete, from the front
    uint64_t left = size_bytes_;
    for (; count < segments.size() && next_base(count) <= high_watermark; count++) {
        Segment& segment = segments[count];
        QT_TRY(note_damage(segment.ensure_index(config_.index_interval_bytes)));
        const bool by_size =
            config_.deletes && config_.retention_bytes >= 0 &&
            left >= static_cast<uint64_t>(config_.retention_bytes) + segment.size();
        if (segment.size() == 0 || !(is_old(segment.max_timestamp()) || by_size)) {
            break;
        }
        left -= segment.size();
    }
    if (count == 0) {
        return false;
    }
    const Offset new_start = next_base(count - 1);
    if (count == segments.size()) {
        // The active one too: its successor, empty, carries the log end.
        QT_TRY(load_with_producers(now));
        QT_TRY(append_roll(now));
    }
    QT_TRY(begin_deletion(std::max(new_start, log_start_), "retention"));
    return true;
}

} // namespace qtool::storage
