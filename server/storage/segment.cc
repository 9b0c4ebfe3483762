#include "server/storage/segment.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/units.h"
#include "server/storage/limits.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace qtool::storage {

using protocol::BatchHeader;
using protocol::kBatchHeaderSize;

namespace {

constexpr size_t kOffsetDigits = 20;
constexpr uint64_t kWriteBackBytes = 4 * MiB;

std::string out_of_order(Offset found, Offset expected) {
    return "offset " + std::to_string(found.value()) + " where " +
           std::to_string(expected.value()) + " or more was expected";
}

} // namespace

std::string offset_file_name(Offset offset) {
    std::string digits = std::to_string(offset.value());
    return std::string(kOffsetDigits - std::min(kOffsetDigits, digits.size()), '0') + digits;
}

std::optional<Offset> parse_offset_file_name(std::string_view name, std::string_view extension) {
    if (name.size() != kOffsetDigits + extension.size() || !name.ends_with(extension)) {
        return std::nullopt;
    }
    int64_t value = 0;
    const char* end = name.data() + kOffsetDigits;
    const auto parsed = std::from_chars(name.data(), end, value);
    if (parsed.ec != std::errc() || parsed.ptr != end || value < 0) {
        return std::nullopt;
    }
    return Offset(value);
}

// ---- files --------------------------------------------------------------------------------------

Segment::Segment(port::Disk& disk, const std::string& directory, Offset base, uint64_t size,
                 const std::string& suffix)
    : disk_(disk),
      path_(directory + "/" + offset_file_name(base) + std::string(kLogExtension) + suffix),
      index_path_(directory + "/" + offset_file_name(base) + std::string(kIndexExtension) + suffix),
      aborted_path_(directory + "/" + offset_file_name(base) + std::string(kAbortedExtension) +
                    suffix),
      suffix_size_(suffix.size()),
      base_(base),
      size_(size),
      written_back_(size),
      appended_from_(size),
      index_(disk, index_path_, base),
      aborted_(disk, aborted_path_, base),
      next_offset_(base) {}

// An index under these names is of a segment that was cut off or given up, and could not be removed
// then: it would be read as this one's.
Result<void> Segment::create() {
    QT_TRY(disk_.remove(index_path_));
    QT_TRY(disk_.remove(aborted_path_));
    QT_TRY_ASSIGN(file_, disk_.open(path_, port::OpenMode::create));
    QT_TRY(file_->truncate(0)); // a leftover of a roll that failed half way
    size_ = 0;
    written_back_ = 0;
    appended_from_ = 0;
    forget_index();
    index_ready_ = true;
    return {};
}

Result<port::FileRef> Segment::file() {
    if (!file_) {
        QT_TRY_ASSIGN(file_, disk_.open(path_, port::OpenMode::read_write));
    }
    return file_;
}

void Segment::close_files() {
    file_.reset();
    index_.close();
    aborted_.close();
}

void Segment::take_final_names() {
    path_.resize(path_.size() - suffix_size_);
    index_path_.resize(index_path_.size() - suffix_size_);
    aborted_path_.resize(aborted_path_.size() - suffix_size_);
    suffix_size_ = 0;
    index_.set_path(index_path_);
    aborted_.set_path(aborted_path_);
}

// ---- append -------------------------------------------------------------------------------------

Result<void> Segment::append(const BatchHeader& header, ByteView batch,
                             uint32_t index_interval_bytes) {
    QT_ASSERT(batch.size() == header.size_bytes && index_ready_);
    QT_TRY_ASSIGN(const port::FileRef log, file());
    QT_TRY(log->write_at({&batch, 1}, size_));
    note_batch(header, size_, index_interval_bytes);
    size_ += batch.size();
    write_back(log);
    return {};
}

Result<void> Segment::append_run(std::span<const BatchHeader> headers, ByteView batches,
                                 uint32_t index_interval_bytes) {
    QT_ASSERT(index_ready_);
    QT_TRY_ASSIGN(const port::FileRef log, file());
    QT_TRY(log->write_at({&batches, 1}, size_));
    for (const BatchHeader& header : headers) {
        note_batch(header, size_, index_interval_bytes);
        size_ += header.size_bytes;
    }
    write_back(log);
    return {};
}

// Without flushes (write.caching) the kernel lets gigabytes pile up and then holds up whoever
// writes. With flushes there is never so much. The end is left out: pages that are being written
// hold up an append into them, and would be written twice.
void Segment::write_back(const port::FileRef& log) {
    const uint64_t from = std::max(synced_size, written_back_);
    if (size_ >= from + 2 * kWriteBackBytes) {
        const uint64_t to = (size_ / kWriteBackBytes - 1) * kWriteBackBytes;
        disk_.begin_write_back(log, from, to - from);
        written_back_ = to;
    }
}

Result<void> Segment::rewrite(port::File& file, uint64_t from, uint64_t to) {
    std::vector<std::byte> buffer(std::min<uint64_t>(kScanWindowSize, to - from));
    while (from < to) {
        const ByteSpan window =
            ByteSpan(buffer).first(std::min<uint64_t>(buffer.size(), to - from));
        QT_TRY_ASSIGN(const size_t got, file.read_at(window, from));
        if (got != window.size()) {
            return Error(Code::storage_io, path_ + " became shorter while it was read");
        }
        const ByteView piece = window;
        QT_TRY(file.write_at({&piece, 1}, from));
        from += got;
    }
    return {};
}

Result<void> Segment::repair() {
    QT_TRY_ASSIGN(const port::FileRef log, file());
    needs_sync = true;
    return log->truncate(size_);
}

void Segment::note_batch(const BatchHeader& header, uint64_t position,
                         uint32_t index_interval_bytes) {
    index_interval_bytes_ = index_interval_bytes;
    if (position > 0 && position - indexed_position_ >= index_interval_bytes) {
        index_.add({static_cast<uint32_t>(header.base_offset - base_),
                    static_cast<uint32_t>(position), max_timestamp_});
        indexed_position_ = position;
    }
    if (position == 0) {
        first_timestamp_ = header.max_timestamp;
    }
    max_timestamp_ = std::max(max_timestamp_, header.max_timestamp);
    next_offset_ = header.next_offset();
}

void Segment::forget_index() {
    index_.reset();
    indexed_position_ = 0;
    max_timestamp_ = -1;
    next_offset_ = base_;
    first_timestamp_.reset();
}

Result<void> Segment::index_from(uint64_t position) {
    QT_TRY_ASSIGN(const port::FileRef log, file());
    HeaderScan scan(*log, path_, position, size_);
    for (;;) {
        QT_TRY_ASSIGN(const BatchHeader* header, scan.next());
        if (header == nullptr) {
            index_ready_ = true;
            return {};
        }
        note_batch(*header, scan.position(), index_interval_bytes_);
    }
}

// ---- index --------------------------------------------------------------------------------------

Result<void> Segment::ensure_index(uint32_t index_interval_bytes) {
    if (index_ready_) {
        return {};
    }
    index_interval_bytes_ = index_interval_bytes;
    uint64_t scan_from = 0;
    Result<void> loaded = index_.load();
    if (!loaded && loaded.error().code != Code::corrupt) {
        return loaded;
    }
    Result<std::optional<IndexEntry>> last = std::optional<IndexEntry>();
    if (loaded) {
        last = index_.last();
        if (!last && last.error().code != Code::corrupt) {
            return std::move(last).error();
        }
    }
    bool fits = loaded && last;
    if (fits && *last) {
        QT_TRY_ASSIGN(fits, index_entry_fits(**last));
    }
    if (!fits) {
        forget_index();
    } else if (*last) {
        scan_from = (*last)->position;
        indexed_position_ = scan_from;
        max_timestamp_ = (*last)->max_timestamp;
        next_offset_ = base_ + (*last)->relative_offset;
    }
    return index_from(scan_from);
}

void Segment::write_index() {
    if (!index_ready_) {
        return;
    }
    if (indexed_position_ < size_) {
        // The end of the file, so that a later load needs no scan; when a batch is appended there,
        // it has just this offset.
        index_.add({static_cast<uint32_t>(next_offset_ - base_), static_cast<uint32_t>(size_),
                    max_timestamp_});
        indexed_position_ = size_;
    }
    if (Result<void> written = index_.write(); !written) {
        log_line(LogLevel::warn, "index_not_written",
                 {{"segment", path_}, {"error", to_string(written.error())}});
    }
}

// Whether a batch with the entry's offset begins where it says. An index file may be older than its
// log: neither is written in step with the other, and a crash may bring back an earlier state.
Result<bool> Segment::index_entry_fits(const IndexEntry& entry) {
    if (entry.position == 0 || entry.position >= size_) {
        return entry.position <= size_;
    }
    QT_TRY_ASSIGN(const port::FileRef log, file());
    std::array<std::byte, kBatchHeaderSize> bytes;
    QT_TRY_ASSIGN(const size_t got, log->read_at(bytes, entry.position));
    const Result<BatchHeader> header = protocol::parse_batch_header(ByteView(bytes).first(got));
    return header.has_value() && header->base_offset == base_ + entry.relative_offset;
}

// What does not fit the log is made again, once.
template <class Find>
Result<IndexEntry> Segment::index_lookup(Find find) {
    QT_TRY(ensure_index(index_interval_bytes_));
    for (int attempt = 0;; attempt++) {
        const Result<std::optional<IndexEntry>> found = find();
        if (!found && found.error().code != Code::corrupt) {
            return found.error();
        }
        if (found && !*found) {
            return IndexEntry{};
        }
        if (found) {
            QT_TRY_ASSIGN(const bool fits, index_entry_fits(**found));
            if (fits) {
                return **found;
            }
        }
        if (attempt > 0) {
            return Error(Code::storage_damaged, path_ + ": its index cannot be made");
        }
        log_line(LogLevel::warn, "index_rebuilt", {{"segment", path_}});
        forget_index();
        QT_TRY(index_from(0));
    }
}

// ---- what is not in memory ----------------------------------------------------------------------

// The batch lies between two entries of the index, mostly no further apart than one's interval; how
// far a larger one reaches says its header, and absent_at then asks for the rest.
Result<port::FileRange> Segment::absent_from(Offset offset, uint64_t size) {
    if (!index_ready_ || index_.is_in_file()) {
        if (port::FileRange absent = index_.absent(); absent.size > 0) {
            return absent;
        }
    }
    QT_TRY(ensure_index(index_interval_bytes_));
    const int64_t relative = std::clamp<int64_t>(offset - base_, 0, UINT32_MAX);
    const Result<std::optional<IndexEntry>> found =
        index_.find_offset(static_cast<uint32_t>(relative));
    if (!found && found.error().code == Code::corrupt) {
        return port::FileRange(); // it is made again, which reads all of the log
    }
    QT_TRY(found);
    return absent_at(*found ? (*found)->position : 0, size + index_interval_bytes_);
}

Result<port::FileRange> Segment::absent_at(uint64_t position, uint64_t size) {
    QT_TRY_ASSIGN(const port::FileRef log, file());
    const uint64_t end = std::min(position + size + kHeaderWindowSize, size_);
    if (position >= end || log->is_in_memory(position, end - position)) {
        return port::FileRange();
    }
    return port::FileRange{log, position, end - position};
}

// ---- lookups ------------------------------------------------------------------------------------

Result<int64_t> Segment::first_timestamp() {
    if (!first_timestamp_) {
        if (size_ == 0) {
            return int64_t{-1};
        }
        QT_TRY_ASSIGN(const port::FileRef log, file());
        HeaderScan scan(*log, path_, 0, size_);
        QT_TRY_ASSIGN(const BatchHeader* header, scan.next());
        first_timestamp_ = header->max_timestamp;
    }
    return *first_timestamp_;
}

Result<LeaderEpoch> Segment::first_epoch() {
    if (size_ == 0) {
        return kNoLeaderEpoch;
    }
    QT_TRY_ASSIGN(const port::FileRef log, file());
    HeaderScan scan(*log, path_, 0, size_);
    QT_TRY_ASSIGN(const BatchHeader* header, scan.next());
    return header->partition_leader_epoch;
}

Result<std::optional<Segment::Located>> Segment::locate(Offset offset) {
    size_t none_left = 0;
    return locate_records(offset, offset, none_left);
}

Result<std::optional<Segment::Located>> Segment::locate_records(Offset offset, Offset end,
                                                                size_t& empty_left) {
    const int64_t relative = std::clamp<int64_t>(offset - base_, 0, UINT32_MAX);
    QT_TRY_ASSIGN(const IndexEntry from, index_lookup([&] {
                      return index_.find_offset(static_cast<uint32_t>(relative));
                  }));
    QT_TRY_ASSIGN(const port::FileRef log, file());
    HeaderScan scan(*log, path_, std::min<uint64_t>(from.position, size_), size_);
    Offset expected = base_ + from.relative_offset;
    for (;;) {
        QT_TRY_ASSIGN(const BatchHeader* header, scan.next());
        if (header == nullptr) {
            return std::optional<Located>();
        }
        if (header->base_offset < expected) {
            return damaged_at(path_, scan.position(), out_of_order(header->base_offset, expected));
        }
        if (header->last_offset() >= offset) {
            if (header->records_count > 0 || header->next_offset() >= end || empty_left == 0) {
                return std::optional<Located>(Located{scan.position(), *header});
            }
            empty_left--;
        }
        expected = header->next_offset();
    }
}

Result<uint64_t> Segment::batch_boundary(uint64_t from, uint64_t limit) {
    if (limit >= size_) {
        return size_;
    }
    QT_TRY_ASSIGN(const IndexEntry entry,
                  index_lookup([&] { return index_.find_position(limit); }));
    uint64_t best = std::max<uint64_t>(from, entry.position);
    QT_TRY_ASSIGN(const port::FileRef log, file());
    HeaderScan scan(*log, path_, best, size_);
    for (;;) {
        QT_TRY_ASSIGN(const BatchHeader* header, scan.next());
        if (header == nullptr || scan.position() + header->size_bytes > limit) {
            return scan.position();
        }
    }
}

Result<void> Segment::compare_offsets(uint64_t from, uint64_t to, Offset end) {
    to = std::min(to, appended_from_);
    if (from >= to || (from >= compared_from_ && to <= compared_to_)) {
        return {};
    }
    // One stretch is remembered, the latest: a reader goes on where it was.
    const bool touches = from <= compared_to_ && to >= compared_from_;
    const uint64_t start = touches && from >= compared_from_ ? compared_to_ : from;
    const uint64_t stop = touches && to <= compared_to_ ? compared_from_ : to;
    QT_TRY_ASSIGN(const port::FileRef log, file());
    HeaderScan scan(*log, path_, start, size_);
    Offset expected = base_;
    for (bool is_behind = false; !is_behind;) {
        QT_TRY_ASSIGN(const BatchHeader* header, scan.next());
        is_behind = scan.position() >= stop;
        const Offset next = header != nullptr ? header->base_offset : end;
        if (next < expected) {
            return damaged_at(path_, scan.position(), out_of_order(next, expected));
        }
        expected = header != nullptr ? header->next_offset() : next;
    }
    compared_from_ = touches ? std::min(from, compared_from_) : from;
    compared_to_ = touches ? std::max(to, compared_to_) : to;
    return {};
}

Result<std::vector<std::byte>> Segment::read_batch(const Located& batch) {
    QT_TRY_ASSIGN(const port::FileRef log, file());
    std::vector<std::byte> bytes(batch.header.size_bytes);
    QT_TRY_ASSIGN(const size_t got, log->read_at(bytes, batch.position));
    if (got < bytes.size() || !protocol::batch_crc_ok(bytes)) {
        return damaged_at(path_, batch.position, "the checksum of the batch does not match");
    }
    return bytes;
}

Result<std::optional<Segment::TimeFound>> Segment::find_by_time(int64_t timestamp, Offset from,
                                                                Offset end) {
    QT_TRY_ASSIGN(const IndexEntry entry,
                  index_lookup([&] { return index_.find_time(timestamp); }));
    QT_TRY_ASSIGN(const port::FileRef log, file());
    HeaderScan scan(*log, path_, std::min<uint64_t>(entry.position, size_), size_);
    for (;;) {
        QT_TRY_ASSIGN(const BatchHeader* header, scan.next());
        if (header == nullptr || header->base_offset >= end) {
            return std::optional<TimeFound>();
        }
        if (header->max_timestamp < timestamp || header->last_offset() < from) {
            continue;
        }
        QT_TRY_ASSIGN(const std::vector<std::byte> bytes,
                      read_batch(Located{scan.position(), *header}));
        QT_TRY_ASSIGN(protocol::BatchRecords records,
                      protocol::BatchRecords::open({*header, bytes}, kDecompressedBatchMax));
        while (const protocol::ConsumedRecord* record = records.next()) {
            if (record->timestamp >= timestamp && record->offset >= from) {
                return std::optional<TimeFound>(TimeFound{record->offset, record->timestamp});
            }
        }
        if (Result<void> status = records.status(); !status) {
            return damaged_at(path_, scan.position(), to_string(status.error()));
        }
    }
}

// ---- check --------------------------------------------------------------------------------------

Result<Segment::Checked> Segment::check(uint32_t index_interval_bytes, Offset no_gap_over) {
    forget_index();
    index_ready_ = true;
    QT_TRY_ASSIGN(const port::FileRef log, file());
    Checked result;
    result.next_offset = base_;
    std::vector<std::byte> window;
    uint64_t window_position = 0;
    // The bytes of the batch at `position`, at least `wanted`; fewer at the end of the file.
    const auto bytes_at = [&](uint64_t position, uint64_t wanted) -> Result<ByteView> {
        const uint64_t there = size_ - position;
        if (position < window_position ||
            position + std::min(wanted, there) > window_position + window.size()) {
            window.resize(std::min(std::max<uint64_t>(wanted, kScanWindowSize), there));
            window_position = position;
            QT_TRY_ASSIGN(const size_t got, log->read_at(window, position));
            window.resize(got);
        }
        return ByteView(window).subspan(position - window_position);
    };
    // The batch at `position` if it is whole and intact; else why not.
    const auto batch_at = [&](uint64_t position, Offset expected,
                              std::string& why) -> Result<std::optional<BatchHeader>> {
        QT_TRY_ASSIGN(ByteView bytes, bytes_at(position, kBatchHeaderSize));
        const Result<BatchHeader> header = protocol::parse_batch_header(bytes);
        if (!header) {
            why = to_string(header.error());
        } else if (header->size_bytes > size_ - position) {
            why = "the batch reaches beyond the end of the file";
        } else if (header->base_offset < expected ||
                   header->next_offset() - base_ > int64_t{UINT32_MAX}) {
            why = out_of_order(header->base_offset, expected);
        } else if (expected < header->base_offset && expected < no_gap_over &&
                   header->next_offset() > no_gap_over) {
            why = "offset " + std::to_string(header->base_offset.value()) + " where " +
                  std::to_string(expected.value()) + " was expected";
        } else {
            QT_TRY_ASSIGN(bytes, bytes_at(position, header->size_bytes));
            if (bytes.size() >= header->size_bytes &&
                protocol::batch_crc_ok(bytes.first(header->size_bytes))) {
                return std::optional<BatchHeader>(*header);
            }
            why = "the checksum does not match";
        }
        return std::optional<BatchHeader>();
    };
    // The last batch if there is a gap before it, which compaction leaves, or a wrong base offset.
    struct Jump {
        uint64_t position;
        Offset expected;     // where the gap begins
        Offset next_without; // where the batch would end if there was none
    };
    std::optional<Jump> jump;
    for (uint64_t position = 0; position < size_;) {
        std::string why;
        QT_TRY_ASSIGN(const std::optional<BatchHeader> header,
                      batch_at(position, result.next_offset, why));
        if (!header) {
            QT_TRY_ASSIGN(const ByteView bytes, bytes_at(position, kBatchHeaderSize));
            const Result<BatchHeader> bad = protocol::parse_batch_header(bytes);
            std::string ignored;
            result.good_size = position;
            result.bad = why;
            if (jump && bad && bad->base_offset == jump->next_without) {
                QT_TRY_ASSIGN(const std::optional<BatchHeader> follows,
                              batch_at(position, jump->next_without, ignored));
                if (follows) { // the gap is none
                    result.good_size = jump->position;
                    result.bad = "its offset leaves a gap, but the batch behind it has offset " +
                                 std::to_string(jump->next_without.value());
                    result.next_offset = jump->expected;
                    result.intact_behind = true;
                    return result;
                }
            }
            // Power loss may leave whole batches behind a hole; so may damage. The caller keeps
            // such bytes aside.
            if (bad && bad->size_bytes < size_ - position) {
                const uint64_t behind = position + bad->size_bytes;
                QT_TRY_ASSIGN(const std::optional<BatchHeader> next,
                              batch_at(behind, result.next_offset, ignored));
                result.intact_behind = next.has_value();
            }
            return result;
        }
        jump.reset();
        if (header->base_offset > result.next_offset) {
            jump = Jump{position, result.next_offset,
                        result.next_offset + (header->next_offset() - header->base_offset)};
        }
        note_batch(*header, position, index_interval_bytes);
        position += header->size_bytes;
        result.has_transactions = result.has_transactions || header->is_transactional();
        result.good_size = position;
        result.next_offset = header->next_offset();
    }
    return result;
}

Result<void> Segment::truncate(uint64_t size) {
    QT_ASSERT(size <= size_);
    QT_TRY_ASSIGN(const port::FileRef log, file());
    QT_TRY(log->truncate(size));
    size_ = size;
    synced_size = std::min(synced_size, size);
    journaled_size = std::min(journaled_size, size);
    journaling_to = std::min(journaling_to, size);
    written_back_ = std::min(written_back_, size);
    appended_from_ = std::min(appended_from_, size);
    compared_from_ = std::min(compared_from_, size);
    compared_to_ = std::min(compared_to_, size);
    forget_index();
    return index_from(0);
}

} // namespace qtool::storage
