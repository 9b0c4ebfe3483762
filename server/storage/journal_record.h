// What a flush journal holds (flush_journal.h), byte for byte, and what of it counts. Pure; for any
// thread. Format: README.md.
//
// A file is a page with its generation, then records of that generation, one after the other. What
// follows the last whole one, of a flush that a crash interrupted or of an earlier generation, is
// nothing.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

namespace qtool::storage {

inline constexpr size_t kJournalHeaderSize = 4096; // a page: more than a device may tear
/// "flush-journal.<core>.<0 or 1>".
inline constexpr std::string_view kJournalPrefix = "flush-journal.";

/// A piece of a segment, or that what was told of a partition before is void.
struct JournalRecord {
    enum class Kind : uint8_t { bytes = 1, leave = 2 };
    Kind kind = Kind::bytes;
    PartitionKey partition;
    std::string_view directory; // its name, without the log directory's; reading: a view, too
    Offset segment;             // bytes: the segment's base offset, and
    uint64_t position = 0;      // where in its file
    ByteView bytes;             // of the buffer it was read from
};

std::vector<std::byte> encode_journal_header(uint64_t generation);
/// With `size` bytes of payload left for the caller to fill, which are returned; close_ follows.
/// REQUIRES: the directory's name has at most 255 bytes.
ByteSpan open_journal_record(ByteWriter& out, uint64_t generation, const JournalRecord& record,
                             uint32_t size);
/// Computes the checksum of the record that begins at `at`, the last one in `out`.
void close_journal_record(ByteWriter& out, size_t at);

class JournalReader {
public:
    /// Errors: corrupt (no journal, or one whose first page a crash tore); unsupported_version.
    static Result<JournalReader> open(ByteView file);

    [[nodiscard]] uint64_t generation() const { return generation_; }
    /// Nothing: that was the last one. `bytes` is a view of the file.
    std::optional<JournalRecord> next();

private:
    JournalReader(ByteView file, uint64_t generation) : file_(file), generation_(generation) {}

    ByteView file_;
    uint64_t generation_;
    size_t position_ = kJournalHeaderSize;
};

/// Of all journals of a log directory: what of each partition counts, in the order it was written.
using JournalContent = std::map<PartitionKey, std::vector<JournalRecord>>;
/// The records are views of the files.
JournalContent read_journals(std::vector<JournalReader> readers);

} // namespace qtool::storage
