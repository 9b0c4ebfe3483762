// What one core asks of a partition that another (or the same) core owns, and the answers. Plain
// values: they travel by mail. One request names one partition; answers carry request and index
// back.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/slot_map.h"
#include "lib/base/time.h"
#include "lib/protocol/control_record.h"
#include "server/metrics/survey.h"
#include "server/port/disk.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace qtool::replica {

/// Appends one produced batch. The bytes stay alive and are patched in place (base offset, epoch)
/// until the answer arrives; they belong to the asking core's chunk.
struct AppendOp {
    ByteSpan batch;
    int16_t acks = -1;      // 1: answer after the write; -1: when every in-sync replica has it
    MonoTime deadline = {}; // acks -1: timed_out then; the data stays in the log
    /// A transactional batch of a producer that has no open transaction here is not
    /// appended until the transaction coordinator said that the partition belongs to it (KIP-890):
    /// the answer is then an AppendResult with a guard, and the append that follows carries it. A
    /// marker in between makes the guard void, and the answer is a new one. 0: none yet.
    uint64_t verification_guard = 0;
    /// Of the producer's transactions: 2 (KIP-890) from Produce version 12 on.
    int16_t transaction_version = 0;
};
struct AppendResult {
    Offset base_offset = kNoOffset;  // without one: in the log before, nobody knows where
    int64_t log_append_time_ms = -1; // -1 unless the topic uses LogAppendTime
    Offset log_start_offset = kNoOffset;
    /// Not 0: nothing was appended, the transaction is to be verified first; see AppendOp.
    uint64_t verification_guard = 0;
};

/// What is told of an append that was refused, beside its error.
struct AppendRefusal {
    Offset log_start_offset = kNoOffset; // -1: Kafka does not tell it with this error either
    struct Record {
        int32_t index = 0; // in the batch
        std::string message;
    };
    std::vector<Record> records{}; // those to blame; empty: the batch as a whole
};

enum class Isolation : uint8_t { read_uncommitted, read_committed };

/// A broker that fetches for its replica of the partition.
struct ReplicaReader {
    BrokerId id;
    Revision broker_epoch{}; // 0: it did not say
    Offset log_start = kNoOffset;
    /// The first read of a fetch: its offset is what the follower has on its disk. Read again after
    /// a wake, it is no news.
    bool is_progress = true;
    Offset told_high_watermark = kNoOffset; // a higher one is worth an answer
};

/// How often what a read needs is read in for it; then it goes ahead, though it may wait: where
/// memory is so short that it is gone each time, a reader still gets on.
inline constexpr uint32_t kReadInsMax = 4;

/// Reads from `fetch_offset` up to what the isolation level may see; a replica: up to the log end.
/// No bytes are read: the answer names a file range. With `watch_below_bytes` > 0 and fewer
/// readable bytes than that, the partition also arms a one-shot watch: PartitionWake follows as
/// soon as more is readable (or on error; or, for a replica, when the high watermark rises).
/// Errors of a replica's: unknown_leader_epoch (it is none), not_leader (its broker epoch is over).
struct ReadOp {
    Offset fetch_offset;
    uint32_t bytes_max = 0;
    Isolation isolation = Isolation::read_uncommitted;
    LeaderEpoch last_fetched_epoch = kNoLeaderEpoch; // -1: no divergence check
    uint32_t watch_below_bytes = 0;
    std::optional<ReplicaReader> replica = std::nullopt; // nothing: a consumer
    bool may_ask_follower = false; // of a consumer: a follower may answer, too (KIP-392)
    /// The leader names one of these instead of reading, if it is in sync and has the offset: the
    /// replicas near the consumer, best first.
    std::vector<BrokerId> near = {};
    uint32_t read_ins_left = kReadInsMax; // counted down by the partition's manager
};
struct ReadResult {
    Offset high_watermark = kNoOffset;
    Offset last_stable_offset = kNoOffset;
    Offset log_start_offset = kNoOffset;
    port::FileRange range; // size 0: nothing readable
    /// Between a partition and its manager alone: size > 0: to be read in, then it is asked again.
    port::FileRange absent;
    uint32_t first_batch_size = 0; // bytes of the first whole batch in range
    std::optional<std::pair<LeaderEpoch, Offset>> diverging; // epoch and its end offset
    BrokerId preferred_replica = kNoBroker; // to be read from instead; nothing was read
    /// Of a replica: the log does not have its offset. It needs to know where the log begins.
    bool is_out_of_range = false;
    /// read_committed: aborted transactions that overlap `range`, in the order they ended.
    struct Aborted {
        ProducerId producer_id;
        Offset first_offset;
    };
    std::vector<Aborted> aborted;
};

/// ListOffsets: timestamp is >= 0 or one of the special values of SEMANTICS (-1 .. -6).
struct ListOffsetOp {
    int64_t timestamp_ms = -1;
    Isolation isolation = Isolation::read_uncommitted;
};
struct ListOffsetResult {
    Offset offset = kNoOffset;
    int64_t timestamp_ms = -1;
    LeaderEpoch leader_epoch = kNoLeaderEpoch;
};

/// DeleteRecords: offset -1 means the high watermark. Not done by all live replicas at the
/// deadline: timed_out.
struct DeleteRecordsOp {
    Offset before_offset;
    MonoTime deadline = kMonoNever;
};
struct DeleteRecordsResult {
    Offset low_watermark = kNoOffset;
};

struct EpochEndOp {
    LeaderEpoch epoch;
};
struct EpochEndResult {
    LeaderEpoch epoch = kNoLeaderEpoch;
    Offset end_offset = kNoOffset;
};

/// Ends a producer's transaction in this partition: one control batch, written with acks=all.
/// Errors: invalid_producer_epoch (older than the producer's epoch here; with transaction_version 2
/// also the same while a transaction is open), coordinator_fenced (coordinator epoch below the last
/// seen), those of an append.
struct WriteMarkerOp {
    protocol::TransactionMarker marker;
    int16_t transaction_version = 0;
    MonoTime deadline = {};
};
struct WriteMarkerResult {};

/// DescribeProducers.
struct ProducersOp {};
struct ProducersResult {
    struct Producer {
        ProducerId id;
        ProducerEpoch epoch;
        int32_t last_sequence = -1;
        int64_t last_timestamp_ms = -1;
        int32_t coordinator_epoch = -1;
        Offset transaction_start_offset = kNoOffset; // -1: none open
    };
    std::vector<Producer> producers; // by id
};

/// A request to the coordinator whose log this partition is (server/coordinator). The answer is the
/// encoded response. Errors (nothing was looked at): coordinator_loading, not_coordinator.
struct CoordinatorOp {
    int16_t api_key = 0;
    int16_t api_version = 0;
    std::string client_id;
    std::string client_host;     // "/127.0.0.1"
    std::vector<std::byte> body; // encoded request, without header
};
struct CoordinatorResult {
    std::vector<std::byte> body; // encoded response, without header
};

/// For `topic describe` and metrics.
struct DescribeOp {};
struct DescribeResult {
    Offset log_start_offset = kNoOffset;
    Offset log_end_offset = kNoOffset;
    Offset high_watermark = kNoOffset;
    uint64_t size_bytes = 0;
    int32_t log_dir = -1;        // index in log.dirs
    int32_t future_log_dir = -1; // where it is being moved; -1: nowhere
    uint64_t future_size_bytes = 0;
    int64_t future_offset_lag = 0; // records that are not there yet
    /// Of the leader: how far the others are, as it knows.
    struct Follower {
        BrokerId id;
        Offset end = kNoOffset; // -1: it has not fetched from this leader
        int64_t behind_ms = -1; // since it had all; -1: never
    };
    bool is_leader = false;
    std::vector<Follower> followers;
};

/// How far a reader that committed `committed` is behind, in records and in time.
struct LagOp {
    Offset committed;
};
struct LagResult {
    Offset high_watermark = kNoOffset;
    /// Of the first batch that was not committed, from its header: no record is decoded, so the age
    /// is that of the batch's oldest record. -1: nothing is behind, or the log says nothing.
    int64_t timestamp_ms = -1;
};

/// To a core, not a partition (Services::survey): what it has, for metrics. The answer is a
/// metrics::CoreSurvey.
struct SurveyOp {
    uint32_t offsets_max = 0; // committed offsets in the answer
};

/// AlterReplicaLogDirs: begins to move the partition to another log directory of this broker, in
/// place of a move that is under way; to the one it is in: ends such a move. Errors (beside those
/// below): storage_offline, storage_full, storage_io.
struct MoveOp {
    size_t to = 0; // index in log.dirs
};
struct MoveResult {};

using PartitionOp =
    std::variant<AppendOp, ReadOp, ListOffsetOp, DeleteRecordsOp, EpochEndOp, DescribeOp,
                 WriteMarkerOp, ProducersOp, CoordinatorOp, LagOp, SurveyOp, MoveOp>;
using PartitionResult =
    std::variant<AppendResult, ReadResult, ListOffsetResult, DeleteRecordsResult, EpochEndResult,
                 DescribeResult, WriteMarkerResult, ProducersResult, CoordinatorResult, LagResult,
                 metrics::CoreSurvey, MoveResult>;

struct PartitionRequest {
    Token request;      // the pending request on the asking core
    uint32_t index = 0; // which of its partitions
    PartitionKey key;
    LeaderEpoch current_leader_epoch = kNoLeaderEpoch; // -1: no fencing
    PartitionOp op;
};

/// Errors: unknown_partition, not_leader, fenced_leader_epoch, unknown_leader_epoch, those of
/// storage::Log, not_enough_replicas, timed_out.
struct PartitionReply {
    Token request;
    uint32_t index = 0;
    Result<PartitionResult> result;
    AppendRefusal refusal = {}; // of an append with an error
};

/// A watch armed by ReadOp fired: read again.
struct PartitionWake {
    Token request;
    uint32_t index = 0;
};

} // namespace qtool::replica
