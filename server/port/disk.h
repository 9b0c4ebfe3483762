// Files as a core sees them. Cheap operations (page cache, directory entries) are plain calls that
// return when done; what may wait for the device is asynchronous or marked "blocks".
// Why not all asynchronous: an append into the page cache costs microseconds, and a storage engine
// of plain calls can be read from top to bottom. What must never wait on the loop is the fsync, and
// a read of what is not in the page cache: who may meet such bytes asks, and has them read in
// first.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/slot_map.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace qtool::port {

/// An open file. Counted atomically (FileRef) because a reply being sent may outlive the segment.
/// Errors of all calls: storage_io, storage_full (ENOSPC, EDQUOT; EMFILE and ENFILE too: no room
/// for one more open file; nothing happened, try later), with errno and path.
class File {
public:
    virtual ~File() = default; // closes

    /// Reads up to into.size() bytes; fewer only at the end of the file.
    virtual Result<size_t> read_at(ByteSpan into, uint64_t position) = 0;
    /// Whether read_at of that range would not wait for the device, as far as it can be told
    /// cheaply; size > 0; of what lies beyond the end of the file it may say either. True tells
    /// nothing of later.
    [[nodiscard]] virtual bool is_in_memory(uint64_t position, uint64_t size) = 0;
    /// Writes all pieces one after the other, or fails; after a failure the bytes past `position`
    /// are undefined and the caller truncates before it writes again.
    virtual Result<void> write_at(std::span<const ByteView> pieces, uint64_t position) = 0;
    [[nodiscard]] virtual Result<uint64_t> size() = 0;
    virtual Result<void> truncate(uint64_t size_bytes) = 0;
    /// fdatasync; of a directory its entries. Blocks: for start, stop and small files only; the
    /// data path uses Disk::sync.
    virtual Result<void> sync_blocking() = 0;
};
using FileRef = std::shared_ptr<File>;

/// Bytes of a file that a reply sends without reading them first.
struct FileRange {
    FileRef file;
    uint64_t position = 0;
    uint64_t size = 0;
    /// They had to be read in for whoever gets them: a reader of a backlog, who will want what is
    /// behind them, too.
    bool was_read_in = false;
};

enum class OpenMode : uint8_t {
    read,       // must exist
    read_write, // must exist
    create,     // read and write; created when absent, kept when present
};

struct DirectoryEntry {
    std::string name;
    bool is_directory = false;
    uint64_t size = 0; // bytes; 0 for directories
};

struct DiskSpace {
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
};

/// Held while the object lives; released by the system when the process dies.
class DirectoryLock {
public:
    virtual ~DirectoryLock() = default;
};

class Disk {
public:
    virtual ~Disk() = default;

    virtual Result<FileRef> open(const std::string& path, OpenMode mode) = 0;
    /// An existing directory, so that a sync makes its entries durable; every other call fails.
    virtual Result<FileRef> open_directory(const std::string& path) = 0;
    /// True when a file or directory of that name exists.
    virtual Result<bool> exists(const std::string& path) = 0;
    /// Creates one directory; success when it is there already. Parents must exist.
    virtual Result<void> make_directory(const std::string& path) = 0;
    /// Sorted by name. An absent directory is an error: resource_not_found.
    virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;
    /// Replaces `to` when it exists. Durable only after sync_directory of both parents.
    virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
    /// A file or an empty directory; success when absent.
    virtual Result<void> remove(const std::string& path) = 0;
    /// Makes entries of this directory durable. Blocks shortly.
    virtual Result<void> sync_directory(const std::string& path) = 0;
    /// Makes durable all that was written to the file system that `path` is on, by anybody, names
    /// too. Blocks, maybe long: for a start that would sync thousands of files one by one.
    virtual Result<void> sync_file_system(const std::string& path) = 0;
    virtual Result<DiskSpace> space(const std::string& path) = 0;
    /// Errors: storage_locked when another process holds it.
    virtual Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) = 0;

    /// File::sync_blocking off the loop; CoreEvents::on_synced(token, result) comes later, never
    /// from within.
    virtual void sync(FileRef file, Token token) = 0;
    /// Brings a range into memory off the loop; CoreEvents::on_read_in(token, result) comes later,
    /// never from within. What lies beyond the end of the file is left out. Nothing keeps the bytes
    /// there. Errors: storage_io.
    virtual void read_in(FileRange range, Token token) = 0;
    /// What was written to these bytes should be on its way to the device soon, so that it is not
    /// much at once later. Only a hint: nothing is promised, and a failure is for the next sync.
    virtual void begin_write_back(FileRef file, uint64_t position, uint64_t size) = 0;
    /// Unlinks a file off the loop (large files take long). Failures are logged.
    virtual void remove_later(const std::string& path) = 0;
};

} // namespace qtool::port
