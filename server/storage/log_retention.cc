// Log: deleting from the front.
#include "lib/base/log.h"
#include "server/storage/checkpoint.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"

#include <algorithm>
#include <utility>

namespace qtool::storage {

namespace {

// So often retention waits for a flush that somebody else makes, then it makes one itself. A slow
// device may need more than one turn; a snapshot that is missing never comes.
constexpr uint32_t kPostponedMax = 3;

} // namespace

// Durable before the first file goes: files may vanish in any order at a crash, and only what lies
// below the log start may be missing.
Result<void> Log::persist_log_start(Offset offset) {
    if (hot_) { // the segment that holds `offset` must be there, too
        QT_TRY(sync_names());
    }
    QT_TRY(write_log_start(disk_, directory_, offset));
    is_clean_ = false;
    log_start_ = offset;
    epochs_.trim_below(offset);
    return {};
}

// What is known of producers from batches that are about to go must be durable elsewhere: a
// snapshot that recovery will start from, at or behind the first segment kept and not behind what
// is synced.
Result<void> Log::keep_producers(Offset first_kept, WallTime now) {
    QT_TRY_ASSIGN(const Listing listing, list_files());
    if (!hot_->producers_loaded) {
        QT_TRY(note_damage(load_producers(listing, now)));
    }
    if (hot_->producers.size() == 0) {
        return {};
    }
    QT_TRY_ASSIGN(const std::optional<Snapshot> kept,
                  newest_snapshot(listing, first_kept, synced_end_));
    if (kept) {
        return sync_snapshot(kept->taken_at);
    }
    QT_TRY(flush_blocking());
    return write_producers(Durable::yes);
}

// Up to where keep_producers() has no more to do than to sync a snapshot. With write caching all
// that was written since the last flush would be synced on the loop: for a topic at its limit of
// 3 x 8 MB that was 130 to 240 ms in which nobody was served.
Result<Offset> Log::deletable_without_flush(WallTime now) {
    if (synced_end_ >= log_end_) {
        return log_end_;
    }
    QT_TRY_ASSIGN(const Listing listing, list_files());
    if (!hot_->producers_loaded) {
        QT_TRY(note_damage(load_producers(listing, now)));
    }
    if (hot_->producers.size() == 0) {
        return log_end_;
    }
    QT_TRY_ASSIGN(const std::optional<Snapshot> newest,
                  newest_snapshot(listing, Offset{0}, synced_end_));
    return newest ? newest->taken_at : log_start_;
}

Result<uint32_t> Log::delete_segments_below(Offset offset, WallTime now) {
    std::deque<Segment>& segments = hot_->segments;
    size_t first_kept = 0;
    while (first_kept + 1 < segments.size() && segments[first_kept + 1].base_offset() <= offset) {
        first_kept++;
    }
    if (first_kept == 0) {
        return 0u;
    }
    QT_TRY(keep_producers(segments[first_kept].base_offset(), now));
    uint32_t count = 0;
    Result<void> result;
    while (count < first_kept) {
        Segment& oldest = segments.front();
        const std::string deleted = oldest.path() + std::string(kDeletedExtension);
        result = disk_.rename(oldest.path(), deleted);
        if (!result) {
            break;
        }
        deleted_.push_back({deleted, now + duration_cast<std::chrono::milliseconds>(
                                               clamped_ms(config_.file_delete_delay_ms))});
        const Offset base = oldest.base_offset();
        oldest.close_files();
        segments.pop_front();
        count++;
        // Of no use without the segment; what stays behind goes at the next recovery.
        remove_indexes(base);
    }
    if (count > 0) {
        is_clean_ = false;
        delete_snapshots_below(segments.front().base_offset());
        synced_end_ = std::max(synced_end_, segments.front().base_offset());
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
    QT_TRY(persist_log_start(offset));
    QT_TRY_ASSIGN(const uint32_t count, delete_segments_below(offset, last_wall_));
    if (count > 0) {
        log_line(LogLevel::info, "segments_deleted",
                 {{"partition", directory_}, {"count", count}, {"why", "delete records"}});
    }
    return {};
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

Result<uint32_t> Log::apply_retention(WallTime now, Offset high_watermark) {
    QT_TRY(check_usable());
    last_wall_ = now;
    const uint32_t postponed = std::exchange(retention_postponed_, 0);
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
    if (size_bytes_ == 0 ||
        (!is_old(oldest_max_timestamp_) &&
         !(too_large && (segment_count_ > 1 || config_.retention_bytes == 0)))) {
        return 0u;
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
        return 0u;
    }
    if (count < segments.size()) {
        QT_TRY_ASSIGN(const Offset limit, deletable_without_flush(now));
        size_t ready = count;
        while (ready > 0 && next_base(ready - 1) > limit) {
            ready--;
        }
        const bool postpones = ready < count && (ready > 0 || postponed < kPostponedMax);
        if (postpones) {
            count = ready;
            retention_postponed_ = postponed + 1;
        }
        if (count == 0) {
            return 0u;
        }
    }
    const Offset new_start = next_base(count - 1);
    if (count == segments.size()) {
        // The active one too: its successor, empty, carries the log end.
        if (!hot->producers_loaded) {
            QT_TRY_ASSIGN(const Listing listing, list_files());
            QT_TRY(note_damage(load_producers(listing, now)));
        }
        QT_TRY(append_roll(now));
        QT_TRY(sync_names());
    }
    if (new_start > log_start_) {
        QT_TRY(persist_log_start(new_start));
    }
    QT_TRY_ASSIGN(const uint32_t deleted, delete_segments_below(new_start, now));
    log_line(LogLevel::info, "segments_deleted",
             {{"partition", directory_}, {"count", deleted}, {"why", "retention"}});
    return deleted;
}

} // namespace qtool::storage
