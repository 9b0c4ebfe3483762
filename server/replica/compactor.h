// Compactor: which of a core's logs is compacted next, and how fast. One run at a time, in steps of
// a millisecond or so between the turns of the core, so that the core serves all the while.
// Lives on that core; owned by Manager, which lends it the partitions.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/time.h"
#include "server/metrics/counters.h"
#include "server/port/disk.h"
#include "server/port/random.h"
#include "server/storage/compaction.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace qtool::replica {

class Partition;

/// log.cleaner.*; what is shared by the broker's cores is this core's part.
struct CompactorOptions {
    bool is_enabled = true;
    Duration backoff = 15s; // between two looks when there was nothing to do
    uint64_t map_bytes_max = 128 * MiB;
    uint64_t read_bytes_max = 512 * KiB;
    uint64_t bytes_per_second_max = UINT64_MAX;

    bool operator==(const CompactorOptions&) const = default;
};

class Compactor {
public:
    Compactor(const CompactorOptions& options, port::Random* random,
              metrics::CoreCounters& counters)
        : options_(options),
          random_(random),
          counters_(counters) {}

    /// Backoff and rate hold at once, the sizes of buffers from the next run on.
    void set_options(const CompactorOptions& options, MonoTime now);
    /// There are partitions; looks for work from then on.
    void start(MonoTime now);
    /// kMonoNever while a sync is under way.
    [[nodiscard]] MonoTime next_due() const { return due_; }
    [[nodiscard]] const std::optional<PartitionKey>& current() const { return current_; }

    /// Without a current one: begins with the log that needs it most: first what is overdue, then
    /// the largest dirty share.
    void choose(const std::vector<Partition*>& partitions, WallTime wall, MonoTime now);
    /// The next step of the current one; nullptr: it is gone. Returns a file to fdatasync, whose
    /// end on_synced must be told; nullptr: none.
    port::FileRef step(Partition* partition, WallTime wall, MonoTime now);
    void on_synced(Partition* partition, const Result<void>& result, MonoTime now);

private:
    void end_run(MonoTime now);
    void note_failure(Partition& partition, const Error& error, MonoTime now);

    CompactorOptions options_;
    port::Random* random_;
    metrics::CoreCounters& counters_;
    std::optional<PartitionKey> current_;
    std::map<PartitionKey, MonoTime> resting_; // failed; to be tried again then
    MonoTime begun_at_{};
    MonoTime rate_due_{}; // when the bytes of the last step are paid for
    MonoTime due_ = kMonoNever;
};

} // namespace qtool::replica
