// SparseIndex: offsets and times to positions, one entry per index.interval.bytes of a segment.
// Entries gather in memory and go to `<base offset>.qindex` in blocks; each carries a checksum, and
// the whole can be made again from the log. Lives with its Segment.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "server/port/disk.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qtool::storage {

inline constexpr size_t kIndexHeaderSize = 16;
inline constexpr size_t kIndexEntrySize = 20;

/// A batch begins at `position` with offset base + relative_offset (in the last entry of a sealed
/// segment: would begin). All batches before it have times up to max_timestamp.
struct IndexEntry {
    uint32_t relative_offset = 0;
    uint32_t position = 0;
    int64_t max_timestamp = -1; // ms; -1: none

    bool operator==(const IndexEntry&) const = default;
};

class SparseIndex {
public:
    SparseIndex(port::Disk& disk, std::string path, Offset base);

    /// Reads how many entries the file holds. Errors: storage_io; corrupt (no whole header, or of
    /// another base offset or version): then reset() and fill it again.
    Result<void> load();
    /// Empty again, in memory and, at the next write, on disk.
    void reset();

    /// `entry` lies behind all others in offset and position; the same again is ignored.
    void add(const IndexEntry& entry);
    /// Writes what is only in memory. A failure loses nothing: the entries stay in memory.
    Result<void> write();

    [[nodiscard]] uint64_t count() const { return written_ + tail_.size(); }
    [[nodiscard]] bool has_unwritten() const { return !tail_.empty(); }
    [[nodiscard]] bool is_in_file() const { return written_ > 0; }
    /// The file when it is not in memory; size 0: it is, or cannot be opened. Asked once after it
    /// was opened: a lookup touches few places, and when the system needs their memory they are
    /// read again one by one.
    [[nodiscard]] port::FileRange absent();
    /// Errors of all: storage_io; corrupt (checksum): make the index again.
    Result<std::optional<IndexEntry>> last();
    /// The last entry with relative_offset <= the given one.
    Result<std::optional<IndexEntry>> find_offset(uint32_t relative_offset);
    /// The last entry with position <= the given one.
    Result<std::optional<IndexEntry>> find_position(uint64_t position);
    /// The last entry before which all times are below `timestamp`.
    Result<std::optional<IndexEntry>> find_time(int64_t timestamp);

    void close() {
        file_.reset();
        block_ = {};
        was_asked_for_ = false;
    }
    /// The file was renamed.
    void set_path(std::string path) { path_ = std::move(path); }

private:
    template <class Before>
    Result<std::optional<IndexEntry>> find(Before is_before_or_at);
    Result<IndexEntry> entry(uint64_t at);
    Result<void> read_block(uint64_t at);
    /// Entries [first, end) are in block_.
    [[nodiscard]] uint64_t block_end() const {
        return block_first_ + block_.size() / kIndexEntrySize;
    }
    Result<void> open_file();
    [[nodiscard]] uint32_t entry_crc(const std::byte* at) const;

    port::Disk& disk_;
    std::string path_;
    Offset base_;
    uint32_t base_crc_; // goes into each checksum, so that no entry of another segment passes
    port::FileRef file_;
    // What was read last of the file. Whoever reads a backlog goes on where he was: his next
    // searches end in here, or right behind it.
    std::vector<std::byte> block_;
    uint64_t block_first_ = 0;
    bool was_asked_for_ = false;   // by absent()
    uint64_t written_ = 0;         // entries in the file
    bool must_restart_ = true;     // the file's header is to be written anew
    std::vector<IndexEntry> tail_; // behind those in the file
};

} // namespace qtool::storage
