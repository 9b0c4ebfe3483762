#include "server/storage/flush_journal.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/units.h"
#include "server/storage/limits.h"

#include <algorithm>
#include <utility>

namespace qtool::storage {

namespace {

// A file grows by so much at once: a sync of bytes within it has no sizes and no blocks to write.
// Of a MiB the device takes milliseconds, and all that comes meanwhile waits.
constexpr uint64_t kGrowth = 64 * KiB;
// Of each file, for leave(): nobody has to wait for room to cut or move a log.
constexpr uint64_t kReserve = 64 * KiB;
constexpr uint64_t kSideMin = 4 * kJournalHeaderSize;
constexpr uint32_t kOffersBetweenOpens = 1000;

uint64_t round_up(uint64_t size, uint64_t to) {
    return (size + to - 1) / to * to;
}

} // namespace

FlushJournal::FlushJournal(port::Disk& disk, std::string log_directory, CoreId core,
                           uint64_t bytes_max, uint64_t salt)
    : disk_(disk),
      directory_(std::move(log_directory)),
      side_bytes_max_(bytes_max / 2),
      reserve_(std::min(kReserve, side_bytes_max_ / 4)),
      salt_(salt << 32),
      state_(side_bytes_max_ < kSideMin ? State::off : State::unopened) {
    for (size_t i = 0; i < sides_.size(); i++) {
        sides_[i].path = directory_ + "/" + std::string(kJournalPrefix) +
                         std::to_string(core.value()) + "." + std::to_string(i);
        sides_[i].size_max = side_bytes_max_;
    }
}

// ---- opening ------------------------------------------------------------------------------------

// Durable before anything is told to be in it: what a power loss shows of a new file may be what
// lay there before.
Result<void> FlushJournal::open_side(Side& side, uint64_t generation) {
    QT_TRY_ASSIGN(side.file, disk_.open(side.path, port::OpenMode::create));
    QT_TRY(side.file->truncate(0));
    side.size = 0;
    side.end = kJournalHeaderSize;
    side.generation = salt_ + generation;
    QT_TRY(grow(side, kJournalHeaderSize));
    const std::vector<std::byte> header = encode_journal_header(side.generation);
    QT_TRY(write(side, header, 0));
    return side.file->sync_blocking();
}

Result<void> FlushJournal::open() {
    QT_TRY(open_side(current(), 1));
    QT_TRY(open_side(other(), 2));
    return disk_.sync_directory(directory_);
}

void FlushJournal::put_out_of_use(const Error& error) {
    if (state_ == State::broken || state_ == State::off) {
        return;
    }
    state_ = State::broken;
    log_line(LogLevel::error, "flush_journal_out_of_use",
             {{"directory", directory_},
              {"error", to_string(error)},
              {"effect", "each log is synced on its own until the next start"}});
    settling_ = Settling::logs;
    to_settle_.assign(current().holds.begin(), current().holds.end());
    to_settle_.insert(to_settle_.end(), other().holds.begin(), other().holds.end());
}

// ---- flushes ------------------------------------------------------------------------------------

FlushJournal::Answer FlushJournal::offer(uint64_t bytes) {
    if (bytes > kJournaledFlushMax || state_ == State::broken || state_ == State::off) {
        return Answer::refuse;
    }
    if (state_ == State::unopened) {
        if (offers_left_ > 0) {
            offers_left_--;
            return Answer::refuse;
        }
        if (Result<void> opened = open(); !opened) {
            offers_left_ = kOffersBetweenOpens;
            log_line(LogLevel::warn, "flush_journal_not_opened",
                     {{"directory", directory_}, {"error", to_string(opened.error())}});
            return Answer::refuse;
        }
        state_ = State::open;
    }
    if (is_flushing_ || collected_.size() + bytes > kJournalRoundMax) {
        return Answer::wait;
    }
    const auto fits = [&](const Side& side, uint64_t end) {
        // With room for the record's own fields and name.
        return end + collected_.size() + bytes + kJournalHeaderSize + reserve_ <= side.size_max;
    };
    if (fits(current(), current().end)) {
        return Answer::take;
    }
    if (has_collected()) {
        return Answer::wait; // what there is goes first
    }
    if (settling_ != Settling::nothing || !fits(other(), kJournalHeaderSize)) {
        return Answer::full;
    }
    turn_over();
    return Answer::take;
}

void FlushJournal::turn_over() {
    to_settle_.assign(current().holds.begin(), current().holds.end());
    settling_ = Settling::logs;
    current_ = 1 - current_;
}

Result<void> FlushJournal::add(const JournalRecord& piece, port::File& segment, uint32_t size) {
    QT_ASSERT(!is_flushing_ && state_ == State::open);
    const size_t at = collected_.size();
    const ByteSpan into = open_journal_record(collected_, current().generation, piece, size);
    const Result<size_t> got = segment.read_at(into, piece.position);
    if (!got || *got != size) {
        collected_.truncate(at);
        return got ? Error(Code::storage_io, std::string(piece.directory) +
                                                 ": a segment is shorter than what was written")
                   : got.error();
    }
    close_journal_record(collected_, at);
    collected_of_.push_back(piece.partition);
    return {};
}

// Before anything is written, so that a full disk leaves no halves behind the records.
Result<void> FlushJournal::grow(Side& side, uint64_t end) {
    if (end <= side.size) {
        return {};
    }
    const uint64_t size = std::max(end, std::min(round_up(end, kGrowth), side.size_max));
    const std::vector<std::byte> zeros(size - side.size);
    const ByteView piece = zeros;
    if (Result<void> grown = side.file->write_at({&piece, 1}, side.size); !grown) {
        // What it took nevertheless somebody else may need.
        static_cast<void>(side.file->truncate(side.size));
        return grown;
    }
    side.size = size;
    return {};
}

// REQUIRES: it has grown. After an error nobody knows what is there.
Result<void> FlushJournal::write(Side& side, ByteView records, uint64_t position) {
    Result<void> written = side.file->write_at({&records, 1}, position);
    if (!written) {
        put_out_of_use(written.error());
    }
    return written;
}

Result<port::FileRef> FlushJournal::begin_flush() {
    QT_ASSERT(!is_flushing_ && has_collected());
    Side& side = current();
    const std::vector<PartitionKey> partitions = std::exchange(collected_of_, {});
    flushing_at_ = side.end;
    Result<void> written = grow(side, side.end + collected_.size() + reserve_);
    if (written) {
        side.holds.insert(partitions.begin(), partitions.end());
        written = write(side, collected_.view(), side.end);
    } else if (written.error().code == Code::storage_full) {
        side.size_max = side.size;
    } else {
        put_out_of_use(written.error());
    }
    if (!written) {
        collected_.truncate(0);
        return std::move(written).error();
    }
    side.end += collected_.size();
    is_flushing_ = true;
    return side.file;
}

// leave() may have been told of the failure instead.
Result<void> FlushJournal::end_flush(Result<void> result) {
    QT_ASSERT(is_flushing_);
    is_flushing_ = false;
    collected_.truncate(0);
    if (!result) {
        put_out_of_use(result.error());
    } else if (state_ == State::broken) {
        return Error(Code::storage_io, directory_ + ": the flush journal is out of use");
    }
    return result;
}

// ---- settling -----------------------------------------------------------------------------------

std::optional<PartitionKey> FlushJournal::next_to_settle() {
    if (to_settle_.empty()) {
        return std::nullopt;
    }
    const PartitionKey key = to_settle_.back();
    to_settle_.pop_back();
    return key;
}

// Which generation a file is of is durable before its records are written over: a part of them
// alone, without what came later and made them void, must never be read.
port::FileRef FlushJournal::end_settling(std::vector<PartitionKey> unsettled) {
    QT_ASSERT(is_settling() && to_settle_.empty());
    if (!unsettled.empty()) {
        to_settle_ = std::move(unsettled);
        return nullptr;
    }
    settling_ = Settling::nothing;
    if (state_ == State::broken) {
        if (Result<void> removed = remove(); !removed) {
            settling_ = Settling::logs; // and again
            log_line(LogLevel::warn, "flush_journal_kept",
                     {{"directory", directory_}, {"error", to_string(removed.error())}});
        }
        return nullptr;
    }
    settling_ = Settling::emptying;
    const std::vector<std::byte> header = encode_journal_header(current().generation + 1);
    return write(other(), header, 0) ? other().file : nullptr;
}

void FlushJournal::end_emptying(const Result<void>& result) {
    if (!result) {
        put_out_of_use(result.error());
    } else if (settling_ == Settling::emptying) {
        settling_ = Settling::nothing;
        other().generation = current().generation + 1;
        other().end = kJournalHeaderSize;
        other().holds.clear();
        other().size_max = side_bytes_max_; // there may be room again
    }
}

// ---- the end ------------------------------------------------------------------------------------

bool FlushJournal::holds(const PartitionKey& partition) const {
    return sides_[0].holds.contains(partition) || sides_[1].holds.contains(partition);
}

// A flush under way is before it, and may have failed by now, unknown here: so it is written once
// more. Its failure, and that of this sync, are told once for each opening of the file.
Result<void> FlushJournal::leave(std::string_view partition_directory,
                                 const PartitionKey& partition) {
    if (!holds(partition)) {
        return {};
    }
    QT_ASSERT(!has_collected());
    if (state_ != State::open) { // until all that it holds is synced, and it goes
        return Error(Code::storage_full, directory_ +
                                             ": the flush journal is out of use, and what "
                                             "it holds of " +
                                             std::string(partition_directory) +
                                             " cannot be made void yet");
    }
    JournalRecord record;
    record.kind = JournalRecord::Kind::leave;
    record.partition = partition;
    record.directory = partition_directory;
    ByteWriter out;
    if (is_flushing_) {
        out.bytes(collected_.view());
    }
    const size_t at = out.size();
    open_journal_record(out, current().generation, record, 0);
    close_journal_record(out, at);
    Side& side = current();
    QT_TRY_ASSIGN(const port::FileRef file, disk_.open(side.path, port::OpenMode::read_write));
    const uint64_t position = is_flushing_ ? flushing_at_ : side.end;
    QT_TRY(grow(side, position + out.size()));
    const ByteView piece = out.view();
    if (Result<void> written = file->write_at({&piece, 1}, position); !written) {
        put_out_of_use(written.error());
        return written;
    }
    side.end = position + out.size();
    if (is_flushing_) {
        collected_.truncate(0);
        collected_.bytes(out.view());
    }
    if (Result<void> synced = file->sync_blocking(); !synced) {
        put_out_of_use(synced.error());
        return synced;
    }
    for (Side& each : sides_) {
        each.holds.erase(partition);
    }
    return {};
}

// The older one first, durably: it may have what only the newer one says is void.
Result<void> FlushJournal::remove() {
    if (sides_[0].generation == 0) { // none was made
        return {};
    }
    const bool is_first_older = sides_[0].generation < sides_[1].generation;
    for (Side* side : {&sides_[is_first_older ? 0 : 1], &sides_[is_first_older ? 1 : 0]}) {
        side->file.reset();
        QT_TRY(disk_.remove(side->path));
        QT_TRY(disk_.sync_directory(directory_));
        side->holds.clear();
    }
    state_ = State::off;
    settling_ = Settling::nothing;
    return {};
}

} // namespace qtool::storage
