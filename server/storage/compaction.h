// Compaction: one run over a log, in steps as short as the caller likes. First the dirty part is
// read and the latest offset of each key noted; then the segments are written anew, group by group,
// with what must stay, beside the log; the log itself takes each over (Log::swap_in). The sources
// are read, never changed: a run that stops anywhere has harmed nothing.
//
//   working --(a group is written)--> wants_sync --on_synced--> wants_swap --on_swapped--> working
//   working --(all groups)--> done
//
// A new segment begins and ends at the offsets its sources began and ended at: its last batch
// stays, empty if need be. So "each segment ends where the next begins" holds in a compacted log
// too, and recovery can tell a gap of compaction from a lost file.
//
// Transactions: records of aborted ones go; a marker goes when no record of its transaction is left
// and its horizon has passed. Nothing of an open one is ever below plan.end.
//
// Lives on the core of its log; owned by Log.
#pragma once

#include "lib/base/result.h"
#include "server/port/disk.h"
#include "server/storage/compaction_filter.h"
#include "server/storage/compaction_map.h"
#include "server/storage/compaction_plan.h"
#include "server/storage/producer_state.h"
#include "server/storage/segment.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace qtool::storage {

/// Follows the names of files that are written to replace a segment; a restart removes them.
inline constexpr const char* kCleanedSuffix = ".cleaned";
/// Follows the name of a durable segment that replaces others; a restart finishes that.
inline constexpr const char* kSwapSuffix = ".swap";

/// What the caller lends to a run.
struct CompactionMeans {
    uint64_t map_bytes_max = 128 * MiB;  // log.cleaner.dedupe.buffer.size, of one core
    uint64_t read_bytes_max = 512 * KiB; // log.cleaner.io.buffer.size, of one core
    HashSeed seed;                       // random, told to nobody
};

struct CompactionSetup {
    std::string directory;
    LogConfig config;
    std::vector<SegmentFacts> sources; // from the first segment of the log to plan.end
    CompactionPlan plan;
    std::vector<AbortedTransaction> aborted; // of the whole log, in the order of their markers
    Offset log_start;
    int64_t now_ms = 0;
    CompactionMeans means;
};

/// The batches of one segment file, checked; a window of it in memory.
class BatchReader {
public:
    /// Errors: storage_io.
    static Result<BatchReader> open(port::Disk& disk, std::string path, const SegmentFacts& facts,
                                    uint64_t window_size);

    /// Valid until the next call; nullptr at the end. Errors: storage_io; storage_damaged.
    Result<const protocol::BatchView*> next();
    [[nodiscard]] bool is_at_end() const { return position_ == size_; }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    Result<ByteView> window_at(uint64_t wanted);

    port::FileRef file_;
    std::string path_;
    uint64_t size_ = 0;
    uint64_t position_ = 0; // of the next batch
    uint64_t window_size_ = 0;
    uint64_t window_position_ = 0;
    Offset expected_;
    Offset end_;
    std::vector<std::byte> window_;
    protocol::BatchView current_;
};

class Compaction {
public:
    enum class State : uint8_t { working, wants_sync, wants_swap, done };

    Compaction(port::Disk& disk, CompactionSetup setup);

    [[nodiscard]] State state() const { return state_; }
    /// While working: reads and writes about `bytes_max`, at least one batch; returns the bytes.
    /// `producers`: of the whole log; the last batch of each stays, for recovery to find.
    /// Errors: storage_io, storage_full; storage_damaged (a source is). The run is over then.
    Result<uint64_t> step(uint64_t bytes_max, const ProducerState& producers);

    /// wants_sync: the file to fdatasync.
    Result<port::FileRef> file_to_sync();
    void on_synced();
    /// wants_swap: what replaces which segments.
    struct Swap {
        Segment* segment;
        std::span<const SegmentFacts> sources;
    };
    Swap swap();
    void on_swapped();
    /// Removes what was written and not taken over.
    void remove_output();

    /// Below it, once done, only the latest record of each key is left.
    [[nodiscard]] Offset cleaned_to() const { return map_end_; }
    [[nodiscard]] const CompactionFilter::Counts& counts() const { return counts_; }
    [[nodiscard]] uint64_t bytes_before() const { return bytes_before_; } // of replaced segments
    [[nodiscard]] uint64_t bytes_after() const { return bytes_after_; }

private:
    Result<uint64_t> step_map();
    Result<bool> map_batch(const protocol::BatchView& batch);
    void map_done();
    Result<uint64_t> step_clean(const ProducerState& producers);
    Result<void> clean_batch(const protocol::BatchView& batch, bool must_stay);
    Result<CompactionFilter::Outcome> decide(const protocol::BatchView& batch, bool must_stay);
    [[nodiscard]] const AbortedTransaction* aborted_at(const protocol::BatchHeader& header) const;
    Result<void> write_out();
    Result<bool> next_source(size_t end);
    void begin_group();
    Result<void> end_group();
    [[nodiscard]] const SegmentGroup& group() const { return groups_[group_]; }
    [[nodiscard]] std::string source_path(const SegmentFacts& facts) const;

    port::Disk& disk_;
    CompactionSetup setup_;
    State state_ = State::working;
    bool is_mapping_ = true;
    OffsetMap map_;
    Offset map_end_; // the map knows all records in [first_dirty, map_end_)
    std::optional<CompactionFilter> filter_;
    std::vector<std::byte> plain_;
    size_t source_ = 0; // the one `reader_` reads, or the next
    std::optional<BatchReader> reader_;
    std::vector<SegmentGroup> groups_;
    size_t group_ = 0;
    size_t last_source_ = 0; // of the group, with batches
    std::unique_ptr<Segment> output_;
    bool is_changed_ = false;
    std::map<ProducerId, std::vector<AbortedTransaction>> aborted_; // rising
    std::set<ProducerId> with_records_; // left of a transaction whose marker comes yet
    std::vector<AbortedTransaction> output_aborted_;
    std::vector<std::byte> pending_; // batches not yet written
    std::vector<protocol::BatchHeader> pending_headers_;
    uint64_t bytes_written_ = 0; // since it was last asked
    uint64_t bytes_plain_ = 0;   // decompressed in this step: they take time, too
    CompactionFilter::Counts counts_;
    uint64_t bytes_before_ = 0;
    uint64_t bytes_after_ = 0;
};

} // namespace qtool::storage
