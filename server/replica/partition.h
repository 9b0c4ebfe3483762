// Partition: one partition as a replicated thing: which role this broker has in it, how far it is
// committed (high watermark), who waits for that.
//
// Lives on the core that owns the partition; owned by Manager. Roles, as images say:
//   none --assigned--> follower <--leader epoch--> leader       (LeaderState: of one leader epoch)
//   leader --resigns--> follower: what is parked is answered not_leader
//   any --no replica any more--> none: Manager takes the partition away
// The high watermark never falls, whatever the role; but below a log that was cut by an unclean
// election. Health:
//   online  --write, flush or read finds the log broken-->  offline   (every answer:
//   storage_offline
//                                                                      or storage_damaged)
// There is no way back but a restart of the broker; or, where the log is damaged and another
// replica has what is committed, to begin anew (copy_loss.h, partition_repair.cc).
//
// Files: partition.cc (requests that write, flushes, roles), partition_read.cc (those that read),
// partition_follower.cc (what a follower does with what it fetched), partition_repair.cc (damage).
#pragma once

#include "lib/base/ids.h"
#include "server/metadata/image.h"
#include "server/metrics/counters.h"
#include "server/replica/copy_loss.h"
#include "server/replica/leader_state.h"
#include "server/replica/rate_limit.h"
#include "server/replica/requests.h"
#include "server/replica/waiters.h"
#include "server/storage/log.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qtool::replica {

/// What a partition wants done after an event; appended by Partition, drained by Manager.
struct Outbox {
    struct Answer {
        CoreId core;
        PartitionReply reply;
    };
    struct Wake {
        CoreId core;
        PartitionWake wake;
    };
    /// A read that would have waited for the device: to be asked again when that has been read.
    struct ColdRead {
        CoreId core;
        PartitionRequest request;
        port::FileRange absent;
    };
    std::vector<Answer> answers;
    std::vector<Wake> wakes;
    std::vector<ColdRead> cold_reads; // taken by Manager
};

enum class Role : uint8_t { none, leader, follower };

class Partition {
public:
    static constexpr Duration kReplicaLagMax = 30s; // default of replica.lag.time.max.ms

    /// `log` may be an error: the partition then exists, offline, and says why.
    Partition(PartitionKey key, std::string name, BrokerId self,
              Result<std::unique_ptr<storage::Log>> log, int64_t producer_id_expiration_ms,
              metrics::CoreCounters& counters);
    ~Partition();
    Partition(const Partition&) = delete;
    Partition& operator=(const Partition&) = delete;

    /// Takes its role, leadership facts and configuration from a new image.
    void apply(const metadata::TopicImage& topic, MonoTime now, Outbox& out);
    /// What an image says of the broker of another replica.
    void set_broker(BrokerId id, bool is_live, Revision epoch);
    /// What followers that are not in sync may read of throttled partitions; nullptr: no limit.
    void set_leader_rate(RateLimit* rate) { leader_rate_ = rate; }
    /// As follower: it is throttled, and not in sync.
    [[nodiscard]] bool is_throttled_follower() const {
        return is_follower_throttled_ && !is_in_isr_;
    }
    /// replica.lag.time.max.ms.
    void set_replica_lag(Duration lag_max) { lag_max_ = lag_max; }

    // Of the leader: changes of the ISR, see LeaderState. One whose log is broken wants to resign.
    std::optional<IsrProposal> propose_isr(MonoTime now);
    void on_isr_proposal_ended(LeaderEpoch epoch, int32_t partition_epoch,
                               const Result<void>& result, MonoTime now, Outbox& out);

    // Of a replica whose log is damaged: partition_repair.cc.
    [[nodiscard]] bool has_damaged_log() const;
    /// Of a proposal with is_copy_lost. Success: it is committed. Any error: ask again.
    void on_copy_loss_ended(const Result<void>& result, MonoTime now);
    /// The metadata do not count it, and another replica leads.
    [[nodiscard]] bool may_begin_anew() const;
    /// With an empty log, online. REQUIRES: may_begin_anew(). False: not now, try again.
    bool begin_anew();
    /// As Log::verify. Damage takes it offline where another replica can go on.
    Result<storage::Verified> verify(Offset from, uint64_t bytes_max, Outbox& out);

    // Of a follower: partition_follower.cc.
    struct FetchPosition {
        Offset offset; // all below is on the disk, unless with write caching
        LeaderEpoch last_epoch = kNoLeaderEpoch;
        Offset log_start;
    };
    /// Where to fetch from next. Nothing: not a follower, offline, or a flush is to come first.
    [[nodiscard]] std::optional<FetchPosition> fetch_position() const;
    /// What the leader of an epoch answered.
    struct Fetched {
        LeaderEpoch leader_epoch;
        Offset fetch_offset; // what it was asked
        Offset high_watermark;
        Offset log_start = kNoOffset;
        std::optional<std::pair<LeaderEpoch, Offset>> diverging;
        ByteView records; // batches, the last of them maybe cut short
    };
    /// Appends, or cuts what diverges, and learns the high watermark. Errors: not_leader (that
    /// epoch is over, or the log does not end where it was asked from: fetch again); corrupt,
    /// malformed, invalid_record (what the leader sent is of no use); internal (it diverges where
    /// nothing is left to cut); those of storage.
    Result<void> on_fetched(const Fetched& fetched, MonoTime now, WallTime wall, Outbox& out);
    /// The leader of that epoch does not have the offset it was asked for: its log begins behind
    /// where this one ends, which begins there now, empty. Errors: as above; offset_out_of_range,
    /// when that is not so.
    Result<void> on_out_of_range(LeaderEpoch leader_epoch, Offset leader_log_start, MonoTime now,
                                 WallTime wall, Outbox& out);

    /// Handles one request; the answer is in `out` now, or comes later (parked append); or it is
    /// to be handled again (Outbox::ColdRead).
    void handle(PartitionRequest& request, CoreId from, MonoTime now, WallTime wall, Outbox& out);
    /// Appends a batch that this broker made itself (a coordinator's records). It is committed when
    /// the high watermark passes it. Errors: as of an AppendOp with acks=all.
    Result<storage::AppendInfo> append_own(ByteSpan batch, MonoTime now, WallTime wall,
                                           Outbox& out);
    void cancel_watch(CoreId core, Token request) { watches_.cancel(core, request); }

    /// True when there are unsynced bytes that a reader or an acknowledgement waits for, or a
    /// deletion that does, and no flush is under way: the manager should begin one.
    [[nodiscard]] bool wants_flush() const;
    /// The files to fdatasync; on_flushed follows exactly once. Nothing: the log broke, or there
    /// was no descriptor for it, and it still wants the flush.
    std::optional<storage::FlushWork> begin_flush(Outbox& out);
    /// As Log::offer_to_journal, and the flush through it. REQUIRES: wants_flush(), and the journal
    /// takes it.
    [[nodiscard]] storage::FlushJournal::Answer offer_to_journal() {
        return log_->offer_to_journal();
    }
    std::optional<storage::FlushWork> begin_journaled_flush(Outbox& out);
    /// Instead of on_flushed: the journal could not take it. Nothing happened, and it wants one.
    void on_flush_refused();
    void on_flushed(const storage::FlushWork& work, const Result<void>& result, MonoTime now,
                    Outbox& out);

    /// Answers parked appends whose time is over with timed_out.
    void expire(MonoTime now, Outbox& out);
    /// Compaction must not touch what is at or behind it.
    [[nodiscard]] Offset compaction_limit() const { return last_stable_offset(); }
    /// The log was used from outside and may have broken.
    void note_log_failure(Outbox& out);
    /// The log was synced from outside.
    void note_synced(Outbox& out) { advance(out); }
    /// Time went on: who does not catch up holds the high watermark no longer.
    void on_lag_check(MonoTime now, Outbox& out);
    /// Retention and release of idle files. True: it has begun to delete, which is some work.
    bool maintain(WallTime wall, MonoTime now, Outbox& out);

    /// When flush.ms asks for a flush of what write caching left unsynced; kMonoNever: not at all.
    [[nodiscard]] MonoTime flush_due_at() const;
    /// That time has come: wants_flush() from now on.
    void on_flush_due() { flush_due_ = true; }

    [[nodiscard]] bool has_parked() const { return !parked_.empty() || !deletions_.empty(); }
    [[nodiscard]] bool is_flushing() const { return flush_in_flight_; }
    /// Whoever sits on top of the partition is told by Manager::take_moved that it moved.
    void watch_moves() { is_watched_ = true; }
    [[nodiscard]] bool is_watched() const { return is_watched_; }
    [[nodiscard]] bool is_offline() const { return offline_.has_value(); }
    /// An error after which nobody may write or trust the log.
    static bool breaks_the_log(Code code);
    /// Call only when it is offline.
    [[nodiscard]] const Error& offline_reason() const { return offline_.value(); }
    /// Option of the broker: how long the log remembers a silent producer.
    void set_producer_id_expiration(int64_t expiration_ms);
    void set_log_dir(int32_t index) { log_dir_ = index; } // in log.dirs
    /// Its log directory went offline.
    void take_offline(const Error& reason, Outbox& out);
    /// Its log directory has less free than the reserve: what clients produce is refused with
    /// storage_full, unless the topic is internal.
    void set_low_space(bool is_low);
    [[nodiscard]] Offset high_watermark() const { return high_watermark_; }
    /// Leads, and has committed all that was there when its epoch began: only then it knows what
    /// is committed (KIP-207).
    [[nodiscard]] bool is_settled_leader() const {
        return leading_ && high_watermark_ >= leading_->epoch_start();
    }
    [[nodiscard]] Role role() const { return role_; }
    [[nodiscard]] BrokerId leader() const { return leader_; }
    /// nullptr: this broker does not lead it.
    [[nodiscard]] const LeaderState* leading() const { return leading_ ? &*leading_ : nullptr; }
    [[nodiscard]] int32_t min_insync_replicas() const { return min_insync_replicas_; }
    /// Below it all transactions are decided, durably: where readers of committed data stop.
    [[nodiscard]] Offset last_stable_offset() const;
    /// As leader, of more replicas than its own.
    [[nodiscard]] bool leads_others() const { return leading_ && leading_->replica_count() > 1; }
    [[nodiscard]] LeaderEpoch leader_epoch() const { return leader_epoch_; }
    [[nodiscard]] const PartitionKey& key() const { return key_; }
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] Offset log_start() const { return log_ ? log_->log_start_offset() : Offset{0}; }
    [[nodiscard]] Offset log_end() const { return log_ ? log_->log_end_offset() : Offset{0}; }
    /// nullptr when the log could not be opened.
    [[nodiscard]] storage::Log* log() { return log_.get(); }

    /// Everything parked is answered with `code` (topic deleted, broker stopping).
    void release_waiters(Code code, Outbox& out);
    /// The appends among it alone.
    void release_appends(Code code, Outbox& out);

private:
    std::optional<storage::FlushWork> note_flush(Result<std::optional<storage::FlushWork>> work,
                                                 Outbox& out);
    // partition_read.cc
    Result<PartitionResult> read(const PartitionRequest& request, const ReadOp& op, CoreId from,
                                 MonoTime now, Outbox& out);
    [[nodiscard]] BrokerId preferred_replica(const ReadOp& op) const;
    Result<PartitionResult> list_offset(const ListOffsetOp& op);
    void delete_records(const PartitionRequest& request, const DeleteRecordsOp& op, CoreId from,
                        Outbox& out);
    Result<Offset> delete_records_start(const PartitionRequest& request, const DeleteRecordsOp& op);
    [[nodiscard]] Offset low_watermark() const;
    void settle_deletions(Outbox& out);
    Result<storage::EpochEnd> end_of_epoch(LeaderEpoch epoch) const;
    Result<PartitionResult> epoch_end(const EpochEndOp& op);
    Result<PartitionResult> describe(MonoTime now);
    Result<PartitionResult> producers(WallTime wall);
    Result<PartitionResult> lag(const LagOp& op);
    [[nodiscard]] Offset end_in_sight(Sight sight) const;

    Result<void> check_refetch(const ReadOp& op, Outbox& out);
    [[nodiscard]] bool read_is_throttled(const ReadOp& op, MonoTime now) const;

    // partition_repair.cc
    void follow_copy_loss();
    [[nodiscard]] bool is_replaceable() const;

    // partition_follower.cc
    [[nodiscard]] Result<void> check_follower(LeaderEpoch leader_epoch) const;
    Result<void> truncate(const Fetched& fetched, WallTime wall);
    Result<void> restart_at(Offset leader_log_start, WallTime wall);
    [[nodiscard]] Result<void> check_epochs(const Fetched& fetched) const;
    void take_high_watermark(Offset of_leader);

    [[nodiscard]] bool is_named_throttled(const metadata::TopicImage& topic,
                                          const std::string& option) const;
    void become_leader(const metadata::PartitionImage& image, MonoTime now);
    void resign(Outbox& out);
    void raise_high_watermark();
    [[nodiscard]] Result<void> check_min_isr() const;
    Result<storage::AppendInfo> account(Result<storage::AppendInfo> appended, size_t size_bytes,
                                        MonoTime now, Outbox& out);
    void write_marker(const PartitionRequest& request, const WriteMarkerOp& op, CoreId from,
                      MonoTime now, WallTime wall, Outbox& out);
    void append(PartitionRequest& request, const AppendOp& op, CoreId from, MonoTime now,
                WallTime wall, Outbox& out);
    Result<void> check_request(const PartitionRequest& request) const;
    [[nodiscard]] bool may_be_asked_follower(const PartitionOp& op) const;
    void advance(Outbox& out, MonoTime flushed_at = kMonoNever);
    void go_offline(Error error, Outbox& out);
    void on_deletion_failed(const Error& error, Outbox& out);
    void set_offline(Error error);
    [[nodiscard]] bool is_leader() const { return role_ == Role::leader; }

    PartitionKey key_;
    std::string name_; // "topic-3", for messages
    BrokerId self_;
    BrokerId leader_ = kNoBroker;
    LeaderEpoch leader_epoch_{0};
    Role role_ = Role::none;
    std::optional<LeaderState> leading_; // exactly while it leads
    Offset high_watermark_{0};
    Duration lag_max_ = kReplicaLagMax;
    bool is_in_isr_ = false; // this broker, as the image says
    bool is_in_elr_ = false;
    int32_t partition_epoch_ = 0;
    CopyLoss copy_loss_;
    bool is_damage_told_ = false; // one line and count each
    bool is_leader_throttled_ = false;
    bool is_follower_throttled_ = false;
    RateLimit* leader_rate_ = nullptr;
    MonoTime now_{};                  // of the last call that said
    int32_t min_insync_replicas_ = 1; // already min(option, replica count)
    bool write_caching_ = false;
    bool is_internal_ = false;
    bool is_watched_ = false;
    int32_t log_dir_ = -1;
    bool flush_in_flight_ = false;
    MonoTime leads_since_{}; // while leading_
    uint32_t batches_since_flush_ = 0;
    int64_t records_since_flush_ = 0;
    int64_t flush_messages_ = INT64_MAX;
    int64_t flush_ms_ = INT64_MAX;
    int64_t producer_id_expiration_ms_;
    storage::LogConfig log_config_;         // of the last image
    MonoTime unflushed_since_ = kMonoNever; // write caching: when the oldest unsynced byte came
    MonoTime last_used_{};
    uint32_t segments_before_ = 0; // before the append that is being accounted for
    bool flush_due_ = false;       // write caching: flush.ms passed or flush.messages reached
    std::optional<Error> offline_;
    std::unique_ptr<storage::Log> log_;
    AppendWaiters parked_;
    struct Deletion {
        Asker asker;
        Offset before;
        MonoTime deadline;
    };
    std::vector<Deletion> deletions_; // done here, not by all live replicas yet
    Watches watches_;
    metrics::CoreCounters& counters_;
};

} // namespace qtool::replica
