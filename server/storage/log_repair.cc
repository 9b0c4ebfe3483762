// Log: finding damage before a reader meets it, and beginning anew where another replica has all.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/storage/data_dir.h"
#include "server/storage/header_scan.h"
#include "server/storage/log_hot.h"
#include "server/storage/partition_files.h"

#include <algorithm>

namespace qtool::storage {

Result<Verified> Log::verify(Offset from, uint64_t bytes_max) {
    QT_TRY(check_usable());
    Verified verified;
    from = std::max(from, log_start_);
    if (from >= synced_end_) {
        return verified;
    }
    QT_TRY_ASSIGN(Hot * hot, load(last_wall_));
    const Segment* const holds = find_segment(from);
    for (Segment& segment : hot->segments) {
        if (segment.size() == 0 ||
            (holds != nullptr && segment.base_offset() < holds->base_offset())) {
            continue;
        }
        QT_TRY_ASSIGN(const port::FileRef file, open_for_read(segment));
        QT_TRY_ASSIGN(const std::optional<Segment::Located> first, segment.locate(from));
        if (!first) {
            continue;
        }
        HeaderScan scan(*file, segment.path(), first->position, segment.size());
        for (;;) {
            QT_TRY_ASSIGN(const protocol::BatchHeader* header, scan.next());
            if (header == nullptr) {
                break;
            }
            if (header->base_offset >= synced_end_) {
                return verified;
            }
            if (verified.bytes >= bytes_max) {
                verified.next = header->base_offset;
                return verified;
            }
            QT_TRY(segment.read_batch({scan.position(), *header}));
            verified.bytes += header->size_bytes;
        }
    }
    return verified;
}

// What notes of what was synced say is void up to where the damaged log ended, as after a cut
// (note_truncation). A crash before that is written leaves a log that is damaged: it begins anew
// once more.
Result<std::unique_ptr<Log>> Log::begin_anew(const Log& damaged) {
    QT_ASSERT(damaged.failure_ && damaged.failure_->code == Code::storage_damaged);
    port::Disk& disk = damaged.disk_;
    const std::string& directory = damaged.directory_;
    if (damaged.journal_ != nullptr) {
        QT_TRY(damaged.journal_->leave(damaged.directory_name(), damaged.key_));
    }
    QT_TRY_ASSIGN(const bool is_there, disk.exists(directory));
    if (is_there) {
        QT_TRY_ASSIGN(const std::string moved,
                      quarantine(disk, parent_directory(directory), base_name(directory)));
        log_line(LogLevel::warn, "partition_quarantined",
                 {{"partition", directory}, {"why", "it is damaged"}, {"moved_to", moved}});
    }
    OpenHint hint;
    hint.key = damaged.key_;
    std::unique_ptr<Log> log(new Log(disk, directory, damaged.config_, hint));
    log->last_wall_ = damaged.last_wall_;
    // What is under way for the old one means nothing.
    log->truncations_ = damaged.truncations_ + 1;
    log->swaps_ = damaged.swaps_;
    log->is_low_ = damaged.is_low_;
    log->journal_ = damaged.journal_;
    Offset until = std::max({damaged.log_end_, damaged.synced_end_, damaged.high_watermark_});
    if (damaged.truncation_) {
        until = std::max(until, damaged.truncation_->until);
    }
    QT_TRY(log->void_notes(until));
    return log;
}

} // namespace qtool::storage
