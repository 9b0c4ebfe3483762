// One segment of a partition's log: `<base offset>.log` with batches as on the wire, and its sparse
// index. Files are opened when needed and can be closed at any time. Lives on the core that owns
// the partition; owned by Log.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/protocol/record_batch.h"
#include "server/port/disk.h"
#include "server/storage/aborted_index.h"
#include "server/storage/header_scan.h"
#include "server/storage/sparse_index.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace qtool::storage {

/// "00000000000000000042": names sort as offsets do.
std::string offset_file_name(Offset offset);
/// The offset of "<20 digits><extension>"; nothing for other names.
std::optional<Offset> parse_offset_file_name(std::string_view name, std::string_view extension);

inline constexpr std::string_view kLogExtension = ".log";
inline constexpr std::string_view kIndexExtension = ".qindex";
inline constexpr std::string_view kSnapshotExtension = ".snapshot";
inline constexpr std::string_view kAbortedExtension = ".txnindex";
inline constexpr std::string_view kDeletedExtension = ".deleted";

class Segment {
public:
    struct Located {
        uint64_t position = 0;
        protocol::BatchHeader header;
    };
    struct TimeFound {
        Offset offset;
        int64_t timestamp_ms = -1;
    };
    /// What a check of the whole file found; good_size < size(): something bad begins there.
    struct Checked {
        uint64_t good_size = 0;
        Offset next_offset;
        std::string bad; // why the check stopped; empty: all is good
        bool has_transactions = false;
        bool intact_behind = false; // a whole batch with a fitting checksum follows the bad one
    };

    /// `size` as the directory lists it. `suffix` follows the names of all files: what is being
    /// made to replace a segment is kept apart until then.
    Segment(port::Disk& disk, const std::string& directory, Offset base, uint64_t size,
            const std::string& suffix = "");

    /// Makes the file, empty. Errors: storage_io, storage_full.
    Result<void> create();

    [[nodiscard]] Offset base_offset() const { return base_; }
    [[nodiscard]] uint64_t size() const { return size_; }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const std::string& index_path() const { return index_path_; }
    [[nodiscard]] const std::string& aborted_path() const { return aborted_path_; }
    [[nodiscard]] bool is_open() const { return file_ != nullptr; }
    Result<port::FileRef> file();
    void close_files();
    AbortedIndex& aborted() { return aborted_; }
    /// The files were renamed: from now on they have the names of a segment without suffix.
    void take_final_names();

    /// `batch` is whole, its offset assigned. After an error call repair() before anything else.
    Result<void> append(const protocol::BatchHeader& header, ByteView batch,
                        uint32_t index_interval_bytes);
    /// Several batches with one write; `headers` are those of `batches`, in order.
    Result<void> append_run(std::span<const protocol::BatchHeader> headers, ByteView batches,
                            uint32_t index_interval_bytes);
    /// Writes what it reads there, so that the next sync of that opening of its file brings it,
    /// whatever became of the one before. Errors: storage_io.
    Result<void> rewrite(port::File& file, uint64_t from, uint64_t to);
    /// Cuts the file back to size(). Errors: storage_io.
    Result<void> repair();

    /// The index covers the whole file afterwards; made again if it does not fit the log.
    /// Errors: storage_io, storage_damaged.
    Result<void> ensure_index(uint32_t index_interval_bytes);
    /// Writes the index with a last entry for the end of the file. Failure costs a scan later.
    void write_index();
    [[nodiscard]] uint64_t index_size_bytes() const { return index_.count() * kIndexEntrySize; }

    /// Whether next_offset and max_timestamp tell of the whole file.
    [[nodiscard]] bool has_index() const { return index_ready_; }
    /// Offset behind the last batch; valid after ensure_index or check.
    [[nodiscard]] Offset next_offset() const { return next_offset_; }
    /// Greatest time of all batches, ms; -1: none, or ensure_index was not called.
    [[nodiscard]] int64_t max_timestamp() const { return max_timestamp_; }
    /// max_timestamp of the first batch; -1 when empty.
    Result<int64_t> first_timestamp();
    Result<LeaderEpoch> first_epoch();

    // For who must not wait for the device: bytes to be read in first; size 0: all is in memory.
    /// Of a read of `size` bytes from `offset` on, up to where its first batch is found: the index,
    /// or a stretch of the log. Errors: storage_io, storage_damaged.
    Result<port::FileRange> absent_from(Offset offset, uint64_t size);
    /// Of the log, with a header behind it. Errors: storage_io, storage_full.
    Result<port::FileRange> absent_at(uint64_t position, uint64_t size);

    /// The bytes of a batch, which match its checksum. Errors: storage_io, storage_damaged.
    Result<std::vector<std::byte>> read_batch(const Located& batch);
    /// The first batch that ends at or behind `offset`; nothing when all end before it.
    Result<std::optional<Located>> locate(Offset offset);
    /// As locate, but passes over batches without records that end before `end`, at most
    /// `empty_left` of them, which it counts down.
    Result<std::optional<Located>> locate_records(Offset offset, Offset end, size_t& empty_left);
    /// The greatest position of a batch that is <= `limit`, found cheaply, so maybe a smaller one;
    /// at least `from`, which is one.
    Result<uint64_t> batch_boundary(uint64_t from, uint64_t limit);
    /// Whether the base offsets of the batches in [from, to), which no checksum covers, rise, up to
    /// the batch at `to` or, at the end of the file, to `end`, where the segment ends. Both are
    /// positions of batches. What was appended or compared before is not read again.
    /// Errors: storage_io, storage_damaged.
    Result<void> compare_offsets(uint64_t from, uint64_t to, Offset end);
    /// First record at or behind `from`, in a batch below `end`, with a time >= `timestamp`.
    Result<std::optional<TimeFound>> find_by_time(int64_t timestamp, Offset from, Offset end);

    /// Reads all of the file, checksums too, and makes the index anew. No batch behind a gap
    /// that begins below `no_gap_over` may end above it: its base offset, which no checksum covers,
    /// is wrong then. Errors: storage_io only.
    Result<Checked> check(uint32_t index_interval_bytes, Offset no_gap_over = Offset{0});
    /// Cuts the file at `size`, where a batch begins. The index is made anew when needed.
    Result<void> truncate(uint64_t size);

    uint64_t synced_size = 0;    // bytes that flushes covered
    uint64_t journaled_size = 0; // or that the flush journal has, durably; and those ...
    uint64_t journaling_to = 0;  // ... of a flush that is under way
    /// Bytes that a crash leaves.
    [[nodiscard]] uint64_t durable_size() const { return std::max(synced_size, journaled_size); }
    bool needs_sync = false; // a truncation is not durable: what it cut off could come back

private:
    void note_batch(const protocol::BatchHeader& header, uint64_t position,
                    uint32_t index_interval_bytes);
    void forget_index();
    void write_back(const port::FileRef& log);
    Result<void> index_from(uint64_t position);
    Result<bool> index_entry_fits(const IndexEntry& entry);
    template <class Find>
    Result<IndexEntry> index_lookup(Find find);

    port::Disk& disk_;
    std::string path_;
    std::string index_path_;
    std::string aborted_path_;
    size_t suffix_size_; // of these paths
    Offset base_;
    uint64_t size_;
    port::FileRef file_;
    uint64_t written_back_ = 0;  // bytes that the disk was told to write
    uint64_t appended_from_;     // all behind it follows what is before it
    uint64_t compared_from_ = 0; // and so do these below it, and what is behind them
    uint64_t compared_to_ = 0;
    SparseIndex index_;
    AbortedIndex aborted_;
    bool index_ready_ = false;
    uint64_t indexed_position_ = 0; // of the last entry
    uint32_t index_interval_bytes_ = 4096;
    int64_t max_timestamp_ = -1;
    Offset next_offset_; // behind the last batch; known when index_ready_
    std::optional<int64_t> first_timestamp_;
};

} // namespace qtool::storage
