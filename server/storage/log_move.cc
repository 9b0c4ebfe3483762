#include "server/storage/log_move.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/protocol/record_batch.h"
#include "server/storage/checkpoint.h"
#include "server/storage/compaction.h"
#include "server/storage/data_dir.h"
#include "server/storage/log.h"
#include "server/storage/move_mark.h"
#include "server/storage/partition_files.h"
#include "server/storage/segment.h"

#include <algorithm>

namespace qtool::storage {

namespace {

constexpr size_t kBufferSize = 256 * KiB;
constexpr size_t kNameKeptMax = 190; // of 255: leaves room for id, index and suffix

// How a file of the source comes into the copy.
enum class Kind : uint8_t {
    none,    // on its way out, not finished, or written by the move itself
    segment, // only grows: copied as far as it is settled, the rest at the end
    whole,   // must be there, and does not change once the segment is sealed
    index,   // may be missing: it is made again from the segment
    last,    // small, and may change: copied at the end
};

struct Named {
    Kind kind = Kind::none;
    std::optional<Offset> base; // of the segment it belongs to
};

Named kind_of(const port::DirectoryEntry& entry) {
    const std::string& name = entry.name;
    if (entry.is_directory || name.ends_with(kDeletedExtension) || name.ends_with(".tmp") ||
        name.ends_with(kCleanedSuffix) || name == kMoveMarkName || name == kPartitionMetaName) {
        return {};
    }
    if (const auto base = parse_offset_file_name(name, kLogExtension)) {
        return {Kind::segment, base};
    }
    if (const auto base = parse_offset_file_name(name, kIndexExtension)) {
        return {Kind::index, base};
    }
    if (const auto base = parse_offset_file_name(name, kAbortedExtension)) {
        return {Kind::whole, base};
    }
    const bool is_kept_aside = name.ends_with(".discarded"); // by recovery, so we keep it, too
    if (is_kept_aside || parse_offset_file_name(name, kSnapshotExtension)) {
        return {Kind::whole, std::nullopt};
    }
    return {Kind::last, std::nullopt};
}

// Of a listing, which is sorted; nothing: there are no segments.
std::optional<Offset> active_base(const std::vector<port::DirectoryEntry>& entries) {
    std::optional<Offset> active;
    for (const port::DirectoryEntry& entry : entries) {
        const Named named = kind_of(entry);
        active = named.kind == Kind::segment ? named.base : active;
    }
    return active;
}

} // namespace

// ---- the wish -----------------------------------------------------------------------------------

std::string future_directory_name(const std::string& directory, const PartitionKey& key) {
    return base_name(directory).substr(0, kNameKeptMax) + "." + to_string(key.topic_id) + "-" +
           std::to_string(key.index.value()) + std::string(kFutureExtension);
}

Result<void> write_move_wish(port::Disk& disk, const Log& log, const MoveEnd& to) {
    const std::string future =
        to.log_directory + "/" + future_directory_name(log.directory(), log.key());
    QT_TRY_ASSIGN(const bool there, disk.exists(future + "/" + kPartitionMetaName));
    if (there) {
        return {};
    }
    QT_TRY(disk.make_directory(future));
    return write_partition_meta(disk, future, log.key(), false);
}

Result<void> remove_move_wish(port::Disk& disk, const Log& log, const MoveEnd& to) {
    const std::string future = future_directory_name(log.directory(), log.key());
    QT_TRY_ASSIGN(const bool there, disk.exists(to.log_directory + "/" + future));
    if (!there) {
        return {};
    }
    return discard_directory(disk, to.log_directory, future, log.key());
}

Result<void> remove_unused_home(port::Disk& disk, const Log& log) {
    QT_ASSERT(!log.has_directory());
    QT_TRY_ASSIGN(const bool there, disk.exists(log.directory()));
    if (!there) {
        return {};
    }
    QT_TRY_ASSIGN(const auto owner, read_partition_meta(disk, log.directory()));
    if (owner && *owner != log.key()) {
        return {}; // another topic's, which the first append would have moved out of the way
    }
    return discard_directory(disk, parent_directory(log.directory()), base_name(log.directory()),
                             log.key());
}

// ---- copying ------------------------------------------------------------------------------------

LogMove::LogMove(port::Disk& disk, const Log& log, MoveEnd from, MoveEnd to)
    : disk_(disk),
      from_(std::move(from)),
      to_(std::move(to)),
      source_(log.directory()),
      future_(future_directory_name(source_, log.key())),
      key_(log.key()),
      rewrite_count_(log.rewrite_count()),
      buffer_(kBufferSize),
      copied_end_(log.log_start_offset()) {}

Result<std::unique_ptr<LogMove>> LogMove::begin(port::Disk& disk, const Log& log, MoveEnd from,
                                                MoveEnd to) {
    QT_ASSERT(log.has_directory());
    std::unique_ptr<LogMove> move(new LogMove(disk, log, std::move(from), std::move(to)));
    QT_TRY_ASSIGN(const bool there, disk.exists(move->future()));
    if (there) {
        QT_TRY_ASSIGN(const Entries left, disk.list(move->future()));
        const bool is_wish_alone =
            std::all_of(left.begin(), left.end(), [](const port::DirectoryEntry& entry) {
                return entry.name == kPartitionMetaName;
            });
        if (!is_wish_alone) {
            QT_TRY(remove_move_wish(disk, log, move->to_));
        }
    }
    QT_TRY(disk.make_directory(move->future()));
    QT_TRY(write_partition_meta(disk, move->future(), move->key_));
    QT_TRY(disk.sync_directory(move->to_.log_directory));
    return move;
}

template <class T>
Result<T> LogMove::of_source(Result<T> result) {
    is_source_trouble_ = is_source_trouble_ || !result;
    return result;
}

Result<LogMove::Entries> LogMove::list_source() {
    QT_TRY_ASSIGN(Entries entries, of_source(disk_.list(source_)));
    std::erase_if(entries, [](const port::DirectoryEntry& entry) {
        return kind_of(entry).kind == Kind::none;
    });
    return entries;
}

uint64_t LogMove::copied_of(const std::string& name) const {
    const auto at = files_.find(name);
    return at == files_.end() ? 0 : at->second.copied;
}

// Fills the queue with what has settled bytes that are not copied yet. Returns how many bytes of
// segments are left to copy, the unsettled ones included.
Result<uint64_t> LogMove::plan(const Log& log) {
    QT_ASSERT(queue_.empty());
    QT_TRY_ASSIGN(const Entries entries, list_source());
    const std::optional<Offset> active = active_base(entries);
    uint64_t left = 0;
    for (const port::DirectoryEntry& entry : entries) {
        const Named named = kind_of(entry);
        const uint64_t copied = copied_of(entry.name);
        if (named.kind == Kind::segment) {
            left += entry.size - std::min(entry.size, copied);
            if (copied < log.settled_bytes(*named.base, entry.size)) {
                queue_.push_back(entry.name);
            }
        } else if (named.kind != Kind::last && (!named.base || named.base != active) &&
                   copied != entry.size) {
            files_.erase(entry.name); // an index that was made anew, maybe
            queue_.push_back(entry.name);
        }
    }
    return left;
}

// The next of the queue that is still there. False: there was none.
Result<bool> LogMove::open_next(const Log& log) {
    while (!queue_.empty()) {
        const std::string name = queue_.front();
        queue_.pop_front();
        QT_TRY_ASSIGN(const bool there, of_source(disk_.exists(source_ + "/" + name)));
        if (!there) {
            continue; // retention was here
        }
        QT_TRY(open_current(name, UINT64_MAX));
        QT_TRY_ASSIGN(limit_, of_source(read_->size()));
        if (const auto base = parse_offset_file_name(name, kLogExtension)) {
            limit_ = log.settled_bytes(*base, limit_);
        }
        if (copied_of(name) <= limit_) {
            return true;
        }
        files_.erase(name); // an index that became shorter since the queue was made
        close_current();
    }
    return false;
}

Result<void> LogMove::open_current(const std::string& name, uint64_t limit) {
    QT_TRY_ASSIGN(read_, of_source(disk_.open(source_ + "/" + name, port::OpenMode::read)));
    QT_TRY_ASSIGN(write_, disk_.open(future() + "/" + name, port::OpenMode::create));
    current_ = name;
    limit_ = limit;
    File& file = files_[name];
    file.is_durable = false;
    if (file.copied == 0) {
        next_header_ = 0;
        QT_TRY(write_->truncate(0));
    }
    return {};
}

void LogMove::close_current() {
    current_.clear();
    read_.reset();
    write_.reset();
}

// Returns the bytes copied; 0: the file, an index, was exchanged meanwhile, and is left for later.
Result<uint64_t> LogMove::copy_some(uint64_t bytes_max) {
    File& file = files_.at(current_);
    QT_ASSERT(file.copied < limit_);
    const uint64_t size = std::min({bytes_max, limit_ - file.copied, uint64_t{kBufferSize}});
    const ByteSpan window = ByteSpan(buffer_).first(size);
    QT_TRY_ASSIGN(const size_t got, of_source(read_->read_at(window, file.copied)));
    const bool is_segment = current_.ends_with(kLogExtension);
    if (got != size) {
        if (is_segment) {
            is_source_trouble_ = true;
            return Error(Code::storage_io,
                         source_ + "/" + current_ + " became shorter while it was copied");
        }
        files_.erase(current_);
        close_current();
        return uint64_t{0};
    }
    const ByteView piece = window;
    QT_TRY(write_->write_at({&piece, 1}, file.copied));
    const uint64_t position = file.copied;
    file.copied += size;
    if (is_segment) {
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
        } else if (const auto got = read_->read_at(again, next_header_);
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
    if (log.rewrite_count() != rewrite_count_) {
        return Error(Code::cancelled, source_ + " was rewritten while it was copied");
    }
    LogMoveStep step;
    if (current_.empty() && queue_.empty()) {
        QT_TRY_ASSIGN(const uint64_t left, plan(log));
        if (queue_.empty()) {
            step.is_caught_up = left <= kMoveTailBytesMax;
            step.wants_flush = !step.is_caught_up;
            return step;
        }
    }
    if (current_.empty()) {
        QT_TRY_ASSIGN(const bool is_open, open_next(log));
        if (!is_open) {
            return step;
        }
    }
    while (step.bytes < bytes_max && !current_.empty() && copied_of(current_) < limit_) {
        QT_TRY_ASSIGN(const uint64_t size, copy_some(bytes_max - step.bytes));
        step.bytes += size;
        unsynced_ += size;
    }
    const bool is_whole = !current_.empty() && copied_of(current_) == limit_;
    const bool is_index = current_.ends_with(kIndexExtension);
    if (!current_.empty() && !is_index && (is_whole || unsynced_ >= kMoveTailBytesMax)) {
        step.to_sync = write_;
        syncing_ = current_;
        is_syncing_ = true;
        unsynced_ = 0;
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
    } else if (syncing_ != current_) { // whole
        files_.at(syncing_).is_durable = true;
    }
}

// ---- the end ------------------------------------------------------------------------------------

Result<bool> LogMove::finish(Log& log, uint64_t tail_bytes_max) {
    QT_ASSERT(!is_syncing_ && current_.empty() && queue_.empty());
    is_source_trouble_ = false;
    if (sync_failed_) {
        return *sync_failed_;
    }
    if (log.rewrite_count() != rewrite_count_) {
        return Error(Code::cancelled, source_ + " was rewritten while it was copied");
    }
    QT_TRY_ASSIGN(Entries entries, list_source());
    uint64_t tail = 0;
    for (const port::DirectoryEntry& entry : entries) {
        if (kind_of(entry).kind == Kind::segment) {
            tail += entry.size - std::min(entry.size, copied_of(entry.name));
        }
    }
    if (tail > tail_bytes_max) {
        return false;
    }
    Result<void> closed = log.close();
    if (closed) {
        closed = log.leave_journal();
    }
    if (!closed) {
        is_source_trouble_ = true;
        // Not closed, but not broken either: there was no descriptor, say.
        return log.failure() ? std::move(closed).error()
                             : Error(Code::storage_full, to_string(closed.error()));
    }
    QT_TRY_ASSIGN(entries, list_source());
    QT_TRY(bring_rest(entries));
    QT_TRY(commit(log));
    return true;
}

// All of the file, or what is not there yet of a segment.
Result<void> LogMove::bring(const std::string& name, uint64_t size) {
    if (!name.ends_with(kLogExtension)) {
        files_.erase(name);
    }
    QT_TRY(open_current(name, size));
    while (copied_of(name) < size) {
        QT_TRY_ASSIGN(const uint64_t copied, copy_some(size));
        if (copied == 0) { // nobody writes here now
            is_source_trouble_ = true;
            return Error(Code::storage_io, source_ + "/" + name + " is shorter than listed");
        }
    }
    if (!name.ends_with(kIndexExtension)) {
        QT_TRY(write_->sync_blocking());
    }
    files_.at(name).is_durable = true;
    close_current();
    return {};
}

Result<void> LogMove::bring_rest(const Entries& entries) {
    const std::optional<Offset> active = active_base(entries);
    for (const port::DirectoryEntry& entry : entries) {
        const Named named = kind_of(entry);
        const auto at = files_.find(entry.name);
        const bool is_there =
            at != files_.end() && at->second.is_durable && at->second.copied == entry.size;
        const bool is_of_active = named.base && named.base == active;
        if (named.kind == Kind::index ? is_of_active
                                      : !is_there || named.kind == Kind::last ||
                                            (named.kind == Kind::whole && is_of_active)) {
            QT_TRY(bring(entry.name, entry.size));
        }
    }
    QT_TRY(check_copy(entries));
    QT_TRY(write_move_mark(disk_, future(), {MoveMark::State::arrived, from_.id}));
    return disk_.sync_directory(future());
}

// What retention deleted meanwhile goes here, too, and so does an index that changed; the rest is
// there in full.
Result<void> LogMove::check_copy(const Entries& entries) {
    std::map<std::string_view, uint64_t> sizes;
    size_t expected = 0;
    for (const port::DirectoryEntry& entry : entries) {
        sizes.emplace(entry.name, entry.size);
        expected += kind_of(entry).kind == Kind::index ? 0 : 1;
    }
    QT_TRY_ASSIGN(const Entries copies, disk_.list(future()));
    size_t same = 0;
    for (const port::DirectoryEntry& copy : copies) {
        if (copy.name == kPartitionMetaName) {
            continue;
        }
        const auto of = sizes.find(copy.name);
        const bool is_index = kind_of(copy).kind == Kind::index;
        if (of == sizes.end() || (is_index && of->second != copy.size)) {
            QT_TRY(disk_.remove(future() + "/" + copy.name));
        } else if (!is_index && of->second == copy.size) {
            same++;
        }
    }
    if (same != expected) {
        return Error(Code::storage_io, future() + ": " + std::to_string(same) + " of " +
                                           std::to_string(expected) + " files are whole");
    }
    return {};
}

Result<void> LogMove::commit(Log& log) {
    const std::string name = base_name(source_);
    const std::string home = to_.log_directory + "/" + name;
    QT_TRY_ASSIGN(const bool is_taken, disk_.exists(home));
    if (is_taken) { // by a topic that was deleted while the log directory was offline
        QT_TRY(quarantine(disk_, to_.log_directory, name));
    }
    if (Result<void> marked =
            of_source(write_move_mark(disk_, source_, {MoveMark::State::leaving, to_.id}));
        !marked) {
        // One that is there all the same says that the log stays, as long as no copy has arrived.
        static_cast<void>(remove_move_mark(disk_, source_));
        return marked;
    }
    if (Result<void> renamed = disk_.rename(future(), home); !renamed) {
        return keep(log, std::move(renamed).error());
    }
    if (Result<void> synced = disk_.sync_directory(to_.log_directory); !synced) {
        return keep(log, std::move(synced).error());
    }
    log.relocate(home);
    Result<void> left = of_source(discard_directory(disk_, from_.log_directory, name, key_));
    if (left) {
        left = remove_move_mark(disk_, home);
    }
    if (!left) { // the mark stays, and whoever moves the partition next, or starts, does it
        log_line(LogLevel::warn, "moved_partition_kept",
                 {{"directory", source_}, {"error", to_string(left.error())}});
        leftover_ = std::move(left).error();
    }
    return {};
}

// The copy may have got its name, durably or not: from now on it is void.
Error LogMove::keep(Log& log, Error reason) {
    if (Result<void> kept = write_move_mark(disk_, source_, {MoveMark::State::kept, to_.id});
        !kept) {
        log.fail(kept.error()); // nobody could say after a restart which one counts
        is_source_trouble_ = true;
        return std::move(kept).error();
    }
    return reason;
}

} // namespace qtool::storage
