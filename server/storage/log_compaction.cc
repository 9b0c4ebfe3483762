// Log: compaction. Deciding, stepping, and taking a new segment over in place of its sources.
//
// The order of taking over, for sources 100, 200, 300 (one new segment 100.log.cleaned, synced):
//
//   0  sync directory, if there is a 100.txnindex.cleaned
//   1  100.log.cleaned -> 100.log.swap, sync directory      from here on a restart finishes it
//   2  indexes of the sources out of the way; 100.log, 200.log, 300.log -> *.log.deleted; sync
//      directory
//   3  100.txnindex.cleaned -> 100.txnindex, sync directory
//   4  100.log.swap -> 100.log, sync directory
//
// A crash before 1 is durable leaves the sources; behind it 100.log.swap says by its last batch
// which offsets it covers, and the sources are in the way, whichever of them are still there. While
// there is a 100.txnindex.cleaned, a 100.txnindex is that of a source.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/storage/compaction.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"

#include <algorithm>
#include <limits>

namespace qtool::storage {

namespace {

constexpr const char* kCleanedToName = "cleaned-to";

// A lost or torn file only means that all is looked at again.
void write_cleaned_to(port::Disk& disk, const std::string& directory, Offset offset) {
    const std::string text =
        encode_text_file("version=1\noffset=" + std::to_string(offset.value()) + "\n");
    if (Result<void> written =
            write_small_file(disk, {directory, kCleanedToName, false}, as_bytes(text));
        !written) {
        log_line(LogLevel::warn, "cleaned_to_not_written",
                 {{"partition", directory}, {"error", to_string(written.error())}});
    }
}

Offset read_cleaned_to(port::Disk& disk, const std::string& directory) {
    const Result<std::optional<std::string>> lines =
        read_text_file(disk, directory + "/" + kCleanedToName);
    if (!lines || !*lines) {
        return Offset{0};
    }
    const std::string digits = text_value(**lines, "offset").value_or("");
    const std::optional<Offset> offset = parse_offset_file_name(
        std::string(20 - std::min<size_t>(20, digits.size()), '0') + digits, "");
    return offset.value_or(Offset{0});
}

} // namespace

// ---- deciding -----------------------------------------------------------------------------------

// An idle log rolls, too: what is in the active segment is never cleaned.
Result<void> Log::compaction_roll_overdue(WallTime now) {
    if (config_.max_compaction_lag_ms == std::numeric_limits<int64_t>::max() ||
        hot_->segments.empty() || hot_->active().size() == 0 || synced_end_ < log_end_) {
        return {};
    }
    QT_TRY_ASSIGN(const int64_t first, hot_->active().first_timestamp());
    if (first < 0 || now.time_since_epoch().count() - first <= config_.max_compaction_lag_ms) {
        return {};
    }
    QT_TRY(load_with_producers(now));
    QT_TRY(hot_->active().ensure_index(config_.index_interval_bytes));
    return append_roll(now);
}

Result<CompactionFacts> Log::compaction_facts(WallTime now, Offset limit) {
    QT_TRY_ASSIGN(Hot * hot, load(now));
    if (!cleaned_to_) {
        const Offset known = read_cleaned_to(disk_, directory_);
        cleaned_to_ = known <= log_end_ ? known : Offset{0};
    }
    QT_TRY(compaction_roll_overdue(now));
    CompactionFacts facts;
    facts.log_start = log_start_;
    facts.cleaned_to = *cleaned_to_;
    facts.limit = std::min(limit, synced_end_);
    facts.now_ms = now.time_since_epoch().count();
    std::deque<Segment>& segments = hot->segments;
    bool is_first_dirty = true;
    for (size_t i = 0; i + 1 < segments.size(); i++) {
        Segment& segment = segments[i];
        if (segment.needs_sync) {
            break;
        }
        SegmentFacts fact{segment.base_offset(), segments[i + 1].base_offset(), segment.size()};
        if (fact.next > facts.cleaned_to) {
            if (is_first_dirty) {
                QT_TRY_ASSIGN(fact.first_timestamp, segment.first_timestamp());
                is_first_dirty = false;
            }
            if (config_.min_compaction_lag_ms > 0) {
                QT_TRY(segment.ensure_index(config_.index_interval_bytes));
                fact.max_timestamp = segment.max_timestamp();
            }
        }
        facts.segments.push_back(fact);
    }
    close_surplus_files();
    return facts;
}

Result<std::optional<CompactionNeed>> Log::compaction_need(WallTime now, Offset limit) {
    const bool may_be_overdue =
        config_.max_compaction_lag_ms != std::numeric_limits<int64_t>::max();
    if (!config_.compacted || failure_ || uncleanable_ || compaction_ || is_low_ ||
        size_bytes_ == 0 || (segment_count_ <= 1 && !may_be_overdue)) {
        return std::optional<CompactionNeed>();
    }
    // A log that rests is not woken for the same answer again.
    const bool by_time = may_be_overdue || config_.min_compaction_lag_ms > 0;
    if (!hot_ && !by_time && checked_need_at_ == log_end_) {
        return std::optional<CompactionNeed>();
    }
    QT_TRY_ASSIGN(const CompactionFacts facts, compaction_facts(now, limit));
    const CompactionPlan plan = plan_compaction(facts, config_);
    if (!plan.is_due) {
        if (facts.limit >= log_end_) {
            checked_need_at_ = log_end_;
        }
        return std::optional<CompactionNeed>();
    }
    checked_need_at_.reset();
    return std::optional<CompactionNeed>(
        CompactionNeed{plan.dirty_bytes, plan.clean_bytes + plan.dirty_bytes, plan.is_overdue});
}

// ---- a run --------------------------------------------------------------------------------------

// Rarely there is no snapshot of what is synced, and all that was written is synced here.
Result<void> Log::keep_producers(Offset first_kept, WallTime now) {
    QT_TRY_ASSIGN(const std::optional<Offset> taken_at, snapshot_behind(first_kept, now));
    if (!taken_at) {
        return {};
    }
    if (*taken_at > synced_end_) {
        QT_TRY(flush_blocking());
    }
    QT_TRY_ASSIGN(const port::FileRef file,
                  disk_.open(snapshot_path(*taken_at), port::OpenMode::read_write));
    QT_TRY(file->sync_blocking());
    return disk_.sync_directory(directory_);
}

Result<bool> Log::begin_compaction(WallTime now, Offset limit, const CompactionMeans& means) {
    QT_TRY(check_usable());
    QT_ASSERT(!compaction_ && config_.compacted);
    if (is_deleting()) { // what would be cleaned may be about to go
        return false;
    }
    QT_TRY_ASSIGN(CompactionFacts facts, compaction_facts(now, limit));
    CompactionSetup setup;
    setup.plan = plan_compaction(facts, config_);
    if (setup.plan.dirty_bytes == 0) {
        return false;
    }
    // Snapshots from among what is cleaned may tell of transactions whose markers go.
    QT_TRY(keep_producers(setup.plan.end, now));
    QT_TRY_ASSIGN(const Listing listing, list_files());
    for (const Offset snapshot : listing.snapshots) {
        if (snapshot < setup.plan.end) {
            QT_TRY(disk_.remove(snapshot_path(snapshot)));
        }
    }
    for (Segment& segment : hot_->segments) {
        if (!segment.aborted().is_empty()) {
            QT_TRY_ASSIGN(const std::vector<AbortedTransaction>* entries, aborted_of(segment));
            setup.aborted.insert(setup.aborted.end(), entries->begin(), entries->end());
        }
    }
    std::erase_if(facts.segments,
                  [&](const SegmentFacts& fact) { return fact.next > setup.plan.end; });
    setup.directory = directory_;
    setup.config = config_;
    setup.sources = std::move(facts.segments);
    setup.log_start = log_start_;
    setup.now_ms = facts.now_ms;
    setup.means = means;
    compaction_ = std::make_unique<Compaction>(disk_, std::move(setup));
    compaction_sync_failed_.reset();
    return true;
}

Result<CompactionStep> Log::step_compaction(WallTime now, uint64_t bytes_max) {
    QT_ASSERT(compaction_);
    CompactionStep step;
    const auto advance = [&]() -> Result<void> {
        QT_TRY(check_usable());
        if (!config_.compacted) {
            return Error(Code::resource_not_found, directory_ + " is not compacted any more");
        }
        if (compaction_sync_failed_) {
            return *compaction_sync_failed_;
        }
        if (compaction_->state() == Compaction::State::working) {
            QT_TRY_ASSIGN(step.bytes, compaction_->step(bytes_max, hot_->producers));
        } else if (compaction_->state() == Compaction::State::wants_swap) {
            QT_TRY(swap_in(now));
        }
        if (compaction_->state() == Compaction::State::wants_sync) {
            QT_TRY_ASSIGN(step.to_sync, compaction_->file_to_sync());
        }
        return {};
    };
    if (Result<void> advanced = advance(); !advanced) {
        if (advanced.error().code == Code::storage_damaged && !failure_) {
            uncleanable_ = advanced.error();
        }
        abandon_compaction();
        return std::move(advanced).error();
    }
    if (compaction_->state() == Compaction::State::done) {
        step.is_done = true;
        step.bytes_before = compaction_->bytes_before();
        step.bytes_after = compaction_->bytes_after();
        step.records_dropped = compaction_->counts().records_dropped;
        if (const uint64_t keyless = compaction_->counts().keyless_dropped; keyless > 0) {
            log_line(LogLevel::warn, "records_without_key_dropped",
                     {{"partition", directory_}, {"count", keyless}});
        }
        cleaned_to_ = compaction_->cleaned_to();
        write_cleaned_to(disk_, directory_, *cleaned_to_);
        compaction_.reset();
    }
    return step;
}

void Log::compaction_synced(const Result<void>& result) {
    if (!compaction_ || compaction_->state() != Compaction::State::wants_sync) {
        return;
    }
    if (!result) {
        compaction_sync_failed_ = result.error();
        return;
    }
    compaction_->on_synced();
}

void Log::abandon_compaction() {
    if (compaction_) {
        compaction_->remove_output();
        compaction_.reset();
    }
}

// ---- taking over --------------------------------------------------------------------------------

Result<void> Log::swap_in(WallTime now) {
    QT_TRY(leave_journal());
    swaps_++;
    const Compaction::Swap swap = compaction_->swap();
    std::vector<Offset> bases;
    for (const SegmentFacts& source : swap.sources) {
        const Segment* segment = find_segment(source.base);
        if (segment == nullptr || segment->base_offset() != source.base ||
            segment->size() != source.size_bytes || segment == &hot_->active()) {
            return Error(Code::resource_not_found,
                         directory_ + ": segments were deleted while they were compacted");
        }
        bases.push_back(source.base);
    }
    swap.segment->write_index();
    if (Result<void> renamed = swap_in_rename(bases, *swap.segment); !renamed) {
        swap_in_undo(bases, *swap.segment);
        return renamed;
    }
    is_clean_ = false;
    const std::string name = offset_file_name(bases.front());
    // Without it the index is made again.
    static_cast<void>(
        disk_.rename(swap.segment->index_path(), path(name + std::string(kIndexExtension))));
    for (const Offset base : bases) { // what stays is garbage at the next start
        static_cast<void>(
            disk_.remove(path(offset_file_name(base) + std::string(kAbortedExtension) +
                              std::string(kDeletedExtension))));
    }
    swap.segment->take_final_names();
    for (const Offset base : bases) {
        const std::string deleted = path(offset_file_name(base) + std::string(kLogExtension) +
                                         std::string(kDeletedExtension));
        std::erase_if(deleted_, [&](const DeletedFile& file) { return file.path == deleted; });
        deleted_.push_back({deleted, now + duration_cast<std::chrono::milliseconds>(
                                               clamped_ms(config_.file_delete_delay_ms))});
    }
    std::deque<Segment> segments;
    for (Segment& segment : hot_->segments) {
        if (segment.base_offset() == bases.front()) {
            segments.push_back(std::move(*swap.segment));
        } else if (segment.base_offset() < bases.front() || segment.base_offset() > bases.back()) {
            segments.push_back(std::move(segment));
        }
    }
    hot_->segments = std::move(segments);
    segments.clear();
    close_surplus_files();
    update_summary();
    compaction_->on_swapped();
    return {};
}

Result<void> Log::swap_in_rename(const std::vector<Offset>& bases, const Segment& segment) {
    const std::string final_path =
        path(offset_file_name(bases.front()) + std::string(kLogExtension));
    QT_TRY_ASSIGN(const bool has_aborted, disk_.exists(segment.aborted_path()));
    if (has_aborted) {
        QT_TRY(disk_.sync_directory(directory_));
    }
    QT_TRY(disk_.rename(segment.path(), final_path + kSwapSuffix));
    QT_TRY(disk_.sync_directory(directory_));
    for (const Offset base : bases) {
        const std::string name = path(offset_file_name(base));
        const std::string aborted = name + std::string(kAbortedExtension);
        QT_TRY(disk_.remove(name + std::string(kIndexExtension)));
        QT_TRY_ASSIGN(const bool is_there, disk_.exists(aborted));
        if (is_there) {
            QT_TRY(disk_.rename(aborted, aborted + std::string(kDeletedExtension)));
        }
        QT_TRY(disk_.rename(name + std::string(kLogExtension),
                            name + std::string(kLogExtension) + std::string(kDeletedExtension)));
    }
    QT_TRY(disk_.sync_directory(directory_));
    if (has_aborted) {
        QT_TRY(disk_.rename(segment.aborted_path(), path(offset_file_name(bases.front()) +
                                                         std::string(kAbortedExtension))));
        QT_TRY(disk_.sync_directory(directory_));
    }
    QT_TRY(disk_.rename(final_path + kSwapSuffix, final_path));
    if (Result<void> synced = disk_.sync_directory(directory_); !synced) {
        fail(synced.error());
        return synced;
    }
    return {};
}

// The sources get their names back. If that fails, only a restart can tell what is there.
void Log::swap_in_undo(const std::vector<Offset>& bases, Segment& segment) {
    if (failure_) {
        return;
    }
    const auto undo = [&]() -> Result<void> {
        if (!segment.aborted().is_empty()) {
            const std::string taken =
                path(offset_file_name(bases.front()) + std::string(kAbortedExtension));
            QT_TRY_ASSIGN(const bool is_apart, disk_.exists(segment.aborted_path()));
            if (!is_apart) {
                QT_TRY(disk_.rename(taken, segment.aborted_path()));
            }
        }
        for (const Offset base : bases) {
            const std::string log = path(offset_file_name(base) + std::string(kLogExtension));
            QT_TRY_ASSIGN(const bool is_there, disk_.exists(log));
            if (!is_there) {
                QT_TRY(disk_.rename(log + std::string(kDeletedExtension), log));
            }
            const std::string aborted =
                path(offset_file_name(base) + std::string(kAbortedExtension));
            QT_TRY_ASSIGN(const bool was_moved,
                          disk_.exists(aborted + std::string(kDeletedExtension)));
            if (was_moved) {
                QT_TRY(disk_.rename(aborted + std::string(kDeletedExtension), aborted));
            }
        }
        const std::string swap =
            path(offset_file_name(bases.front()) + std::string(kLogExtension)) + kSwapSuffix;
        QT_TRY_ASSIGN(const bool is_there, disk_.exists(swap));
        if (is_there) {
            QT_TRY(disk_.rename(swap, segment.path()));
        }
        return disk_.sync_directory(directory_);
    };
    if (Result<void> undone = undo(); !undone) {
        fail(undone.error());
    }
}

// ---- after a crash ------------------------------------------------------------------------------

Result<void> Log::finish_swaps(const Listing& listing) {
    for (const Listing::File& swap : listing.swaps) {
        QT_TRY(finish_swap(listing, swap.base, swap.size));
    }
    return {};
}

Result<void> Log::finish_swap(const Listing& listing, Offset base, uint64_t size) {
    Segment segment(disk_, directory_, base, size, kSwapSuffix);
    QT_TRY_ASSIGN(const Segment::Checked checked, segment.check(config_.index_interval_bytes));
    const std::string swap = segment.path();
    segment.close_files();
    const std::string aborted = path(offset_file_name(base) + std::string(kAbortedExtension));
    QT_TRY_ASSIGN(const bool has_aborted, disk_.exists(aborted + kCleanedSuffix));
    if (checked.good_size < size || size == 0) {
        // It was synced before it got this name.
        return damaged(swap + " is damaged at position " + std::to_string(checked.good_size) +
                       ": " + checked.bad);
    }
    for (const Listing::File& source : listing.segments) {
        if (source.base >= base && source.base < checked.next_offset) {
            const std::string name = path(offset_file_name(source.base));
            QT_TRY(disk_.remove(name + std::string(kIndexExtension)));
            if (source.base != base || has_aborted) {
                QT_TRY(disk_.remove(name + std::string(kAbortedExtension)));
            }
            QT_TRY(
                disk_.rename(name + std::string(kLogExtension),
                             name + std::string(kLogExtension) + std::string(kDeletedExtension)));
        }
    }
    QT_TRY(disk_.sync_directory(directory_));
    if (has_aborted) {
        QT_TRY(disk_.rename(aborted + kCleanedSuffix, aborted));
        QT_TRY(disk_.sync_directory(directory_));
    }
    QT_TRY(disk_.rename(swap, path(offset_file_name(base) + std::string(kLogExtension))));
    QT_TRY(disk_.sync_directory(directory_));
    log_line(LogLevel::info, "compaction_finished_at_start",
             {{"segment", path(offset_file_name(base) + std::string(kLogExtension))},
              {"end_offset", checked.next_offset.value()}});
    return {};
}

} // namespace qtool::storage
