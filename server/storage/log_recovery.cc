// Log: making sense of a directory, after a clean stop and after a crash.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/storage/compaction.h"
#include "server/storage/data_dir.h"
#include "server/storage/header_scan.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"

#include <algorithm>

namespace qtool::storage {

namespace {

// Copies [position, size) of `segment` aside, before it is cut off.
Result<void> save_tail(port::Disk& disk, Segment& segment, uint64_t position) {
    QT_TRY_ASSIGN(const port::FileRef from, segment.file());
    const std::string path = segment.path() + "." + std::to_string(position) + ".discarded";
    QT_TRY_ASSIGN(const port::FileRef to, disk.open(path, port::OpenMode::create));
    std::vector<std::byte> buffer(kScanWindowSize);
    for (uint64_t at = position; at < segment.size();) {
        QT_TRY_ASSIGN(const size_t got, from->read_at(buffer, at));
        if (got == 0) {
            break;
        }
        const ByteView piece = ByteView(buffer).first(got);
        QT_TRY(to->write_at({&piece, 1}, at - position));
        at += got;
    }
    return to->sync_blocking();
}

// Writes what lies behind the recovery point once more, in place. A sync that failed before the
// restart left its pages clean without having written them (fsyncgate), so that the next sync would
// succeed and mean nothing; now they are dirty again.
Result<void> rewrite_from(Segment& segment, Offset recovery_point) {
    uint64_t position = 0;
    if (recovery_point > segment.base_offset()) {
        QT_TRY_ASSIGN(const std::optional<Segment::Located> found, segment.locate(recovery_point));
        position = found ? found->position : segment.size();
    }
    QT_TRY_ASSIGN(const port::FileRef file, segment.file());
    return segment.rewrite(*file, position, segment.size());
}

} // namespace

Result<Log::Listing> Log::list_files() {
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, disk_.list(directory_));
    Listing listing; // entries are sorted by name, and so are offsets in names
    for (const port::DirectoryEntry& entry : entries) {
        if (const auto base = parse_offset_file_name(entry.name, kLogExtension)) {
            listing.segments.push_back({*base, entry.size});
        } else if (const auto taken = parse_offset_file_name(entry.name, kSnapshotExtension)) {
            listing.snapshots.push_back(*taken);
        } else if (const auto indexed = parse_offset_file_name(entry.name, kIndexExtension)) {
            // ".log" sorts before it, so its segment was seen if there is one.
            if (listing.segments.empty() || listing.segments.back().base != *indexed) {
                listing.garbage.push_back(entry.name);
            }
        } else if (const auto aborted = parse_offset_file_name(entry.name, kAbortedExtension)) {
            if (listing.segments.empty() || listing.segments.back().base != *aborted) {
                listing.garbage.push_back(entry.name);
            } else {
                listing.segments.back().has_aborted = true;
            }
        } else if (const auto swap = parse_offset_file_name(entry.name, std::string(kLogExtension) +
                                                                            kSwapSuffix)) {
            listing.swaps.push_back({*swap, entry.size});
        } else if (entry.name.ends_with(kDeletedExtension) || entry.name.ends_with(".tmp") ||
                   entry.name.ends_with(kCleanedSuffix)) {
            listing.garbage.push_back(entry.name);
        }
    }
    return listing;
}

// Large files go off the loop, under names that do not come back; the others go at once, since
// their names may be used again any moment.
void Log::remove_garbage(const Listing& listing) {
    for (const std::string& name : listing.garbage) {
        const std::string garbage = path(name);
        const bool waits = std::any_of(deleted_.begin(), deleted_.end(),
                                       [&](const DeletedFile& f) { return f.path == garbage; });
        if (waits) {
            continue;
        }
        if (name.ends_with(kDeletedExtension)) {
            disk_.remove_later(garbage);
        } else {
            // What stays is garbage at the next start, too; no segment reads it (Segment::create).
            static_cast<void>(disk_.remove(garbage));
        }
    }
}

// The indexes of a segment that goes. What stays does no harm: the next recovery, or a segment that
// gets the name, removes it.
void Log::remove_indexes(Offset base) {
    for (const std::string_view extension : {kIndexExtension, kAbortedExtension}) {
        const std::string index = path(offset_file_name(base) + std::string(extension));
        if (Result<void> removed = disk_.remove(index); !removed) {
            log_line(LogLevel::warn, "file_not_removed",
                     {{"file", index}, {"error", to_string(removed.error())}});
        }
    }
}

// False: nothing of ours is at directory_.
Result<bool> Log::claim_directory() {
    QT_TRY_ASSIGN(const bool there, disk_.exists(directory_));
    if (!there) {
        return false;
    }
    const Result<std::optional<PartitionKey>> owner = read_partition_meta(disk_, directory_);
    if (!owner && is_disk_trouble(owner.error().code)) {
        return owner.error();
    }
    if (owner && *owner) {
        if (**owner == key_) {
            return true;
        }
        QT_TRY_ASSIGN(const std::string moved,
                      quarantine(disk_, parent_directory(directory_), base_name(directory_)));
        log_line(LogLevel::warn, "partition_quarantined",
                 {{"partition", directory_},
                  {"why", "it belongs to topic id " + to_string((**owner).topic_id)},
                  {"moved_to", moved}});
        return false;
    }
    QT_TRY_ASSIGN(const Listing listing, list_files());
    const bool has_records = std::any_of(listing.segments.begin(), listing.segments.end(),
                                         [](const Listing::File& file) { return file.size > 0; });
    if (!has_records) {
        return false;
    }
    // A power loss during the first flush leaves records without the file, or with a part of it.
    // They were not acknowledged; but since the file may have been lost otherwise they are kept.
    QT_TRY_ASSIGN(const bool is_unfinished, is_partition_meta_unfinished(disk_, directory_));
    if (!is_unfinished || synced_end_ > Offset{0}) {
        return damaged(directory_ + "/" + kPartitionMetaName +
                       (owner ? " is missing" : " cannot be read: " + owner.error().detail) +
                       ", so it is not known whose records these are");
    }
    QT_TRY_ASSIGN(const std::string moved,
                  quarantine(disk_, parent_directory(directory_), base_name(directory_)));
    log_line(LogLevel::warn, "partition_quarantined",
             {{"partition", directory_},
              {"why", "its first records were not on the disk yet when the machine stopped"},
              {"moved_to", moved}});
    return false;
}

// A log of which no flush is known may have its directory and the file that says whose it is in the
// page cache alone: nobody synced them before the process died, or the sync failed, and then the
// next one would bring nothing (rewrite_from).
Result<void> Log::settle_directory(OpenHint::Settle settle) {
    const std::string meta = path(kPartitionMetaName);
    QT_TRY_ASSIGN(const auto bytes, read_small_file(disk_, meta, kSmallFileMax));
    QT_ASSERT(bytes.has_value());
    QT_TRY_ASSIGN(const port::FileRef file, disk_.open(meta, port::OpenMode::read_write));
    const ByteView piece = *bytes;
    QT_TRY(file->write_at({&piece, 1}, 0));
    if (settle == OpenHint::Settle::later) {
        return {};
    }
    QT_TRY(file->sync_blocking());
    return disk_.sync_directory(parent_directory(directory_));
}

// Once in the life of a partition. With its first segment nothing waits for the device here: the
// flush of its first records makes all durable, and nobody relies on it before. Without one no
// flush may come.
Result<void> Log::create_directory(FirstSegment first_segment, WallTime now) {
    if (has_directory_) {
        return {};
    }
    // What another topic left under this name goes out of the way.
    QT_TRY_ASSIGN(const bool is_ours, claim_directory());
    QT_TRY(disk_.make_directory(directory_));
    if (!is_ours) { // a crash cut off the making: the log may begin elsewhere now
        QT_TRY_ASSIGN(const Listing listing, list_files());
        for (const Listing::File& file : listing.segments) {
            QT_ASSERT(file.size == 0);
            QT_TRY(disk_.remove(path(offset_file_name(file.base) + std::string(kLogExtension))));
        }
    }
    if (first_segment == FirstSegment::yes) {
        QT_ASSERT(hot_->segments.empty());
        QT_TRY(add_segment(log_end_, now));
    }
    const bool is_durable = first_segment == FirstSegment::no;
    Result<void> made = write_partition_meta(disk_, directory_, key_, is_durable);
    if (made && is_durable) {
        made = disk_.sync_directory(parent_directory(directory_));
    }
    if (!made) { // the next append begins anew; an empty segment that stays harms nobody
        hot_->segments.clear();
        segment_count_ = 0;
        return made;
    }
    hot_->names_made++;
    hot_->names_synced = is_durable ? hot_->names_made : hot_->names_synced;
    hot_->is_new = !is_durable;
    has_directory_ = true;
    is_clean_ = false;
    return {};
}

// ---- after a crash ------------------------------------------------------------------------------

Result<void> Log::recover(OpenHint::Settle settle, WallTime now) {
    QT_TRY_ASSIGN(has_directory_, claim_directory());
    if (!has_directory_) {
        if (synced_end_ > Offset{0}) {
            return damaged(directory_ + " is missing, though offsets up to " +
                           std::to_string(synced_end_.value()) + " were synced");
        }
        return {};
    }
    if (synced_end_ == Offset{0}) {
        QT_TRY(settle_directory(settle));
    }
    Result<Offset> start = read_log_start(disk_, directory_);
    if (!start) {
        if (is_disk_trouble(start.error().code)) {
            return std::move(start).error();
        }
        return damaged(start.error().detail);
    }
    log_start_ = *start;
    QT_TRY(recover_truncation());
    QT_TRY_ASSIGN(Listing listing, list_files());
    if (!listing.swaps.empty()) {
        QT_TRY(finish_swaps(listing));
        QT_TRY_ASSIGN(listing, list_files());
    }
    remove_garbage(listing);
    hot_ = std::make_unique<Hot>();
    QT_TRY(recover_scan(listing, settle, now));
    QT_TRY(note_damage(rebuild_epochs(hot_->segments.size())));
    epochs_.trim_below(log_start_);
    QT_TRY(note_damage(recover_transactions(listing, now)));
    for (const Offset snapshot : listing.snapshots) {
        if (snapshot > log_end_) {
            QT_TRY(disk_.remove(snapshot_path(snapshot)));
        }
    }
    if (!hot_->segments.empty()) {
        QT_TRY(note_damage(hot_->segments.front().ensure_index(config_.index_interval_bytes)));
    }
    update_summary();
    high_watermark_ = std::min(high_watermark_, log_end_);
    // What is only in the page cache becomes durable: recovery may have run after a mere kill, and
    // readers are about to see these records.
    if (settle == OpenHint::Settle::now) {
        QT_TRY(disk_.sync_directory(directory_));
    }
    synced_end_ = log_end_;
    has_producers_ = true; // perhaps; the first append looks for them
    is_clean_ = true;
    hot_.reset();
    return {};
}

Result<void> Log::recover_scan(Listing& listing, OpenHint::Settle settle, WallTime now) {
    last_wall_ = now;
    std::vector<Listing::File>& files = listing.segments;
    const Offset recovery_point = std::max(synced_end_, log_start_);
    // Below the log start nothing is missed, and what a power loss brings back there may have gaps.
    const Offset must_be_there = synced_end_ > log_start_ ? synced_end_ : Offset{0};
    // A deletion that the crash interrupted.
    while (files.size() > 1 && files[1].base <= log_start_) {
        const std::string name = offset_file_name(files.front().base);
        disk_.remove_later(path(name + std::string(kLogExtension)));
        remove_indexes(files.front().base);
        files.erase(files.begin());
    }
    // The segment that holds the recovery point is read from its start.
    size_t first = 0;
    while (first + 1 < files.size() && files[first + 1].base <= recovery_point) {
        first++;
    }
    Offset expected = files.empty() ? log_start_ : std::min(files.front().base, log_start_);
    size_t good = 0; // files that are the log
    for (; good < files.size(); good++) {
        const Listing::File& file = files[good];
        Segment segment(disk_, directory_, file.base, file.size);
        if (file.has_aborted) {
            segment.aborted().note_file();
        }
        if (good > 0 || file.base > log_start_) {
            if (good > first || good == 0) {
                if (file.base != expected) {
                    if (expected < must_be_there) {
                        return damaged(directory_ + ": offsets from " +
                                       std::to_string(expected.value()) + " to " +
                                       std::to_string(file.base.value()) + " are missing");
                    }
                    break;
                }
            }
        }
        if (good < first) {
            segment.synced_size = segment.size();
            hot_->segments.push_back(std::move(segment));
            continue;
        }
        // Compaction leaves gaps, maybe one that reaches over an old recovery point.
        QT_TRY_ASSIGN(const Segment::Checked checked,
                      segment.check(config_.index_interval_bytes,
                                    config_.compacted ? Offset{0} : must_be_there));
        listing.has_transactions = listing.has_transactions || checked.has_transactions;
        listing.checked_from = std::min(listing.checked_from, file.base);
        expected = checked.next_offset;
        if (checked.good_size < segment.size()) {
            if (checked.next_offset < must_be_there ||
                (checked.next_offset < log_start_ && checked.intact_behind)) {
                return damaged(segment.path() + " is damaged at position " +
                               std::to_string(checked.good_size) + ", below the synced offset " +
                               std::to_string(recovery_point.value()) + ": " + checked.bad);
            }
            if (checked.intact_behind) {
                QT_TRY(save_tail(disk_, segment, checked.good_size));
            }
            log_line(LogLevel::warn, "torn_tail_cut",
                     {{"segment", segment.path()},
                      {"position", checked.good_size},
                      {"bytes", segment.size() - checked.good_size},
                      {"log_end_offset", expected.value()},
                      {"kept_aside", checked.intact_behind ? "yes" : "no"},
                      {"why", checked.bad}});
            QT_TRY(note_damage(segment.truncate(checked.good_size)));
        }
        if (checked.next_offset > recovery_point || !checked.bad.empty()) {
            QT_TRY(note_damage(rewrite_from(segment, recovery_point)));
            QT_TRY_ASSIGN(const port::FileRef synced, segment.file());
            if (settle == OpenHint::Settle::now) {
                QT_TRY(synced->sync_blocking());
            }
        }
        segment.synced_size = segment.size();
        segment.write_index();
        segment.close_files();
        hot_->segments.push_back(std::move(segment));
        // What follows a bad tail is lost with it, unless nothing is missing in between: then the
        // tail was what a failed write left, cut off before but not durably.
        const bool goes_on = good + 1 < files.size() && files[good + 1].base == expected;
        if (!checked.bad.empty() && !goes_on) {
            good++;
            break;
        }
    }
    if (expected < must_be_there) {
        return damaged(directory_ + ": ends at offset " + std::to_string(expected.value()) +
                       ", though offsets up to " + std::to_string(synced_end_.value()) +
                       " were synced");
    }
    for (size_t i = good; i < files.size(); i++) {
        const std::string name = path(offset_file_name(files[i].base));
        log_line(LogLevel::warn, "segment_discarded",
                 {{"segment", name + std::string(kLogExtension)},
                  {"bytes", files[i].size},
                  {"log_end_offset", expected.value()}});
        QT_TRY(disk_.rename(name + std::string(kLogExtension),
                            name + std::string(kLogExtension) + ".discarded"));
        QT_TRY(disk_.remove(name + std::string(kIndexExtension)));
        QT_TRY(disk_.remove(name + std::string(kAbortedExtension)));
    }
    log_end_ = expected;
    if (log_end_ < log_start_) {
        recover_empty();
    }
    return {};
}

// The log start is durable, but a power loss took records below it that were never synced: those
// were deleted anyway, so the log goes on, empty, at its start.
void Log::recover_empty() {
    log_line(LogLevel::warn, "log_restarted_empty",
             {{"partition", directory_},
              {"log_end_offset", log_end_.value()},
              {"log_start_offset", log_start_.value()}});
    for (const Segment& segment : hot_->segments) {
        disk_.remove_later(segment.path());
        remove_indexes(segment.base_offset());
    }
    hot_->segments.clear();
    log_end_ = log_start_;
}

// Headers are read only where the epoch changes, which the first batches of the segments tell.
Result<void> Log::rebuild_epochs(size_t segments) {
    epochs_ = EpochCache();
    for (size_t i = 0; i < segments; i++) {
        Segment& segment = hot_->segments[i];
        if (segment.size() == 0) {
            continue;
        }
        QT_TRY_ASSIGN(const LeaderEpoch epoch, segment.first_epoch());
        epochs_.assign(epoch, segment.base_offset());
        bool changes = i + 1 == segments;
        if (!changes) {
            QT_TRY_ASSIGN(const LeaderEpoch next, hot_->segments[i + 1].first_epoch());
            changes = next != epoch;
        }
        if (changes) {
            QT_TRY_ASSIGN(const port::FileRef file, segment.file());
            HeaderScan scan(*file, segment.path(), 0, segment.size());
            for (;;) {
                QT_TRY_ASSIGN(const protocol::BatchHeader* header, scan.next());
                if (header == nullptr) {
                    break;
                }
                epochs_.assign(header->partition_leader_epoch, header->base_offset);
            }
        }
        segment.close_files();
    }
    return {};
}

// ---- after a clean stop -------------------------------------------------------------------------

Result<void> Log::load_clean(WallTime now) {
    const Result<std::optional<PartitionKey>> owner = read_partition_meta(disk_, directory_);
    if (!owner && is_disk_trouble(owner.error().code)) {
        return owner.error();
    }
    if (!owner || !*owner || **owner != key_) {
        return Error(Code::storage_damaged,
                     directory_ + "/" + kPartitionMetaName + " is not that of this partition");
    }
    QT_TRY_ASSIGN(Listing listing, list_files());
    hot_ = std::make_unique<Hot>();
    uint64_t size = 0;
    // A power loss soon after the stop may bring back files that retention had deleted. One that
    // ends at the log start need not be such: the next one began when that was the log end, and it
    // stays until more is deleted.
    while (listing.segments.size() > std::max<size_t>(segment_count_, 1) &&
           listing.segments[1].base <= log_start_) {
        disk_.remove_later(
            path(offset_file_name(listing.segments.front().base) + std::string(kLogExtension)));
        listing.segments.erase(listing.segments.begin());
    }
    for (const Listing::File& file : listing.segments) {
        Segment& segment = hot_->segments.emplace_back(disk_, directory_, file.base, file.size);
        segment.synced_size = file.size;
        if (file.has_aborted) {
            segment.aborted().note_file();
        }
        size += file.size;
    }
    if (size != size_bytes_ || hot_->segments.size() != segment_count_) {
        return Error(Code::storage_damaged,
                     directory_ + ": " + std::to_string(hot_->segments.size()) + " segments of " +
                         std::to_string(size) + " bytes, but it was closed with " +
                         std::to_string(segment_count_) + " of " + std::to_string(size_bytes_));
    }
    if (!hot_->segments.empty()) {
        Segment& active = hot_->active();
        QT_TRY(active.ensure_index(config_.index_interval_bytes));
        if (active.next_offset() != log_end_) {
            return Error(Code::storage_damaged, active.path() + ": ends at offset " +
                                                    std::to_string(active.next_offset().value()) +
                                                    ", but was closed at " +
                                                    std::to_string(log_end_.value()));
        }
    }
    remove_garbage(listing);
    if (!has_producers_) {
        hot_->producers_loaded = true;
    }
    last_wall_ = now;
    return {};
}

} // namespace qtool::storage
