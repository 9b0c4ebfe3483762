// AbortedIndex: the aborted transactions whose markers lie in one segment: `<base
// offset>.txnindex`. Most segments have none, and then there is no file. Entries are written before
// their marker, so that a marker in the log has its entry; after a crash the log tells them anew.
// Lives with its Segment. Source: KIP-98, "Aborted Transaction Index".
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "server/port/disk.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qtool::storage {

/// A transaction that was aborted in this partition.
struct AbortedTransaction {
    ProducerId producer_id;
    Offset first_offset;       // of its first record here
    Offset last_offset;        // of the marker
    Offset last_stable_offset; // when the marker was written: later entries begin at or behind it

    bool operator==(const AbortedTransaction&) const = default;
};

class AbortedIndex {
public:
    AbortedIndex(port::Disk& disk, std::string path, Offset base)
        : disk_(disk),
          path_(std::move(path)),
          base_(base) {}

    /// The directory lists the file; without this call there is none.
    void note_file() { has_file_ = true; }
    [[nodiscard]] bool is_empty() const { return !has_file_; }

    /// All entries, in the order their markers lie in the log; valid until the next call. Errors:
    /// storage_io; corrupt: to be replaced by what the log says.
    Result<const std::vector<AbortedTransaction>*> entries();

    /// Writes one entry behind the others; true: the file was made for it, so its name is not
    /// durable yet. After an error the index is as before. Errors: storage_io, storage_full;
    /// corrupt.
    Result<bool> append(const AbortedTransaction& entry);
    /// The marker of the last entry was not written after all. Errors: storage_io.
    Result<void> undo_append();
    /// What the log says, in place of what is there; without entries the file goes. Not durable.
    /// Errors: storage_io; storage_full: unless is_empty() now, the file says that it is corrupt,
    /// and the entries are kept until close().
    Result<void> replace(std::vector<AbortedTransaction> entries);
    /// Writes a file of just these entries, be there none. Errors: storage_io, storage_full.
    Result<void> write_all(std::vector<AbortedTransaction> entries);

    [[nodiscard]] bool is_unsynced() const { return is_unsynced_; }
    /// The file, if it has entries that no sync covers.
    Result<std::optional<port::FileRef>> unsynced_file();
    /// A sync of that file begins; if it fails the log is out of use.
    void count_as_synced() { is_unsynced_ = false; }
    /// Forgets what can be read again.
    void close();
    /// The file was renamed.
    void set_path(std::string path) { path_ = std::move(path); }

private:
    Result<port::FileRef> open_file();

    port::Disk& disk_;
    std::string path_;
    Offset base_;
    bool has_file_ = false;
    bool is_loaded_ = false;
    bool is_unsynced_ = false;
    port::FileRef file_;
    std::vector<AbortedTransaction> entries_; // when is_loaded_
};

} // namespace qtool::storage
