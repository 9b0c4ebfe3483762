// Survey: what is not counted as it happens but looked at when somebody asks for /metrics: sizes of
// logs, states of groups and transactions, lag. Each core looks at its own and answers with one
// CoreSurvey; values that travel by mail.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace qtool::metrics {

struct LogSurvey {
    uint64_t segments = 0;
    uint64_t size_bytes = 0;
    uint64_t partitions_waiting = 0; // with appends that wait for their flush
    // Replication; of leaders here but the last.
    uint64_t partitions_led = 0;
    uint64_t under_replicated = 0;      // the ISR is smaller than the replicas
    uint64_t under_min_isr = 0;         // the ISR is below min.insync.replicas
    uint64_t at_min_isr = 0;            // one replica less, and it would be
    uint64_t replica_lag_records = 0;   // of the follower that is most behind
    uint64_t partitions_unfollowed = 0; // followers here that cannot fetch: nobody leads

    void add(const LogSurvey& other) {
        partitions_led += other.partitions_led;
        under_replicated += other.under_replicated;
        under_min_isr += other.under_min_isr;
        at_min_isr += other.at_min_isr;
        replica_lag_records = std::max(replica_lag_records, other.replica_lag_records);
        partitions_unfollowed += other.partitions_unfollowed;
        segments += other.segments;
        size_bytes += other.size_bytes;
        partitions_waiting += other.partitions_waiting;
    }
};

/// A committed offset, of which lag is to be found.
struct CommittedOffset {
    std::string group;
    std::string topic;
    int32_t partition = 0;
    int64_t offset = 0;
};

/// What coordinators have and did since their logs were loaded.
struct CoordinatorSurvey {
    uint64_t shards_loading = 0;
    uint64_t shards_loaded = 0;
    uint64_t shards_failed = 0;
    uint64_t requests_parked = 0;     // JoinGroup and the like, not answered yet
    uint64_t answers_uncommitted = 0; // decided, waiting for the log
    uint64_t markers_waiting = 0;     // of transactions, not sent out yet

    std::map<std::string, uint64_t> groups; // by "type/state", as Kafka names both
    uint64_t members = 0;
    uint64_t committed_offsets = 0;
    uint64_t rebalances = 0;
    uint64_t offset_commits = 0;
    uint64_t offsets_expired = 0;

    std::map<std::string, uint64_t> transactions; // by state, as Kafka names it
    uint64_t transactions_timed_out = 0;
    uint64_t markers_pending = 0; // asked for, not written yet
    uint64_t markers_written = 0;

    void add(const CoordinatorSurvey& other) {
        shards_loading += other.shards_loading;
        shards_loaded += other.shards_loaded;
        shards_failed += other.shards_failed;
        requests_parked += other.requests_parked;
        answers_uncommitted += other.answers_uncommitted;
        markers_waiting += other.markers_waiting;
        for (const auto& [state, count] : other.groups) {
            groups[state] += count;
        }
        members += other.members;
        committed_offsets += other.committed_offsets;
        rebalances += other.rebalances;
        offset_commits += other.offset_commits;
        offsets_expired += other.offsets_expired;
        for (const auto& [state, count] : other.transactions) {
            transactions[state] += count;
        }
        transactions_timed_out += other.transactions_timed_out;
        markers_pending += other.markers_pending;
        markers_written += other.markers_written;
    }
};

/// What one core found.
struct CoreSurvey {
    LogSurvey logs;
    CoordinatorSurvey coordinators;
    std::vector<CommittedOffset> offsets; // at most as many as were asked for
    uint64_t offsets_left_out = 0;
};

/// One row of lag: how far a group is behind in a partition.
struct LagRow {
    CommittedOffset committed;
    int64_t records = 0;
    int64_t ms = 0; // age of the first record the group has not committed; 0 without lag
};

struct Survey {
    LogSurvey logs;
    CoordinatorSurvey coordinators;
    std::vector<LagRow> lag;   // bounded: kLagSeriesMax
    uint64_t lag_left_out = 0; // committed offsets beyond that bound
};

/// Series of lag in one answer: group, topic and partition are labels, so somebody has to say when
/// it is enough. 10,000 rows are 2 MiB of text.
inline constexpr uint32_t kLagSeriesMax = 10'000;

} // namespace qtool::metrics
