// Manager: the partitions one core owns. Opens, changes and deletes them as images say, carries
// their flushes to the disk port, and looks after them from time to time. Lives on that core.
#pragma once

#include "lib/base/slot_map.h"
#include "server/metadata/image.h"
#include "server/metrics/counters.h"
#include "server/metrics/survey.h"
#include "server/port/core_events.h"
#include "server/replica/compactor.h"
#include "server/replica/fetcher.h"
#include "server/replica/mover.h"
#include "server/replica/partition.h"
#include "server/replica/scrubber.h"
#include "server/storage/limits.h"
#include "server/storage/log_dirs.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace qtool::replica {

/// Of one call of Manager::take_isr_proposals: what one metadata operation takes.
inline constexpr size_t kIsrProposalsMax = 64;

/// How often repair of a damaged log is tried.
inline constexpr Duration kDamageInterval = std::chrono::seconds(1);

/// Options of the broker that concern its partitions; what its cores share is this core's part.
struct ManagerOptions {
    Duration retention_check_interval = 5min;
    int64_t producer_id_expiration_ms = 86'400'000;
    Duration replica_lag_max = Partition::kReplicaLagMax; // replica.lag.time.max.ms
    FetcherOptions fetcher;
    uint64_t leader_rate_max = UINT64_MAX;   // leader.replication.throttled.rate, a second
    uint64_t follower_rate_max = UINT64_MAX; // follower.replication.throttled.rate
    CompactorOptions compactor;
    MoverOptions mover;
    uint64_t flush_journal_bytes = 0; // of each log directory; fixed when the manager is made

    bool operator==(const ManagerOptions&) const = default;
};

class Manager {
public:
    struct Setup {
        port::CorePorts ports;
        BrokerId self;
        storage::LogDirs* log_dirs = nullptr;
        metrics::CoreCounters* counters = nullptr;
        std::function<bool(const PartitionKey&)> is_mine; // does this core own it
        /// Does the image have it; nothing: no partition is without a replica here.
        std::function<bool(const PartitionKey&)> is_known;
        /// Until then this broker may take it that nobody else leads what it leads; nothing: ever.
        std::function<MonoTime()> session_valid_until;
        ManagerOptions options;
        size_t settled_one_by_one_max = storage::kSettledOneByOneMax;
    };
    explicit Manager(Setup setup);

    /// Options set at run time: they hold from now on, for what is under way, too.
    void set_options(const ManagerOptions& options);
    /// Opens, changes and closes partitions. Recovery of what was not closed cleanly happens in
    /// here, before the core serves.
    void apply(const metadata::Image& image, const metadata::Delta& delta, Outbox& out);

    void handle(PartitionRequest& request, CoreId from, Outbox& out);
    /// The request is over: nobody is to be woken for it, and what of it still waits for the device
    /// is forgotten.
    void cancel_watch(CoreId core, Token request, const PartitionKey& partition);
    /// Of Disk::read_in; one for a read that was forgotten meanwhile is nothing.
    void on_read_in(Token token, const Result<void>& result, Outbox& out);
    /// As Partition::append_own; its flush begins with the turn's others.
    Result<storage::AppendInfo> append_own(Partition& partition, ByteSpan batch, Outbox& out);
    /// Whoever sits on top of the partition could not read its log: what breaks the log for other
    /// readers takes it offline here too, so that somebody else may lead it.
    void on_read_failed(Partition& partition, const Error& error, Outbox& out);
    /// nullptr: not one of this core. Valid until its topic is deleted.
    Partition* find(const PartitionKey& key);

    /// The partitions with watch_moves() whose log, high watermark or health may have changed since
    /// the last call; some may come twice, or be gone.
    std::vector<PartitionKey> take_moved() { return std::exchange(moved_, {}); }

    /// ISR changes that its leaders want, at most kIsrProposalsMax; each is to be answered. Fetches
    /// of followers and time bring new ones.
    std::vector<IsrProposal> take_isr_proposals();
    /// Errors: see LeaderState::on_proposal_ended.
    void on_isr_proposal_ended(const PartitionKey& key, LeaderEpoch epoch, int32_t partition_epoch,
                               const Result<void>& result, Outbox& out);

    /// The same for one with is_copy_lost. Errors: see Partition::on_copy_loss_ended.
    void on_copy_loss_ended(const PartitionKey& key, const Result<void>& result);

    /// A fetch to be sent to a leader; on_replica_fetch_answer follows.
    struct ReplicaFetch {
        BrokerId leader;
        std::vector<std::byte> body; // encoded, kReplicaFetchVersion
    };
    /// Those that are due: called once at the end of a turn.
    std::vector<ReplicaFetch> take_replica_fetches();
    /// The encoded response (valid during the call), or why there is none.
    void on_replica_fetch_answer(BrokerId leader, const Result<ByteView>& body, Outbox& out);

    /// Starts a flush for each partition that wants one: called once at the end of a turn, so that
    /// all appends of the turn share it (group commit).
    void begin_flushes(Outbox& out);
    /// False when the token is not one of a flush.
    bool on_synced(Token token, Result<void> result, Outbox& out);

    [[nodiscard]] MonoTime next_due() const;
    void on_time(Outbox& out);

    /// What its logs hold, for metrics.
    [[nodiscard]] metrics::LogSurvey survey() const;
    /// Stop: answers all that is parked, and refuses what comes.
    void release_waiters(Code code, Outbox& out);
    [[nodiscard]] bool is_flushing() const { return flushes_.size() > 0; }
    /// Flushes and closes each log; their states for the clean-shutdown checkpoints, by directory.
    /// Error: one could not be closed cleanly, so the next start must recover those of its
    /// directory.
    std::vector<storage::LogDirs::Closed> close();

private:
    enum class FlushOf : uint8_t { partition, parent, journal, emptying, compaction, move };
    struct Flush {
        PartitionKey partition;
        uint64_t epoch = 0; // of the partition object: a deleted one's flush finds a stranger
        storage::FlushWork work;
        size_t files_left = 0;
        MonoTime begun_at{};
        Result<void> result; // the first error of its files
        FlushOf of = FlushOf::partition;
        uint64_t move_number = 0;
        std::vector<Token> sharers; // parent: flushes of logs that are new in that directory;
                                    // journal: all that are in it
        size_t dir = 0;             // journal, emptying
    };
    struct Entry {
        std::unique_ptr<Partition> partition;
        uint64_t epoch = 0;
        std::optional<size_t> dir; // nothing: it lives in a directory that did not open
        bool is_failure_noted = false;
        bool is_leader_live = false;
        BrokerId fetched_from = kNoBroker; // has it in its fetcher, in this epoch
        LeaderEpoch fetched_epoch = kNoLeaderEpoch;
    };
    /// Waits until the disk has read in what it needs.
    struct ColdRead {
        CoreId from;
        PartitionRequest request;
    };
    /// Of a log directory.
    struct Journal {
        std::unique_ptr<storage::FlushJournal> journal;
        std::vector<Token> collected;        // flushes that it took in this turn
        std::set<PartitionKey> waiting;      // for the flush that is under way
        std::set<PartitionKey> settling;     // synced on their own now, so that a file is free
        std::vector<PartitionKey> unsettled; // those that could not be
        MonoTime settle_at{};                // not before
    };
    class Followers; // FollowerLogs; manager_replication.cc

    Entry* find_entry(const PartitionKey& key);
    void open(const metadata::TopicImage& topic, PartitionIndex index,
              storage::LogDirs::Arrival arrival, Outbox& out);
    void settle(Outbox& out);
    [[nodiscard]] size_t count_mine(const metadata::Image& image) const;
    void note_moved(const Partition& partition);
    void note_failure(Entry& entry);
    void follow_failures(Outbox& out);
    void fail(Entry& entry, const Error& reason, Outbox& out);
    void look_at_space(const Entry& entry);
    void close_spare_files();
    void remove_topic(const TopicId& id, Outbox& out);
    using Entries = std::map<PartitionKey, Entry>;
    Entries::iterator remove_partition(Entries::iterator at, Code code, Outbox& out);
    void touch(Partition& partition);
    void read_in(Outbox& out);
    void flush_later(const PartitionKey& key, MonoTime at);
    std::optional<storage::FlushWork> begin_flush(Entry& entry, const PartitionKey& key,
                                                  Outbox& out);
    void begin_journal_flushes();
    void on_journal_synced(Token token, const Result<void>& result, Outbox& out);
    void refuse(const std::vector<Token>& flushes);
    void settle_logs();
    void close_journals(const std::vector<storage::LogDirs::Closed>& closed);
    void settle_file_systems();
    [[nodiscard]] Duration maintain_interval() const;
    void write_recovery_points();
    void compact(Outbox& out);
    void maintain(MonoTime now, Outbox& out);

    // manager_replication.cc
    void follow_brokers(const metadata::Image& image, const metadata::Delta& delta, bool is_first);
    void follow_role(Entry& entry, const metadata::Image& image);
    void follow_leader(Entry& entry);
    void repair(Entry& entry);
    void look_at_damage();
    void scrub(Outbox& out);
    void stop_fetching(Entry& entry);
    void give_up(Entry& entry);
    [[nodiscard]] bool is_session_over() const;
    void look_beyond_session(Outbox& out) const;
    void check_lag(Outbox& out);

    // manager_moves.cc
    Result<PartitionResult> start_move(Entry& entry, const MoveOp& op);
    void resume_move(Entry& entry);
    void set_dir(Entry& entry, size_t to);
    void describe_move(const PartitionKey& key, DescribeResult& result) const;
    void step_moves(Outbox& out);

    Setup setup_;
    std::vector<Journal> journals_; // by log directory; outlive the logs
    Entries partitions_;
    /// Where the logs of replicas ended that went elsewhere: recovery points still tell of them.
    std::map<PartitionKey, Offset> left_;
    SlotMap<Flush> flushes_;
    SlotMap<ColdRead> cold_reads_;       // bound: partitions of requests under way on all cores
    std::set<TopicId> compacted_topics_; // with partitions here or not
    Compactor compactor_;
    std::vector<PartitionKey> moved_;
    Mover mover_;
    std::vector<PartitionKey> dirty_;          // may want a flush; checked at turn end
    std::set<PartitionKey> with_parked_;       // to be checked for expired appends
    std::set<PartitionKey> with_unflushed_;    // write caching with flush.ms: to be flushed in time
    std::vector<PartitionKey> isr_to_look_at_; // led here; their followers moved
    MonoTime lag_check_at_ = kMonoNever;
    MonoTime look_at_damage_at_ = kMonoNever;
    Scrubber scrubber_;
    std::map<BrokerId, Fetcher> fetchers_;
    RateLimit leader_rate_;
    RateLimit follower_rate_;
    Revision self_epoch_{}; // broker epoch, of the last image
    uint64_t next_epoch_ = 1;
    uint64_t failures_seen_ = 0; // LogDirs::failure_count
    bool is_first_image_ = true;
    bool settles_together_ = false; // in apply alone: its logs become durable at once
    bool is_closed_ = false;
    MonoTime spare_files_at_{}; // not again before
    MonoTime expire_at_ = kMonoNever;
    MonoTime flush_at_ = kMonoNever;
    MonoTime maintain_at_ = kMonoNever;
    std::optional<PartitionKey> maintained_to_; // the rest of this round follows
    MonoTime recovery_points_at_ = kMonoNever;
};

} // namespace qtool::replica
