// Log: what a follower does to it: takes over its leader's batches, and cuts off what that leader
// does not have (KIP-101).
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"

#include <algorithm>

namespace qtool::storage {

// ---- append -------------------------------------------------------------------------------------

Result<AppendInfo> Log::append_replicated(ByteView batches, WallTime now) {
    QT_TRY(check_usable());
    last_wall_ = now;
    if (is_low_) {
        return Error(Code::storage_full,
                     directory_ + ": less space is free than log.dir.reserve.bytes keeps");
    }
    QT_TRY_ASSIGN(Hot * hot, load_with_producers(now));
    AppendInfo info;
    info.appended = false;
    info.log_start_offset = log_start_;
    // The leader's log starts within a batch, where somebody deleted records up to: an empty log
    // that starts there too takes the whole batch, as the leader has it.
    const auto begin_within = [&](Offset base_offset) -> Result<void> {
        if (!hot->segments.empty()) {
            QT_TRY(leave_journal());
            QT_TRY(drop_segments_from(Offset{0}));
        }
        log_end_ = base_offset;
        synced_end_ = std::min(synced_end_, base_offset);
        return {};
    };
    const auto undo_begin_within = [&] {
        if (Result<void> dropped = drop_segments_from(Offset{0}); !dropped) {
            fail(dropped.error());
        }
        log_end_ = log_start_;
        synced_end_ = log_start_;
    };
    protocol::BatchWalker walker(batches);
    for (;;) {
        QT_TRY_ASSIGN(const protocol::BatchView* batch, walker.next());
        if (batch == nullptr) {
            return info;
        }
        const protocol::BatchHeader& header = batch->header;
        const auto where = [&] {
            return directory_ + ": a batch of the leader at offset " +
                   std::to_string(header.base_offset.value());
        };
        if (!protocol::batch_crc_ok(batch->bytes)) {
            return Error(Code::corrupt, where() + " does not match its checksum");
        }
        const bool begins_within = log_start_ == log_end_ && header.base_offset < log_end_ &&
                                   header.last_offset() >= log_end_;
        if ((header.base_offset < log_end_ && !begins_within) ||
            header.partition_leader_epoch < epochs_.latest()) {
            return Error(Code::invalid_record,
                         where() + " of epoch " +
                             std::to_string(header.partition_leader_epoch.value()) +
                             " does not follow offset " + std::to_string(log_end_.value()) +
                             " of epoch " + std::to_string(epochs_.latest().value()));
        }
        std::optional<protocol::TransactionMarker> marker;
        if (header.is_control() && header.records_count > 0) {
            QT_TRY_ASSIGN(marker, protocol::parse_transaction_marker(*batch));
        }
        if (begins_within) { // only now: a batch that is refused leaves the log as it is
            QT_TRY(begin_within(header.base_offset));
        }
        const Result<AppendInfo> one =
            append_placed(*hot, batch->bytes, header, now, marker ? &*marker : nullptr);
        if (!one) {
            if (begins_within) {
                undo_begin_within();
            }
            return one.error();
        }
        info.base_offset = info.appended ? info.base_offset : one->base_offset;
        info.last_offset = one->last_offset;
        info.appended = true;
    }
}

// ---- truncation ---------------------------------------------------------------------------------

// Recovery points and high watermarks on disk tell what was synced and committed once, also of what
// is about to go, and the copies of them are many. So before a cut a file of its own says durably
// which of them are void.
Result<void> Log::note_truncation(Offset to, Offset end_min, Offset until) {
    Truncation noted{to, end_min, std::max({log_end_, to, until})};
    if (truncation_) {
        noted.to = std::min(noted.to, truncation_->to);
        noted.end_min = std::min(noted.end_min, truncation_->end_min);
        noted.until = std::max(noted.until, truncation_->until);
    }
    QT_TRY(write_truncation(disk_, directory_, noted));
    truncation_ = noted;
    return {};
}

// The log begins here, durably; what notes say of one before it, up to `until`, means nothing.
Result<void> Log::void_notes(Offset until) {
    QT_TRY(load(last_wall_));
    QT_TRY(create_directory(FirstSegment::no, last_wall_));
    return note_truncation(Offset{0}, Offset{0}, until);
}

// All that the old notes say is true again. A file that comes back after a crash does no harm.
void Log::forget_truncation() {
    if (truncation_ && std::min(synced_end_, high_watermark_) >= truncation_->until) {
        static_cast<void>(disk_.remove(path(kTruncationName)));
        truncation_.reset();
    }
}

Result<void> Log::recover_truncation() {
    Result<std::optional<Truncation>> known = read_truncation(disk_, directory_);
    if (!known) {
        if (is_disk_trouble(known.error().code)) {
            return std::move(known).error();
        }
        return damaged(known.error().detail);
    }
    truncation_ = *known;
    if (!truncation_) {
        return {};
    }
    if (synced_end_ > truncation_->end_min && synced_end_ <= truncation_->until) {
        synced_end_ = truncation_->end_min;
    }
    if (high_watermark_ > truncation_->to && high_watermark_ <= truncation_->until) {
        high_watermark_ = truncation_->to;
    }
    return {};
}

Result<void> Log::truncate_to(Offset offset, WallTime now) {
    QT_TRY(check_usable());
    QT_ASSERT(offset >= log_start_);
    if (offset >= log_end_) {
        return {};
    }
    abandon_compaction();
    QT_TRY(cancel_deletion());
    QT_TRY(leave_journal());
    const Offset end = log_end_;
    QT_TRY(load(now));
    const Segment* holds = find_segment(offset);
    // The last batch that stays may end below `offset`, but not below its segment.
    QT_TRY(note_truncation(offset, holds == nullptr ? offset : holds->base_offset()));
    if (Result<void> cut = truncate_files(offset, now); !cut) {
        fail(cut.error());
        return cut;
    }
    log_line(LogLevel::info, "log_truncated",
             {{"partition", directory_},
              {"log_end_offset", log_end_.value()},
              {"was", end.value()},
              {"high_watermark", high_watermark_.value()}});
    return {};
}

Result<void> Log::restart_at(Offset offset, WallTime now) {
    QT_TRY(check_usable());
    abandon_compaction();
    QT_TRY(cancel_deletion());
    QT_TRY(leave_journal());
    const Offset end = log_end_;
    QT_TRY(load(now));
    QT_TRY(create_directory(FirstSegment::no, now));
    QT_TRY(sync_names());
    const Offset below = std::min(offset, log_start_);
    QT_TRY(note_truncation(below, below));
    if (Result<void> restarted = restart_files(offset); !restarted) {
        fail(restarted.error());
        return restarted;
    }
    log_line(
        LogLevel::info, "log_restarted",
        {{"partition", directory_}, {"log_start_offset", offset.value()}, {"was", end.value()}});
    return {};
}

// From the back, so that what a crash leaves is a log that ends somewhere.
Result<void> Log::drop_segments_from(Offset offset) {
    std::deque<Segment>& segments = hot_->segments;
    truncations_++;
    is_clean_ = false;
    while (!segments.empty() && segments.back().base_offset() >= offset) {
        Segment& last = segments.back();
        // The name may come back any moment, and another time may be deleted.
        const std::string gone =
            last.path() + "." + std::to_string(truncations_) + std::string(kDeletedExtension);
        QT_TRY(disk_.rename(last.path(), gone));
        last.close_files();
        remove_indexes(last.base_offset());
        segments.pop_back();
        disk_.remove_later(gone);
    }
    QT_TRY_ASSIGN(const Listing listing, list_files());
    for (const Offset snapshot : listing.snapshots) {
        if (snapshot > offset) {
            QT_TRY(disk_.remove(snapshot_path(snapshot)));
        }
    }
    hot_->tail.clear();
    QT_TRY(disk_.sync_directory(directory_));
    hot_->names_synced = hot_->names_made;
    return {};
}

Result<void> Log::truncate_files(Offset offset, WallTime now) {
    QT_TRY(drop_segments_from(offset));
    if (hot_->segments.empty()) {
        log_end_ = offset;
        QT_TRY(add_segment(offset, now)); // it carries the log end
        QT_TRY(disk_.sync_directory(directory_));
        hot_->names_synced = hot_->names_made;
    } else {
        QT_TRY(truncate_active(offset));
    }
    QT_TRY_ASSIGN(const Listing listing, list_files());
    for (const Offset snapshot : listing.snapshots) {
        if (snapshot > log_end_) { // the cut went below `offset`
            QT_TRY(disk_.remove(snapshot_path(snapshot)));
        }
    }
    return after_truncation(now);
}

Result<void> Log::truncate_active(Offset offset) {
    Segment& active = hot_->active();
    QT_TRY(active.ensure_index(config_.index_interval_bytes));
    QT_TRY_ASSIGN(const std::optional<Segment::Located> first, active.locate(offset));
    if (first) {
        QT_TRY(active.truncate(first->position));
    }
    // Where a batch went, or compaction left a gap, that is below `offset`.
    log_end_ = active.size() == 0 ? active.base_offset() : active.next_offset();
    QT_TRY_ASSIGN(const port::FileRef file, active.file());
    QT_TRY(file->sync_blocking());
    active.synced_size = active.size();
    active.needs_sync = false;
    if (active.aborted().is_empty()) {
        return {};
    }
    QT_TRY_ASSIGN(const std::vector<AbortedTransaction>* entries, aborted_of(active));
    std::vector<AbortedTransaction> kept = *entries;
    std::erase_if(kept, [&](const AbortedTransaction& a) { return a.last_offset >= log_end_; });
    QT_TRY(active.aborted().replace(std::move(kept)));
    QT_TRY_ASSIGN(const std::optional<port::FileRef> index, active.aborted().unsynced_file());
    active.aborted().count_as_synced();
    if (index) {
        QT_TRY((*index)->sync_blocking());
    }
    return disk_.sync_directory(directory_);
}

Result<void> Log::restart_files(Offset offset) {
    QT_TRY(drop_segments_from(Offset{0}));
    QT_TRY(write_log_start(disk_, directory_, offset));
    log_start_ = offset;
    log_end_ = offset;
    synced_end_ = offset;     // there is nothing to flush
    high_watermark_ = offset; // the leader's log begins there, so it is committed
    epochs_ = EpochCache();
    return after_truncation(last_wall_);
}

Result<void> Log::after_truncation(WallTime now) {
    epochs_.truncate_at(log_end_);
    synced_end_ = std::min(synced_end_, log_end_);
    high_watermark_ = std::min(high_watermark_, log_end_);
    cleaned_to_.reset();
    checked_need_at_.reset();
    hot_->producers = ProducerState();
    QT_TRY_ASSIGN(const Listing listing, list_files());
    QT_TRY(load_producers(listing, now));
    update_summary();
    return {};
}

} // namespace qtool::storage
