// LogMove: the way of one log from its log directory to another one of the same broker (KIP-113),
// in steps between which the log serves. Lives on the core that owns the partition, beside its Log.
//
//   copying   `<name>.<topic id>-<index>-future/` in the new place gets what is settled: sealed
//             segments with their indexes, and of the active one what is synced
//   finish    the log is closed, what is left is copied, all is durable; then, each durably:
//             1. `moving-to` in the old directory names the new log directory
//             2. `-future` gets the name of the partition             <- from here on it lives
//             there
//             3. the old directory goes, as that of a deleted partition does
//
// After a power loss: before 2 the old one is the log (nothing was written since 1, and `moving-to`
// is void); after 2 the new one is, and an old one with `moving-to` is removed. If the log
// directory that `moving-to` names is offline, nobody can say, so the partition is offline, too.
// LogDirs does that at start; a `-future` that is left begins anew.
//
// Retention may delete segments meanwhile. Compaction must not run: it exchanges files.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/units.h"
#include "server/port/disk.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qtool::storage {

class Log;

/// What finish may have to copy and sync at once, while the partition waits.
inline constexpr uint64_t kMoveTailBytesMax = 4 * MiB;

/// Marks that a partition is about to live, or lives, in the log directory it names.
inline constexpr const char* kMovingToName = "moving-to";
inline constexpr std::string_view kFutureExtension = "-future";

/// "<name, maybe cut>.<topic id>-<index>-future", at most 255 bytes.
std::string future_directory_name(const std::string& directory, const PartitionKey& key);
/// Removes such a directory and all in it; a crash in between leaves what the next start removes.
Result<void> remove_future(port::Disk& disk, const std::string& parent, const std::string& name,
                           const PartitionKey& key);
/// The log directory that `moving-to` in a partition's directory names; nothing when there is no
/// such file. Errors: corrupt; unsupported_version; storage_io.
Result<std::optional<Uuid>> read_moving_to(port::Disk& disk, const std::string& directory);

struct LogMoveStep {
    uint64_t bytes = 0;
    port::FileRef to_sync;     // not nullptr: call synced once this is on the device
    bool wants_flush = false;  // too much of the log is unsynced: flush it, then come again
    bool is_caught_up = false; // finish is next
};

class LogMove {
public:
    struct To {
        std::string parent; // the log directory
        Uuid directory_id;  // of it
    };
    /// What an earlier try left is removed. REQUIRES: log.has_directory(). Errors: storage_io,
    /// storage_full.
    static Result<std::unique_ptr<LogMove>> begin(port::Disk& disk, const Log& log, To to);

    /// Copies about `bytes_max`. REQUIRES: no sync under way. Errors: storage_io, see
    /// is_source_trouble(); storage_full: try again later.
    Result<LogMoveStep> step(const Log& log, uint64_t bytes_max);
    void synced(const Result<void>& result);
    [[nodiscard]] bool is_syncing() const { return is_syncing_; }

    /// Blocks for some syncs. REQUIRES: no flush or sync of the log under way. Afterwards the log
    /// goes on in the new place. Errors: as of step; the log goes on where it was, unless
    /// log.failure() is set: then nobody can say where it lives before a restart.
    Result<void> finish(Log& log);
    /// Removes what was copied. No other call may follow.
    Result<void> abandon();

    /// The last error came from the directory that the log lives in, not from the new one.
    [[nodiscard]] bool is_source_trouble() const { return is_source_trouble_; }
    [[nodiscard]] uint64_t copied_bytes() const { return copied_bytes_; } // of segments
    [[nodiscard]] Offset copied_end() const { return copied_end_; }

private:
    struct File {
        uint64_t copied = 0;
        uint64_t unsynced = 0;
    };
    LogMove(port::Disk& disk, To to, std::string source, PartitionKey key);

    template <class T>
    Result<T> of_source(Result<T> result);
    [[nodiscard]] std::string future() const { return to_.parent + "/" + future_; }
    Result<std::vector<port::DirectoryEntry>> list_source();
    Result<uint64_t> choose(const Log& log);
    Result<void> open_current(const std::string& name);
    Result<uint64_t> copy_some(uint64_t bytes_max);
    void note_batches(ByteView bytes, uint64_t position);
    void close_current();
    Result<void> bring_rest();
    Result<void> bring_whole(const std::string& name, uint64_t size);
    Result<void> check_copy(const std::vector<port::DirectoryEntry>& entries);
    Result<void> commit(Log& log);

    port::Disk& disk_;
    To to_;
    std::string source_; // directory of the partition
    std::string future_; // its name in to_.parent
    PartitionKey key_;
    std::map<std::string, File> files_;
    std::string current_; // file being copied; empty: none
    uint64_t limit_ = 0;  // of it
    port::FileRef from_;
    port::FileRef into_;
    std::vector<std::byte> buffer_;
    uint64_t next_header_ = 0; // of current_, a segment: where the next batch begins
    uint64_t copied_bytes_ = 0;
    Offset copied_end_{0};
    bool is_syncing_ = false;
    bool is_source_trouble_ = false;
    std::optional<Error> sync_failed_;
};

} // namespace qtool::storage
