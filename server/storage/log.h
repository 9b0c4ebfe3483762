// Log: one partition's records on disk: `<data dir>/<topic>-<partition>/`, segments of v2 batches
// exactly as on the wire. Knows offsets and batches, not replicas. Byte formats: README.md.
//
// Lives on the core that owns the partition. Calls are plain and do not wait for the device, but
// for what happens once in a while (truncation, compaction, recovery); the fsync of the data path,
// of a new log's files, of new names and of what a deletion needs is driven from above:
// begin_flush, Disk::sync for each file, finish_flush.
//
// States:   cold  --first use-->  hot  --release_idle-->  cold     (cold: no files, no indexes)
//           any   --fail, failed repair, damage found-->  failed   (every call: the same error)
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/protocol/record_batch.h"
#include "server/port/disk.h"
#include "server/storage/checkpoint.h"
#include "server/storage/epoch_cache.h"
#include "server/storage/flush_journal.h"
#include "server/storage/log_config.h"
#include "server/storage/partition_files.h"
#include "server/storage/producer_state.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qtool::storage {

class Segment;
class Compaction;
struct CompactionMeans;

/// The system had no room for one more open file: nothing happened, and nothing is wrong with the
/// disk.
bool is_out_of_descriptors(const Error& error);

struct AppendInfo {
    Offset base_offset; // kNoOffset: a duplicate of a batch that is before last_offset
    Offset last_offset;
    int64_t log_append_time_ms = -1; // -1 unless the topic uses LogAppendTime
    bool appended = true; // false: a duplicate of a batch that is in the log at these offsets
    Offset log_start_offset;
    /// Not 0: nothing was appended: the batch begins a transaction, of which the coordinator is to
    /// be asked first; it comes again with this guard (KIP-890).
    uint64_t verification_guard = 0;
};

/// What a producer's transactional batch comes with.
struct TransactionProof {
    uint64_t guard = 0;
    bool is_v2 = false; // of a client that speaks transactions of version 2
};

/// What Log::read does where it would have to wait for the device.
enum class IfAbsent : uint8_t { wait, tell };

struct ReadInfo {
    port::FileRange range; // size 0: nothing between `from` and the end
    /// IfAbsent::tell: size > 0: these bytes are not in memory, and nothing was read. When they
    /// were read in, the next try may find that others are needed.
    port::FileRange absent;
    uint32_t first_batch_size = 0;
    Offset first_base_offset = kNoOffset; // <= from, or behind a gap that compaction left
};

struct TimestampOffset {
    Offset offset;
    int64_t timestamp_ms = -1;
    LeaderEpoch leader_epoch = kNoLeaderEpoch;
};

/// What one flush makes durable. Plain value; the log may change meanwhile.
struct FlushWork {
    struct Part {
        Offset base_offset;
        uint64_t size_bytes = 0; // written, and covered by this flush
    };
    std::vector<port::FileRef> files; // to sync, at least one, or journaled; directories, too
    std::vector<Part> parts;          // the segments of the first `files`, in the same order
    Offset end_offset;                // everything below is durable afterwards
    bool is_journaled = false;        // through the flush journal: there are no files
    uint64_t truncations = 0;         // of the log before; after one more the work means nothing
    uint64_t names_made = 0;          // entries of the log's directory that are durable, too
    std::optional<Offset> snapshot;   // of producers, durable, too: older ones may go
    port::FileRef log_start;          // that is to be, among `files`; nullptr: none
    /// The log's directory is new, and the last of `files` is the one that holds it: one sync of
    /// that serves all logs in it.
    bool has_parent = false;
};

/// Why a log should be compacted now.
struct CompactionNeed {
    uint64_t dirty_bytes = 0;
    uint64_t total_bytes = 0;
    bool is_overdue = false; // max.compaction.lag.ms passed
};
/// After a step.
struct CompactionStep {
    uint64_t bytes = 0;    // read and written
    port::FileRef to_sync; // not nullptr: call compaction_synced once this is on the device
    bool is_done = false;
    uint64_t bytes_before = 0; // done: of the segments that were replaced, and by what
    uint64_t bytes_after = 0;
    uint64_t records_dropped = 0;
};

/// What Log::verify read.
struct Verified {
    Offset next = kNoOffset; // go on here; kNoOffset: that was all
    uint64_t bytes = 0;
};

class Log {
public:
    /// `directory` need not exist: nothing is created before the first append. With a clean hint no
    /// file is touched; otherwise what was written since the recovery point is checked, a torn tail
    /// is cut off, and the log is cold again. A directory of another topic id is moved into
    /// quarantine. A damaged log opens too, failed: see failure(). Errors: storage_io,
    /// storage_full.
    static Result<std::unique_ptr<Log>> open(port::Disk& disk, std::string directory,
                                             const LogConfig& config, const OpenHint& hint,
                                             WallTime now);
    ~Log();
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    void set_config(const LogConfig& config) {
        config_ = config;
        checked_need_at_.reset();
    }
    /// While set, append refuses new batches with storage_full: the rest of the space is kept for
    /// what must go on. No compaction begins then, either.
    void set_low_space(bool is_low) { is_low_ = is_low; }

    /// Appends as leader exactly one batch that a producer sent, patched in place (base offset,
    /// epoch; times when the topic asks for it) and written from the same memory; `batch` may be
    /// forgotten on return. Errors: those of the produce gate (corrupt, invalid_record,
    /// unsupported_compression, message_too_large, record_list_too_large, invalid_timestamp),
    /// out_of_order_sequence, invalid_producer_epoch, invalid_txn_state; storage_full (nothing is
    /// lost; try again later); storage_io, storage_offline, storage_damaged.
    Result<AppendInfo> append(ByteSpan batch, LeaderEpoch epoch, WallTime now,
                              const TransactionProof& proof = {});
    /// A producer's batch was refused with `code`, for a reason that passes: it comes again, and
    /// until then no later one takes its place (ProducerState::note_refused).
    void note_refused(ByteView batch, Code code, WallTime now);
    /// Appends a batch this broker made itself (a coordinator's records): without the gate, the
    /// producers' rules and verification. A transactional one, without sequence, begins or goes on
    /// with its producer's transaction. Errors: invalid_producer_epoch (a marker fenced it);
    /// record_list_too_large and those of storage.
    Result<AppendInfo> append_own(ByteSpan batch, LeaderEpoch epoch, WallTime now);
    /// Ends a producer's transaction, also one that wrote nothing here; a marker without a time has
    /// `now`. transaction_version 2: the epoch must be above the one that wrote (KIP-890). Errors:
    /// invalid_producer_epoch, coordinator_fenced, and those of storage.
    Result<AppendInfo> append_marker(const protocol::TransactionMarker& marker,
                                     int16_t transaction_version, LeaderEpoch epoch, WallTime now);

    /// Appends as follower what a leader's log holds from this log's end on: whole batches that
    /// keep their offsets and epochs; gaps are what compaction left; a batch cut short at the end
    /// is left out. `appended` is false when there was none. Errors, what came before stays
    /// appended: corrupt, malformed, invalid_record (offsets that go back); and those of storage.
    Result<AppendInfo> append_replicated(ByteView batches, WallTime now);
    /// Cuts off the batches that end behind `offset`, durably when this returns; a batch is never
    /// cut in two, so the log may end below it. REQUIRES: offset >= log_start_offset(). A flush
    /// under way then means nothing. Errors: those of storage; the log is out of use unless nothing
    /// happened (storage_full).
    Result<void> truncate_to(Offset offset, WallTime now);
    /// All records go, and the log goes on, empty, at `offset`. Errors: as truncate_to.
    Result<void> restart_at(Offset offset, WallTime now);

    /// Whole batches from the one that holds `from` up to, not including, the first at or behind
    /// `end_exclusive`; within one segment; the first batch whatever its size, more within
    /// `bytes_max`. Batches without records come first only when there is nothing else below
    /// `end_exclusive`, or very many. Nothing is read but headers. Errors: offset_out_of_range;
    /// storage_io, storage_damaged, storage_offline.
    Result<ReadInfo> read(Offset from, Offset end_exclusive, uint32_t bytes_max,
                          IfAbsent if_absent = IfAbsent::wait);

    /// Aborted transactions that overlap what `read` from `from` gave, in the order they ended.
    /// Errors: storage_io, storage_damaged, storage_offline, storage_full.
    Result<std::vector<AbortedTransaction>> aborted_in(Offset from, const ReadInfo& read);
    /// The first record of a transaction that is open, or whose marker lies at or behind
    /// `high_watermark`, which never falls; kNoOffset: none.
    [[nodiscard]] Offset first_unstable_offset(Offset high_watermark);
    /// Whom the log knows, by id. Errors: those of storage.
    Result<std::vector<ProducerState::Description>> producers(WallTime now);

    [[nodiscard]] Offset log_start_offset() const { return log_start_; }
    [[nodiscard]] Offset log_end_offset() const { return log_end_; }
    [[nodiscard]] Offset synced_end_offset() const { return synced_end_; }
    [[nodiscard]] uint64_t size_bytes() const { return size_bytes_; }
    [[nodiscard]] uint32_t segment_count() const { return segment_count_; }
    /// Why the log is out of use; nothing while it works.
    [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }
    [[nodiscard]] bool is_cold() const { return hot_ == nullptr; }
    /// Producers forgotten because of kProducersPerPartitionMax, since the log became hot.
    [[nodiscard]] uint64_t producers_evicted() const;

    /// What was told last, or at open. Kept for the checkpoint.
    [[nodiscard]] Offset known_high_watermark() const { return high_watermark_; }

    /// Nothing when all is synced, and nothing is to be deleted or settled. One flush at a time.
    /// Syncs nothing itself. Of the errors only is_out_of_descriptors leaves the log in use.
    Result<std::optional<FlushWork>> begin_flush();
    /// The journal of the log's directory, for small flushes; nullptr: none. Outlives the log.
    void set_journal(FlushJournal* journal) { journal_ = journal; }
    /// Whether the next flush could go through it; FlushJournal::offer was told of it then.
    [[nodiscard]] FlushJournal::Answer offer_to_journal();
    /// The same flush, of which the journal has collected the bytes: there are no files. REQUIRES:
    /// offer_to_journal() just said take. Errors: those of storage.
    Result<FlushWork> begin_journaled_flush();
    /// All that the journal has is in the log's own files, too, and durable there.
    [[nodiscard]] bool is_settled() const;
    /// The next flush does that.
    void settle() { settles_ = !is_settled(); }
    [[nodiscard]] bool settles() const { return settles_; }
    /// The same with a sync of the file system, between these two. Errors: those of storage.
    Result<void> prepare_to_settle();
    void on_file_system_synced();
    /// Returns segments deleted. Errors: those of storage, of the deletion alone, which is given up
    /// then.
    Result<uint32_t> finish_flush(const FlushWork& work);
    /// A flush failed: what is on the device is unknown, so the log is out of use until restart.
    void fail(const Error& error);

    /// First record with a time >= `timestamp_ms` in a batch below `end_exclusive`.
    Result<std::optional<TimestampOffset>> find_by_time(int64_t timestamp_ms, Offset end_exclusive);
    /// First record that has the greatest time of all.
    Result<std::optional<TimestampOffset>> max_timestamp_offset();

    /// OffsetForLeaderEpoch, as server/storage/epoch_cache.h says.
    Result<EpochEnd> epoch_end(LeaderEpoch epoch) const;
    [[nodiscard]] LeaderEpoch epoch_at(Offset offset) const { return epochs_.at(offset); }
    [[nodiscard]] LeaderEpoch latest_epoch() const { return epochs_.latest(); }

    /// DeleteRecords: records below `offset` are to go, and whole segments below it. Done, durably,
    /// when log_start_offset() says so: while is_deleting(), flushes see to it, though nothing else
    /// be unsynced. A lower offset than now changes nothing. Errors: offset_out_of_range (above the
    /// log end); storage_io, storage_full, storage_damaged, storage_offline.
    Result<void> advance_log_start(Offset offset);
    /// Begins, likewise, to delete segments by time and size, none that reaches above
    /// `high_watermark`; forgets expired producers; unlinks what was deleted before
    /// (file.delete.delay.ms). False: there is nothing to delete, or that is under way.
    Result<bool> apply_retention(WallTime now, Offset high_watermark);
    [[nodiscard]] bool is_deleting() const;

    /// Descriptors are short: readers open sealed segments again.
    void close_sealed_files();
    /// The active one, too: when nothing is appended any more.
    void close_files();

    // Compaction (cleanup.policy=compact), in steps between which the log serves. Nothing at or
    // behind `limit` is touched: what is not committed, or belongs to an open transaction.
    /// Nothing: not now. Cheap when nothing changed. Errors: storage_io.
    Result<std::optional<CompactionNeed>> compaction_need(WallTime now, Offset limit);
    /// Begins a run. REQUIRES: none is under way. False: there is nothing to do now.
    Result<bool> begin_compaction(WallTime now, Offset limit, const CompactionMeans& means);
    /// Reads and writes about `bytes_max`. REQUIRES: is_compacting(), no sync under way. Errors:
    /// the run is over and has harmed nothing; storage_io, storage_full: try again later;
    /// storage_damaged: this log is not compacted any more, see uncleanable(). If taking over a new
    /// segment failed and could not be undone, failure() is set, too.
    Result<CompactionStep> step_compaction(WallTime now, uint64_t bytes_max);
    /// Ignored when the run is over by now.
    void compaction_synced(const Result<void>& result);
    void abandon_compaction();
    [[nodiscard]] bool is_compacting() const { return compaction_ != nullptr; }
    /// Why compaction gave the log up; until the next start.
    [[nodiscard]] const std::optional<Error>& uncleanable() const { return uncleanable_; }

    // Damage: log_repair.cc.
    /// Compares batches from the one that holds `from` on with their checksums, as far as they are
    /// synced, until `bytes_max` were read; one at least. Errors: storage_damaged (the log stays in
    /// use: it is the caller's to fail it), storage_io, storage_full, storage_offline.
    Result<Verified> verify(Offset from, uint64_t bytes_max);
    /// An empty log in place of a damaged one, on a replica that counts for nothing any more. What
    /// the damaged one had is in quarantine then. REQUIRES: its failure() is storage_damaged; it is
    /// used no longer, whatever this returns. Errors: storage_io, storage_full: try again.
    static Result<std::unique_ptr<Log>> begin_anew(const Log& damaged);

    // Moving to another log directory: log_move.h.
    [[nodiscard]] const PartitionKey& key() const { return key_; }
    [[nodiscard]] const std::string& directory() const { return directory_; }
    /// False: nothing was written yet, so there are no files.
    [[nodiscard]] bool has_directory() const { return has_directory_; }
    /// Rises whenever bytes that were settled are exchanged or cut: a copy is of no use then.
    [[nodiscard]] uint64_t rewrite_count() const { return swaps_ + truncations_; }
    /// Of the `listed` bytes of a segment those that no undo takes back.
    [[nodiscard]] uint64_t settled_bytes(Offset base, uint64_t listed) const;
    /// What the journal has of the log is void; its own files have all that is durable. Blocks.
    /// Errors: those of storage.
    Result<void> leave_journal();
    /// The files, if there are any, are in `directory` now, as they were closed, and no journal has
    /// anything of them. REQUIRES: closed.
    void relocate(std::string directory);

    /// Back to the cold state if nothing is unsynced, and neither a deletion nor a compaction is
    /// under way. failure() may be set then.
    void release_idle();
    /// Syncs (blocks), writes what the next start needs. The log is cold afterwards.
    Result<void> close();
    /// What is known now; is_clean only after close() and before any other change.
    [[nodiscard]] PartitionState state_for_checkpoint() const;
    /// The topic was deleted: the directory leaves its name at once, so that a topic of the same
    /// name can be created; the files go then. No other call may follow.
    Result<void> remove_all();

private:
    struct Hot;
    struct Deletion;
    struct DeletedFile {
        std::string path;
        WallTime due;
    };

    Log(port::Disk& disk, std::string directory, const LogConfig& config, const OpenHint& hint);

    // log.cc
    Result<void> check_usable() const;
    Error damaged(std::string detail);
    Result<Hot*> load(WallTime now);
    Result<Hot*> load_with_producers(WallTime now);
    Result<AppendInfo> append_as_leader(Hot& hot, ByteSpan batch, protocol::BatchHeader header,
                                        LeaderEpoch epoch, WallTime now,
                                        const protocol::TransactionMarker* marker = nullptr);
    Result<AppendInfo> append_placed(Hot& hot, ByteView batch, const protocol::BatchHeader& header,
                                     WallTime now, const protocol::TransactionMarker* marker);
    Result<void> append_roll(WallTime now);
    Result<void> add_segment(Offset base, WallTime now);
    Result<void> begin_flush_names(FlushWork& work);
    [[nodiscard]] bool fits_journal() const;
    enum class Sync : uint8_t { now, later };
    Result<void> settle_blocking(Sync sync);
    Result<void> flush_blocking();
    Result<void> sync_names();
    void update_summary();
    [[nodiscard]] std::string path(const std::string& name) const {
        return directory_ + "/" + name;
    }
    [[nodiscard]] std::string_view directory_name() const {
        return std::string_view(directory_).substr(directory_.rfind('/') + 1);
    }

    // log_read.cc
    Segment* find_segment(Offset offset);
    void close_surplus_files();
    Result<port::FileRef> open_for_read(Segment& segment);
    struct ReadStart;
    Result<std::optional<ReadStart>> read_locate(Segment* segment, Offset from, Offset end,
                                                 std::optional<uint32_t> tell_absent);
    Result<void> note_damage(Result<void> result);
    Result<std::optional<TimestampOffset>> max_timestamp_of_records(Hot& hot);

    // log_recovery.cc
    struct Listing;
    Result<Listing> list_files();
    Result<bool> claim_directory();
    Result<void> settle_directory(OpenHint::Settle settle);
    enum class FirstSegment : uint8_t { no, yes };
    Result<void> create_directory(FirstSegment first_segment, WallTime now);
    void remove_garbage(const Listing& listing);
    Result<void> recover(OpenHint::Settle settle, WallTime now);
    Result<void> recover_scan(Listing& listing, OpenHint::Settle settle, WallTime now);
    void recover_empty();
    Result<void> load_clean(WallTime now);
    void remove_indexes(Offset base);
    Result<void> rebuild_epochs(size_t segments);

    // log_snapshots.cc
    struct Snapshot;
    [[nodiscard]] std::string snapshot_path(Offset taken_at) const;
    Result<void> write_producers();
    void release_write_producers();
    Result<std::optional<Offset>> snapshot_behind(Offset first_kept, WallTime now);
    Result<std::optional<Offset>> snapshot_that_replaces(Offset offset);
    void delete_snapshots_before(Offset durable);
    void delete_snapshots_below(Offset offset);
    void begin_flush_snapshot(FlushWork& work);
    Result<std::optional<Snapshot>> read_snapshot(Offset taken_at);
    Result<std::optional<Snapshot>> newest_snapshot(const Listing& listing, Offset from, Offset to);
    Result<Snapshot> latest_snapshot(const Listing& listing, Offset at_most);
    Result<Snapshot> snapshot_to_replay_from(const Listing& listing);
    Result<void> load_producers(const Listing& listing, WallTime now);

    // log_transactions.cc
    using OnAborted = std::function<void(const Segment&, const AbortedTransaction&)>;
    Result<void> append_note_abort(Segment& active, const AbortedTransaction& aborted);
    void append_undo(Segment& active, bool has_aborted);
    Result<void> replay_producers(ProducerState& state, Offset from, WallTime now,
                                  const OnAborted& on_aborted);
    Result<void> recover_transactions(const Listing& listing, WallTime now);
    Result<const std::vector<AbortedTransaction>*> aborted_of(Segment& segment);
    Result<Offset> end_of(const ReadInfo& read);
    Result<void> rebuild_aborted(Offset first_base);
    void set_first_open(ProducerState& producers);

    // log_replicated.cc
    Result<void> note_truncation(Offset to, Offset end_min, Offset until = {});
    Result<void> void_notes(Offset until);
    void forget_truncation();
    Result<void> recover_truncation();
    Result<void> drop_segments_from(Offset offset);
    Result<void> truncate_files(Offset offset, WallTime now);
    Result<void> truncate_active(Offset offset);
    Result<void> restart_files(Offset offset);
    Result<void> after_truncation(WallTime now);

    // log_retention.cc
    Result<void> begin_deletion(Offset to, const char* why);
    Result<uint32_t> go_on_deleting(const FlushWork& work);
    Result<void> cancel_deletion();
    Result<uint32_t> delete_segments_below(Offset first_kept);
    void unlink_due(WallTime now);

    // log_compaction.cc
    Result<struct CompactionFacts> compaction_facts(WallTime now, Offset limit);
    Result<void> compaction_roll_overdue(WallTime now);
    Result<void> keep_producers(Offset first_kept, WallTime now);
    Result<void> swap_in(WallTime now);
    Result<void> swap_in_rename(const std::vector<Offset>& bases, const Segment& segment);
    void swap_in_undo(const std::vector<Offset>& bases, Segment& segment);
    Result<void> finish_swaps(const Listing& listing);
    Result<void> finish_swap(const Listing& listing, Offset base, uint64_t size);

    port::Disk& disk_;
    std::string directory_;
    LogConfig config_;
    PartitionKey key_;
    EpochCache epochs_;
    Offset log_start_;
    Offset log_end_;
    Offset synced_end_; // invariant: <= log_end_
    uint64_t size_bytes_ = 0;
    uint32_t segment_count_ = 0;
    int64_t oldest_max_timestamp_ = -1;
    WallTime last_wall_{};
    uint64_t swaps_ = 0; // by compaction
    bool is_low_ = false;
    bool has_directory_ = false;
    bool has_producers_ = false;         // cold: a snapshot at log_end_ holds them
    Offset first_open_ = kNoOffset;      // cold: of the oldest open transaction
    Offset first_undecided_ = kNoOffset; // cold: the same while the high watermark is not above
    Offset undecided_until_ = kNoOffset; // ... this marker; kNoOffset: there is none
    Offset high_watermark_;              // the highest that is known here
    uint64_t truncations_ = 0;
    std::optional<Truncation> truncation_; // log_replicated.cc
    uint64_t last_guard_ = 0;              // of transactions to be verified; not given twice
    bool is_clean_ = false;
    bool recovery_lost_tail_ = false;
    std::optional<Error> failure_;
    std::vector<DeletedFile> deleted_;
    std::unique_ptr<Hot> hot_;
    FlushJournal* journal_ = nullptr;
    bool settles_ = false;
    std::unique_ptr<Compaction> compaction_;
    std::optional<Error> compaction_sync_failed_;
    std::optional<Offset> cleaned_to_;      // nothing: not read yet
    std::optional<Offset> checked_need_at_; // log end when there was no need last
    std::optional<Error> uncleanable_;
};

} // namespace qtool::storage
