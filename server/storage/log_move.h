// LogMove: the way of one log from its log directory to another one of the same broker (KIP-113),
// in steps between which the log serves. Lives on the core that owns the partition, beside its Log.
//
//   wish      `<name>.<topic id>-<index>-future/` in the new place, with partition.meta alone; it
//             outlives the process, and at the next start the move is begun (again)
//   copying   it gets what is settled: sealed segments with their indexes and the snapshots, and of
//             the active segment what is synced
//   finish    the log is closed, what is left is copied, all of it is durable; then, each durably:
//             1. the old directory is marked as leaving (move_mark.h)
//             2. `-future`, marked as arrived, gets the name of the partition   <- it lives there
//             3. the old directory goes, as that of a deleted partition does
//             4. the mark in the new one goes
//
// After a stop in between, LogDirs finds by the marks which directory is the log. When 2 fails, it
// may have happened all the same, so the old directory is marked as kept before the log goes on.
//
// Retention may delete segments meanwhile. What exchanges or cuts segments (compaction, truncation)
// ends the copy: Log::rewrite_count().
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/units.h"
#include "lib/base/uuid.h"
#include "server/port/disk.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qtool::storage {

class Log;

/// What the end of a move may have to copy and sync at once, while the partition waits.
inline constexpr uint64_t kMoveTailBytesMax = 4 * MiB;

inline constexpr std::string_view kFutureExtension = "-future";

/// "<name, maybe cut>.<topic id>-<index>-future", at most 255 bytes.
std::string future_directory_name(const std::string& directory, const PartitionKey& key);

/// One of the two ends.
struct MoveEnd {
    std::string log_directory; // path
    Uuid id;
};

/// Makes the wish: it outlives the process, but for a power loss very soon. Success when it is
/// there. Errors: storage_io, storage_full (of `to`).
Result<void> write_move_wish(port::Disk& disk, const Log& log, const MoveEnd& to);
/// The wish goes, with all that was copied. Errors: as above.
Result<void> remove_move_wish(port::Disk& disk, const Log& log, const MoveEnd& to);

/// A log without files may go elsewhere at once, when what a failed first append left is gone.
/// REQUIRES: no log.has_directory(). Errors: storage_io, storage_full.
Result<void> remove_unused_home(port::Disk& disk, const Log& log);

struct LogMoveStep {
    uint64_t bytes = 0;
    port::FileRef to_sync;     // not nullptr: call synced once this is on the device
    bool wants_flush = false;  // too much of the log is unsynced: flush it, then come again
    bool is_caught_up = false; // finish is next
};

class LogMove {
public:
    /// Copying begins anew, whatever an earlier try left. REQUIRES: log.has_directory(), no mark
    /// there. Errors: storage_io, storage_full (of `to`).
    static Result<std::unique_ptr<LogMove>> begin(port::Disk& disk, const Log& log, MoveEnd from,
                                                  MoveEnd to);

    /// Copies about `bytes_max`. REQUIRES: no sync under way. Errors: storage_io, see
    /// is_source_trouble(); storage_full: there was no room; conflict: the log was rewritten.
    Result<LogMoveStep> step(const Log& log, uint64_t bytes_max);
    void synced(const Result<void>& result);
    [[nodiscard]] bool is_syncing() const { return is_syncing_; }

    /// Blocks for some syncs. REQUIRES: no flush or sync of the log under way. True: the log goes
    /// on in the new place; false: more than `tail_bytes_max` would have to be copied and synced at
    /// once, so nothing was done. Errors: as of step; the log goes on where it was, unless
    /// log.failure() is set: then nobody can say where it lives before a restart.
    Result<bool> finish(Log& log, uint64_t tail_bytes_max);
    /// After it was moved: why the old directory could not be removed; that is done later.
    [[nodiscard]] const std::optional<Error>& leftover() const { return leftover_; }

    /// The last error came from the directory that the log lives in, not from the new one.
    [[nodiscard]] bool is_source_trouble() const { return is_source_trouble_; }
    [[nodiscard]] uint64_t copied_bytes() const { return copied_bytes_; } // of segments
    [[nodiscard]] Offset copied_end() const { return copied_end_; }

private:
    struct File {
        uint64_t copied = 0;
        bool is_durable = false; // what was copied
    };
    using Entries = std::vector<port::DirectoryEntry>;
    LogMove(port::Disk& disk, const Log& log, MoveEnd from, MoveEnd to);

    template <class T>
    Result<T> of_source(Result<T> result);
    [[nodiscard]] std::string future() const { return to_.log_directory + "/" + future_; }
    Result<Entries> list_source();
    [[nodiscard]] uint64_t copied_of(const std::string& name) const;
    Result<uint64_t> plan(const Log& log);
    Result<bool> open_next(const Log& log);
    Result<void> open_current(const std::string& name, uint64_t limit);
    Result<uint64_t> copy_some(uint64_t bytes_max);
    void note_batches(ByteView bytes, uint64_t position);
    void close_current();
    Result<void> bring_rest(const Entries& entries);
    Result<void> bring(const std::string& name, uint64_t size);
    Result<void> check_copy(const Entries& entries);
    Result<void> commit(Log& log);
    Error keep(Log& log, Error reason);

    port::Disk& disk_;
    MoveEnd from_;
    MoveEnd to_;
    std::string source_; // directory of the partition
    std::string future_; // its name in to_
    PartitionKey key_;
    uint64_t rewrite_count_;
    std::map<std::string, File> files_;
    std::deque<std::string> queue_; // names, of what is to be copied now
    std::string current_;           // file being copied; empty: none
    uint64_t limit_ = 0;            // of it
    port::FileRef read_;
    port::FileRef write_;
    std::vector<std::byte> buffer_;
    uint64_t next_header_ = 0; // of current_, a segment: where the next batch begins
    uint64_t copied_bytes_ = 0;
    Offset copied_end_{0};
    uint64_t unsynced_ = 0; // bytes of current_
    bool is_syncing_ = false;
    std::string syncing_; // file of that sync
    bool is_source_trouble_ = false;
    std::optional<Error> sync_failed_;
    std::optional<Error> leftover_;
};

} // namespace qtool::storage
