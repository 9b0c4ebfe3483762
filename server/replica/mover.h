// Mover: partitions of one core on their way to another log directory: which is copied next, how
// fast, and when it is time to change over. One at a time, in steps of a millisecond or so between
// the turns of the core; the others wait without files or buffers, in the order they were asked
// for. Lives on that core; owned by Manager, which lends it the partitions.
//
//   waiting --its turn, room for it--> copying --caught up--> ready --no flush under way--> (moved)
//                                         ^-------too much left-------|
//   copying --no room, no descriptor, log rewritten--> waiting          (the copy goes)
//   any --target offline, I/O error, partition deleted or offline, another target--> (gone)
//
// An I/O error takes the log directory offline that it came from.
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

    struct Way { // places in log.dirs
        size_t from = 0;
        size_t to = 0;
    };
    /// In place of another move of it; nothing when it goes there already. REQUIRES: the partition
    /// has a directory, and works. Errors: storage_offline, storage_io, storage_full.
    Result<void> add(Partition& partition, Way way, MonoTime now);
    /// There is no move of it any more; what was copied goes. REQUIRES: the partition has a log.
    void drop(Partition& partition);
    /// The broker stops: moves are forgotten here, and begin again at the next start.
    void clear();

    struct View {
        size_t to = 0;
        uint64_t copied_bytes = 0;
        Offset copied_end;
    };
    [[nodiscard]] std::optional<View> view(const PartitionKey& key) const;
    /// Compaction has to wait.
    [[nodiscard]] bool is_copying(const PartitionKey& key) const;
    /// Its next flush has to wait until the change was tried.
    [[nodiscard]] bool is_ready(const PartitionKey& key) const;

    /// A flush of the ready one is under way: it is due when that is done, which wake() says.
    void wait();
    void wake(const PartitionKey& key, MonoTime now);
    /// The move to work on now.
    [[nodiscard]] std::optional<PartitionKey> next(MonoTime now) const;
    struct Outcome {
        port::FileRef to_sync; // not nullptr: on_synced is to be told, with `number`
        uint64_t number = 0;
        bool wants_flush = false;
        std::optional<size_t> moved_to; // done: the partition lives there now
    };
    /// One step of next(), or its begin or end. REQUIRES: the partition works; when it is_ready(),
    /// no flush of it is under way.
    Outcome step(Partition& partition, MonoTime now);
    /// A sync of a move that ended meanwhile is known by its number, and ignored.
    void on_synced(uint64_t number, const Result<void>& result, MonoTime now);

private:
    struct Waiting {
        Way way;
        uint64_t order = 0;
        MonoTime due{};
    };
    struct Current {
        PartitionKey key;
        Way way;
        uint64_t number = 0; // unique on this core
        std::unique_ptr<storage::LogMove> files;
        MonoTime due{};
        bool is_ready = false;
        uint32_t ready_count = 0; // how often it was
    };
    [[nodiscard]] storage::MoveEnd end_of(size_t dir) const;
    void put_back(Partition& partition, Way way, MonoTime due);
    void note_waiting();
    void begin(Partition& partition, MonoTime now);
    void finish(Partition& partition, Outcome& outcome, MonoTime now);
    void remove_copy(Partition& partition, Way way);
    void end_current(Partition& partition, const Error& error, bool is_source_trouble,
                     MonoTime now);
    void note_failure(size_t dir, const Error& error);

    MoverOptions options_;
    port::Disk* disk_;
    storage::LogDirs* dirs_;
    std::map<PartitionKey, Waiting> waiting_;
    std::optional<PartitionKey> first_; // of waiting_: to begin next
    std::optional<Current> current_;
    uint64_t next_number_ = 1;
    MonoTime rate_due_{}; // not before, for the sake of the rate
};

} // namespace qtool::replica
