#include "server/storage/log_move.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/protocol/record_batch.h"
#include "server/storage/checkpoint.h"
#include "server/storage/compaction.h"
#include "server/storage/data_dir.h"
#include "server/storage/log.h"
#include "server/storage/partition_files.h"
#include "server/storage/segment.h"

#include <algorithm>

namespace qtool::storage {

namespace {

constexpr size_t kBufferSize = 256 * KiB;
constexpr size_t kNameKeptMax = 190; // of 255: leaves room for id, index and suffix

// On their way out, or not finished.
bool is_garbage(const std::string& name) {
    return name.ends_with(kDeletedExtension) || name.ends_with(".tmp") ||
           name.ends_with(kCleanedSuffix) || name == kMovingToName;
}

// The segment that a log, index or aborted index belongs to.
std::optional<Offset> segment_of(const std::string& name) {
    for (const std::string_view extension : {kLogExtension, kIndexExtension, kAbortedExtension}) {
        if (const auto base = parse_offset_file_name(name, extension)) {
            return base;
        }
    }
    return std::nullopt;
}

} // namespace

std::string future_directory_name(const std::string& directory, const PartitionKey& key) {
    return base_name(directory).substr(0, kNameKeptMax) + "." + to_string(key.topic_id) + "-" +
           std::to_string(key.index.value()) + std::string(kFutureExtension);
}

Result<void> remove_future(port::Disk& disk, const std::string& parent, const std::string& name,
                           const PartitionKey& key) {
    const std::string deleted = deleted_directory_name(name, key);
    QT_TRY_ASSIGN(const bool is_left, disk.exists(parent + "/" + deleted));
    if (is_left) {
        QT_TRY(remove_deleted_directory(disk, parent, deleted));
    }
    QT_TRY(disk.rename(parent + "/" + name, parent + "/" + deleted));
    QT_TRY(disk.sync_directory(parent));
    return remove_deleted_directory(disk, parent, deleted);
}

Result<std::optional<Uuid>> read_moving_to(port::Disk& disk, const std::string& directory) {
    const std::string path = directory + "/" + kMovingToName;
    QT_TRY_ASSIGN(const auto lines, read_text_file(disk, path));
    if (!lines) {
        return std::optional<Uuid>();
    }
    const Result<Uuid> id = parse_uuid(text_value(*lines, "directory.id").value_or(""));
    if (!id) {
        return Error(Code::corrupt, path + ": no directory.id");
    }
    return std::optional<Uuid>(*id);
}

LogMove::LogMove(port::Disk& disk, To to, std::string source, PartitionKey key)
    : disk_(disk),
      to_(std::move(to)),
      source_(std::move(source)),
      future_(future_directory_name(source_, key)),
      key_(key),
      buffer_(kBufferSize) {}

Result<std::unique_ptr<LogMove>> LogMove::begin(port::Disk& disk, const Log& log, To to) {
    QT_ASSERT(log.has_directory());
    std::unique_ptr<LogMove> move(new LogMove(disk, std::move(to), log.directory(), log.key()));
    move->copied_end_ = log.log_start_offset();
    QT_TRY(move->abandon());
    QT_TRY(disk.make_directory(move->future()));
    QT_TRY(write_partition_meta(disk, move->future(), move->key_));
    QT_TRY(disk.sync_directory(move->to_.parent));
    return move;
}

template <class T>
Result<T> LogMove::of_source(Result<T> result) {
    if (!result) {
        is_source_trouble_ = true;
    }
    return result;
}

Result<std::vector<port::DirectoryEntry>> LogMove::list_source() {
    QT_TRY_ASSIGN(std::vector<port::DirectoryEntry> entries, of_source(disk_.list(source_)));
    std::erase_if(entries, [](const port::DirectoryEntry& entry) {
        return entry.is_directory || is_garbage(entry.name);
    });
    return entries;
}

// ---- copying ------------------------------------------------------------------------------------

// The next file that has settled bytes not copied yet becomes the current one. Returns how many
// bytes of the log are left to copy, the unsettled ones included.
Result<uint64_t> LogMove::choose(const Log& log) {
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, list_source());
    std::optional<Offset> active;
    for (const port::DirectoryEntry& entry : entries) {
        if (const auto base = parse_offset_file_name(entry.name, kLogExtension)) {
            active = *base; // they are sorted
        }
    }
    uint64_t left = 0;
    for (const port::DirectoryEntry& entry : entries) {
        const std::optional<Offset> base = segment_of(entry.name);
        const bool is_log = entry.name.ends_with(kLogExtension);
        const bool is_aside = entry.name.ends_with(".discarded"); // recovery kept it, so do we
        if ((!base && !is_aside) || (base == active && !is_log)) {
            continue; // small, and may change: brought at the end
        }
        const uint64_t settled = is_log ? log.settled_bytes(*base, entry.size) : entry.size;
        File& file = files_[entry.name];
        if (!is_log && file.copied > entry.size) {
            file = File{}; // an index that was made anew
        }
        if (is_log) {
            left += entry.size - std::min(entry.size, file.copied);
        }
        if (current_.empty() && file.copied < settled) {
            QT_TRY(open_current(entry.name));
            limit_ = settled;
        }
    }
    return left;
}

Result<void> LogMove::open_current(const std::string& name) {
    QT_TRY_ASSIGN(from_, of_source(disk_.open(source_ + "/" + name, port::OpenMode::read)));
    QT_TRY_ASSIGN(into_, disk_.open(future() + "/" + name, port::OpenMode::create));
    current_ = name;
    if (files_[name].copied == 0) {
        next_header_ = 0;
    }
    return {};
}

void LogMove::close_current() {
    current_.clear();
    from_.reset();
    into_.reset();
}

Result<uint64_t> LogMove::copy_some(uint64_t bytes_max) {
    File& file = files_[current_];
    QT_ASSERT(file.copied <= limit_);
    const uint64_t size = std::min({bytes_max, limit_ - file.copied, uint64_t{kBufferSize}});
    const ByteSpan window = ByteSpan(buffer_).first(size);
    QT_TRY_ASSIGN(const size_t got, of_source(from_->read_at(window, file.copied)));
    if (got != size) {
        is_source_trouble_ = true;
        return Error(Code::storage_io,
                     source_ + "/" + current_ + " became shorter while it was copied");
    }
    const ByteView piece = window;
    QT_TRY(into_->write_at({&piece, 1}, file.copied));
    const uint64_t position = file.copied;
    file.copied += size;
    file.unsynced += size;
    if (current_.ends_with(kLogExtension)) {
        copied_bytes_ += size;
        note_batches(piece, position);
    }
    return size;
}

// Follows the batches, to know up to which offset the copy is whole. A header that lies across two
// pieces is read once more.
void LogMove::note_batches(ByteView bytes, uint64_t position) {
    const uint64_t end = position + bytes.size();
    while (next_header_ + protocol::kBatchHeaderSize <= end) {
        std::array<std::byte, protocol::kBatchHeaderSize> again{};
        ByteView header = again;
        if (next_header_ >= position) {
            header = bytes.subspan(next_header_ - position, protocol::kBatchHeaderSize);
        } else if (const auto got = from_->read_at(again, next_header_);
                   !got || *got != again.size()) {
            return; // only a number that is shown
        }
        const Result<protocol::BatchHeader> batch = protocol::parse_batch_header(header);
        if (!batch || next_header_ + batch->size_bytes > end) {
            return;
        }
        next_header_ += batch->size_bytes;
        copied_end_ = std::max(copied_end_, batch->next_offset());
    }
}

Result<LogMoveStep> LogMove::step(const Log& log, uint64_t bytes_max) {
    QT_ASSERT(!is_syncing_);
    is_source_trouble_ = false;
    if (sync_failed_) {
        return *sync_failed_;
    }
    LogMoveStep step;
    if (current_.empty()) {
        QT_TRY_ASSIGN(const uint64_t left, choose(log));
        if (current_.empty()) {
            step.is_caught_up = left <= kMoveTailBytesMax;
            step.wants_flush = !step.is_caught_up;
            return step;
        }
    }
    while (step.bytes < bytes_max && files_[current_].copied < limit_) {
        QT_TRY_ASSIGN(const uint64_t size, copy_some(bytes_max - step.bytes));
        step.bytes += size;
    }
    File& file = files_[current_];
    const bool is_whole = file.copied == limit_;
    if (is_whole || file.unsynced >= kMoveTailBytesMax) {
        step.to_sync = into_;
        file.unsynced = 0; // a failed sync ends the move
        is_syncing_ = true;
    }
    if (is_whole) {
        close_current();
    }
    return step;
}

void LogMove::synced(const Result<void>& result) {
    QT_ASSERT(is_syncing_);
    is_syncing_ = false;
    if (!result) {
        sync_failed_ = result.error();
    }
}

// ---- the end ------------------------------------------------------------------------------------

Result<void> LogMove::bring_whole(const std::string& name, uint64_t size) {
    QT_TRY(open_current(name));
    limit_ = size;
    while (files_[name].copied < limit_) {
        QT_TRY(copy_some(limit_));
    }
    QT_TRY(into_->truncate(size));
    QT_TRY(into_->sync_blocking());
    files_[name].unsynced = 0;
    close_current();
    return {};
}

Result<void> LogMove::bring_rest() {
    close_current();
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> entries, list_source());
    for (const port::DirectoryEntry& entry : entries) {
        File& file = files_[entry.name];
        const bool is_bulk =
            entry.name.ends_with(kLogExtension) || entry.name.ends_with(".discarded");
        if (!is_bulk) {
            file = File{};
        }
        if (!is_bulk || file.copied != entry.size || file.unsynced > 0 || entry.size == 0) {
            QT_TRY(bring_whole(entry.name, entry.size));
        }
    }
    QT_TRY(check_copy(entries));
    return disk_.sync_directory(future());
}

// What retention deleted meanwhile goes here, too; the rest is there in full.
Result<void> LogMove::check_copy(const std::vector<port::DirectoryEntry>& entries) {
    QT_TRY_ASSIGN(const std::vector<port::DirectoryEntry> copies, disk_.list(future()));
    size_t same = 0;
    for (const port::DirectoryEntry& copy : copies) {
        const auto of = std::find_if(entries.begin(), entries.end(),
                                     [&](const auto& entry) { return entry.name == copy.name; });
        if (of == entries.end()) {
            QT_TRY(disk_.remove(future() + "/" + copy.name));
        } else if (of->size == copy.size) {
            same++;
        }
    }
    if (same != entries.size()) {
        return Error(Code::storage_io, future() + ": " + std::to_string(same) + " of " +
                                           std::to_string(entries.size()) + " files are whole");
    }
    return {};
}

Result<void> LogMove::finish(Log& log) {
    QT_ASSERT(!is_syncing_);
    is_source_trouble_ = false;
    if (sync_failed_) {
        return *sync_failed_;
    }
    if (Result<void> closed = log.close(); !closed) {
        is_source_trouble_ = true;
        // Not closed, but not broken either: there was no descriptor, say.
        return log.failure() ? closed : Error(Code::storage_full, to_string(closed.error()));
    }
    QT_TRY(bring_rest());
    return commit(log);
}

Result<void> LogMove::commit(Log& log) {
    const std::string name = base_name(source_);
    const std::string home = to_.parent + "/" + name;
    QT_TRY_ASSIGN(const bool is_taken, disk_.exists(home));
    if (is_taken) { // by a topic that was deleted while the log directory was offline
        QT_TRY(quarantine(disk_, to_.parent, name));
    }
    const std::string lines = "version=1\ndirectory.id=" + to_string(to_.directory_id) + "\n";
    QT_TRY(of_source(write_small_file(disk_, {source_, kMovingToName, true},
                                      as_bytes(encode_text_file(lines)))));
    if (Result<void> renamed = disk_.rename(future(), home); !renamed) {
        // It stays; a next try, or the next start, finds no home there and takes no notice.
        static_cast<void>(disk_.remove(source_ + "/" + kMovingToName));
        return renamed;
    }
    if (Result<void> synced = disk_.sync_directory(to_.parent); !synced) {
        log.fail(synced.error()); // both are whole and the same, which a restart will sort out
        return synced;
    }
    log.relocate(home);
    const std::string parent = parent_directory(source_);
    const std::string leftover = deleted_directory_name(source_, key_);
    Result<void> removed = disk_.rename(source_, parent + "/" + leftover);
    if (removed) {
        removed = disk_.sync_directory(parent);
    }
    if (removed) {
        removed = remove_deleted_directory(disk_, parent, leftover);
    }
    if (!removed) { // the next start does it
        log_line(LogLevel::warn, "moved_partition_kept",
                 {{"directory", source_}, {"error", to_string(removed.error())}});
    }
    return {};
}

Result<void> LogMove::abandon() {
    close_current();
    QT_TRY_ASSIGN(const bool there, disk_.exists(future()));
    if (!there) {
        return {};
    }
    return remove_future(disk_, to_.parent, future_, key_);
}

} // namespace qtool::storage
