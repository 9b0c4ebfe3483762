// Mover: partitions of one core on their way to another log directory: which is copied next, how
// fast, and when it is time to change over. Steps of a millisecond or so, between the turns of the
// core. Lives on that core; owned by Manager, which lends it the partitions.
//
//   queued --begin--> copying --caught up--> ready --finish (no flush under way)--> (gone: moved)
//   any --target offline, partition deleted or offline, another target asked for--> (gone)
//   a disk without room makes it rest; it goes on from where it was
#pragma once

#include "lib/base/ids.h"
#include "lib/base/time.h"
#include "server/metrics/counters.h"
#include "server/port/disk.h"
#include "server/storage/log_dirs.h"
#include "server/storage/log_move.h"

#include <map>
#include <memory>
#include <optional>

namespace qtool::replica {

class Partition;

/// What is shared by the broker's cores is this core's part.
struct MoverOptions {
    uint64_t bytes_per_second_max = UINT64_MAX; // 0: nothing is copied

    bool operator==(const MoverOptions&) const = default;
};

class Mover {
public:
    Mover(const MoverOptions& options, port::Disk* disk, storage::LogDirs* dirs)
        : options_(options),
          disk_(disk),
          dirs_(dirs) {}

    void set_options(const MoverOptions& options, MonoTime now);
    [[nodiscard]] MonoTime next_due() const;

    /// In place of a move that is under way. REQUIRES: the partition has a directory, and works.
    /// Errors: storage_io (of the target), storage_full.
    Result<void> begin(Partition& partition, size_t to, MonoTime now);
    [[nodiscard]] bool has(const PartitionKey& key) const { return moves_.contains(key); }
    /// Its next flush has to wait until the change was tried.
    [[nodiscard]] bool is_ready(const PartitionKey& key) const;
    struct View {
        size_t to = 0; // directory
        uint64_t copied_bytes = 0;
        Offset copied_end;
    };
    [[nodiscard]] std::optional<View> view(const PartitionKey& key) const;
    /// The copy goes, too.
    void abandon(const PartitionKey& key);

    /// A flush of the ready one is under way: it is due when that is done, which wake() says.
    void wait(const PartitionKey& key);
    void wake(const PartitionKey& key, MonoTime now);
    /// The move to work on now.
    [[nodiscard]] std::optional<PartitionKey> current(MonoTime now) const;
    struct Outcome {
        port::FileRef to_sync; // not nullptr: on_synced is to be told
        bool wants_flush = false;
        std::optional<size_t> moved_to; // done: the partition lives there now
        /// Nothing for it to do any more; the first directory failed with the error, if any.
        std::optional<Error> failed;
        bool is_source_trouble = false; // the log's own directory did
    };
    /// One step of current(), or its end. REQUIRES: the partition works; when it is_ready(), no
    /// flush of it is under way.
    Outcome step(Partition& partition, MonoTime now);
    void on_synced(const PartitionKey& key, const Result<void>& result, MonoTime now);

private:
    struct Move {
        size_t to = 0;
        std::unique_ptr<storage::LogMove> files;
        MonoTime due{};
        bool is_ready = false;
    };
    [[nodiscard]] MonoTime due_of(const Move& move) const;
    void note_error(Partition& partition, Move& move, const Error& error, Outcome& outcome,
                    MonoTime now);

    MoverOptions options_;
    port::Disk* disk_;
    storage::LogDirs* dirs_;
    std::map<PartitionKey, Move> moves_; // the first that is due is worked on
    MonoTime rate_due_{};                // not before, for the sake of the rate
};

} // namespace qtool::replica
