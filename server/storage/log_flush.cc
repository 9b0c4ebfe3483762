// Log: what a flush makes durable, and when the log takes it for that.
#include "lib/base/assert.h"
#include "server/storage/log.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"

#include <algorithm>

namespace qtool::storage {

Result<std::optional<FlushWork>> Log::begin_flush() {
    QT_TRY(check_usable());
    if (!hot_ || (synced_end_ >= log_end_ && !hot_->deletion && !settles_)) {
        return std::optional<FlushWork>();
    }
    FlushWork work;
    work.end_offset = log_end_;
    work.truncations = truncations_;
    std::vector<port::FileRef> aborted_files;
    for (Segment& segment : hot_->segments) {
        if (segment.synced_size < segment.size() || segment.needs_sync) {
            QT_TRY_ASSIGN(port::FileRef file, segment.file());
            work.files.push_back(std::move(file));
            work.parts.push_back({segment.base_offset(), segment.size()});
        }
        QT_TRY_ASSIGN(std::optional<port::FileRef> aborted, segment.aborted().unsynced_file());
        if (aborted) {
            aborted_files.push_back(*std::move(aborted));
        }
    }
    std::move(aborted_files.begin(), aborted_files.end(), std::back_inserter(work.files));
    begin_flush_snapshot(work);
    if (const std::optional<Deletion>& deletion = hot_->deletion) {
        work.log_start = deletion->log_start;
        for (const port::FileRef& file : {deletion->snapshot, deletion->log_start}) {
            if (file) {
                work.files.push_back(file);
            }
        }
    }
    QT_TRY(begin_flush_names(work));
    settles_ = false;
    // All are open. A failed flush ends the log, so nothing sets this back.
    for (Segment& segment : hot_->segments) {
        segment.needs_sync = false;
        segment.aborted().count_as_synced();
    }
    if (work.files.empty()) { // a cut has synced all there is
        QT_TRY(finish_flush(work));
        return std::optional<FlushWork>();
    }
    return std::optional<FlushWork>(std::move(work));
}

// ---- through the journal ------------------------------------------------------------------------

// Only what the last segment got is new: names, indexes and small files take a flush of their own.
bool Log::fits_journal() const {
    if (journal_ == nullptr || !hot_ || hot_->segments.empty() || settles_ || hot_->deletion ||
        hot_->is_new || hot_->has_unsynced_names() || hot_->snapshots_until ||
        synced_end_ >= log_end_) {
        return false;
    }
    return std::all_of(hot_->segments.begin(), hot_->segments.end(), [&](Segment& segment) {
        const bool is_active = &segment == &hot_->active();
        return !segment.needs_sync && !segment.aborted().is_unsynced() &&
               (is_active || segment.durable_size() >= segment.size());
    });
}

FlushJournal::Answer Log::offer_to_journal() {
    if (failure_ || !fits_journal()) {
        return FlushJournal::Answer::refuse;
    }
    return journal_->offer(hot_->active().size() - hot_->active().durable_size());
}

Result<FlushWork> Log::begin_journaled_flush() {
    QT_ASSERT(fits_journal());
    Segment& active = hot_->active();
    QT_TRY_ASSIGN(const port::FileRef file, active.file());
    JournalRecord piece;
    piece.partition = key_;
    piece.directory = directory_name();
    piece.segment = active.base_offset();
    piece.position = active.durable_size();
    QT_TRY(journal_->add(piece, *file, static_cast<uint32_t>(active.size() - piece.position)));
    active.journaling_to = active.size();
    FlushWork work;
    work.is_journaled = true;
    work.parts.push_back({active.base_offset(), active.size()});
    work.end_offset = log_end_;
    work.truncations = truncations_;
    return work;
}

bool Log::is_settled() const {
    return !hot_ ||
           (!failure_ &&
            std::all_of(hot_->segments.begin(), hot_->segments.end(), [](const Segment& segment) {
                return segment.synced_size >= segment.journaling_to;
            }));
}

// Somebody else's sync of the file may have failed by now, or fail meanwhile, unknown here: the
// next one would bring nothing. So what only the journal vouches for is written once more, through
// an opening of the file that is told of its own failures.
Result<void> Log::settle_blocking(Sync sync) {
    for (Segment& segment : hot_->segments) {
        if (segment.synced_size >= segment.journaling_to) {
            continue;
        }
        QT_TRY_ASSIGN(const port::FileRef file,
                      disk_.open(segment.path(), port::OpenMode::read_write));
        QT_TRY(segment.rewrite(*file, segment.synced_size, segment.journaling_to));
        if (sync == Sync::later) {
            continue;
        }
        if (Result<void> synced = file->sync_blocking(); !synced) {
            fail(synced.error());
            return synced;
        }
        segment.synced_size = segment.journaling_to;
    }
    return {};
}

Result<void> Log::prepare_to_settle() {
    return is_settled() ? Result<void>() : settle_blocking(Sync::later);
}

void Log::on_file_system_synced() {
    if (hot_) {
        for (Segment& segment : hot_->segments) {
            segment.synced_size = std::max(segment.synced_size, segment.journaling_to);
        }
    }
}

// First the files, or what is void would be missed after a crash: of a flush under way, too.
Result<void> Log::leave_journal() {
    if (journal_ == nullptr || !journal_->holds(key_)) {
        return {};
    }
    if (hot_ && !failure_ && !is_settled()) {
        QT_TRY(settle_blocking(Sync::now));
    }
    return journal_->leave(directory_name(), key_);
}

// ---- each file on its own -----------------------------------------------------------------------

// Nothing is taken for durable before all of the flush is: what fails leaves a log that is out of
// use, and a crash finds any part of it. Records that were never acknowledged may then lie in a
// directory that does not say whose it is (claim_directory).
Result<void> Log::begin_flush_names(FlushWork& work) {
    const auto add = [&](Result<port::FileRef> opened) -> Result<void> {
        if (!opened) {
            if (!is_out_of_descriptors(opened.error())) {
                fail(opened.error());
            }
            return std::move(opened).error();
        }
        work.files.push_back(*std::move(opened));
        return {};
    };
    work.names_made = hot_->names_made;
    if (hot_->has_unsynced_names()) {
        QT_TRY(add(disk_.open_directory(directory_)));
    }
    if (hot_->is_new) {
        QT_TRY(add(disk_.open(path(kPartitionMetaName), port::OpenMode::read_write)));
        QT_TRY(add(disk_.open_directory(parent_directory(directory_))));
        work.has_parent = true;
    }
    return {};
}

// For what must not wait for a flush: it builds on these names.
Result<void> Log::sync_names() {
    if (!hot_->is_new && !hot_->has_unsynced_names()) {
        return {};
    }
    if (hot_->is_new) {
        QT_TRY_ASSIGN(const port::FileRef file,
                      disk_.open(path(kPartitionMetaName), port::OpenMode::read_write));
        if (Result<void> synced = file->sync_blocking(); !synced) {
            fail(synced.error()); // the next sync would succeed, and bring nothing
            return synced;
        }
    }
    QT_TRY(disk_.sync_directory(directory_));
    if (hot_->is_new) {
        QT_TRY(disk_.sync_directory(parent_directory(directory_)));
    }
    hot_->names_synced = hot_->names_made;
    hot_->is_new = false;
    return {};
}

Result<uint32_t> Log::finish_flush(const FlushWork& work) {
    if (failure_ || !hot_ || work.truncations != truncations_) {
        return 0u; // of a log that was cut since: what is left asks for a flush of its own
    }
    QT_ASSERT(work.end_offset <= log_end_);
    for (const FlushWork::Part& part : work.parts) {
        if (Segment* segment = find_segment(part.base_offset);
            segment != nullptr && segment->base_offset() == part.base_offset) {
            uint64_t& size = work.is_journaled ? segment->journaled_size : segment->synced_size;
            size = std::max(size, part.size_bytes);
        }
    }
    hot_->names_synced = std::max(hot_->names_synced, work.names_made);
    hot_->is_new = hot_->is_new && !work.has_parent;
    synced_end_ = std::max(synced_end_, work.end_offset);
    if (work.snapshot) {
        delete_snapshots_before(*work.snapshot);
    }
    forget_truncation();
    return go_on_deleting(work);
}

Result<void> Log::flush_blocking() {
    QT_TRY(settle_blocking(Sync::now));
    while (synced_end_ < log_end_ || is_deleting()) {
        QT_TRY_ASSIGN(const std::optional<FlushWork> work, begin_flush());
        if (!work) {
            break;
        }
        for (const port::FileRef& file : work->files) {
            if (Result<void> synced = file->sync_blocking(); !synced) {
                fail(synced.error());
                return synced;
            }
        }
        QT_TRY(finish_flush(*work));
    }
    return {};
}

void Log::fail(const Error& error) {
    if (!failure_) {
        const Code code = error.code == Code::storage_damaged ? error.code : Code::storage_offline;
        failure_ = Error(code, directory_ + ": out of use until restart: " + to_string(error));
    }
    is_clean_ = false;
}

} // namespace qtool::storage
