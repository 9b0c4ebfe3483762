// Partition: requests that read.
#include "lib/base/assert.h"
#include "server/replica/partition.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace qtool::replica {

namespace {

// Special timestamps of ListOffsets (KIP-79, KIP-405, KIP-734, KIP-1005).
constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;
constexpr int64_t kEarliestLocal = -4;
constexpr int64_t kLatestTiered = -5;
constexpr int64_t kEarliestPendingUpload = -6;

} // namespace

Offset Partition::end_in_sight(Sight sight) const {
    switch (sight) {
    case Sight::log_end:
        return log_->log_end_offset();
    case Sight::high_watermark:
        return high_watermark();
    case Sight::last_stable:
        return last_stable_offset();
    }
    QT_UNREACHABLE();
}

Result<PartitionResult> Partition::read(const PartitionRequest& request, const ReadOp& op,
                                        CoreId from, MonoTime now, Outbox& out) {
    if (op.replica) {
        QT_TRY(leading_->check_fetch(
            {op.replica->id, op.replica->broker_epoch, op.fetch_offset, op.replica->log_start}));
    }
    ReadResult result;
    const auto fill_ends = [&] {
        result.high_watermark = high_watermark();
        result.last_stable_offset = last_stable_offset();
        result.log_start_offset = log_->log_start_offset();
    };
    fill_ends();
    const auto out_of_range = [&](const std::string& why) -> Result<PartitionResult> {
        if (op.replica) {
            result.is_out_of_range = true;
            return PartitionResult(std::move(result));
        }
        return Error(Code::offset_out_of_range, name_ + why);
    };
    if (op.last_fetched_epoch >= LeaderEpoch{0}) {
        QT_TRY_ASSIGN(const storage::EpochEnd end, end_of_epoch(op.last_fetched_epoch));
        if (end.epoch < LeaderEpoch{0}) { // the reader knows an epoch that this leader never had
            return out_of_range(": epoch " + std::to_string(op.last_fetched_epoch.value()) +
                                " is not known here");
        }
        if (end.end_offset < op.fetch_offset || end.epoch < op.last_fetched_epoch) {
            result.diverging.emplace(end.epoch, end.end_offset);
            return PartitionResult(std::move(result));
        }
    }
    if (op.fetch_offset > log_->log_end_offset() && !leading_) {
        // This follower is behind, or its disk was replaced: only the leader knows whether there is
        // such an offset. "Out of range" would make a consumer begin anew somewhere (KIP-392).
        return Error(Code::not_leader, name_ + ": this follower ends at offset " +
                                           std::to_string(log_->log_end_offset().value()));
    }
    if (op.fetch_offset < log_->log_start_offset() || op.fetch_offset > log_->log_end_offset()) {
        return out_of_range(": offset " + std::to_string(op.fetch_offset.value()) +
                            " is outside [" + std::to_string(log_->log_start_offset().value()) +
                            ", " + std::to_string(log_->log_end_offset().value()) + "]");
    }
    if (op.replica) {
        // Only now is known that its log is the beginning of this one.
        if (op.replica->is_progress) {
            QT_TRY(check_refetch(op, out));
            leading_->on_fetch(
                {op.replica->id, op.replica->broker_epoch, op.fetch_offset, op.replica->log_start},
                log_->log_end_offset(), now);
            advance(out);
            fill_ends();
        }
    } else if (const BrokerId preferred = preferred_replica(op); preferred != kNoBroker) {
        result.preferred_replica = preferred;
        return PartitionResult(std::move(result));
    }
    const Sight sight = op.replica                                    ? Sight::log_end
                        : op.isolation == Isolation::read_uncommitted ? Sight::high_watermark
                                                                      : Sight::last_stable;
    const Offset end = end_in_sight(sight);
    if (op.fetch_offset < end && read_is_throttled(op, now)) {
        return PartitionResult(std::move(result)); // it asks again after its wait
    }
    if (op.fetch_offset < end) {
        QT_TRY_ASSIGN(
            storage::ReadInfo info,
            log_->read(op.fetch_offset, end, op.bytes_max,
                       op.read_ins_left > 0 ? storage::IfAbsent::tell : storage::IfAbsent::wait));
        if (info.absent.size > 0) {
            result.absent = std::move(info.absent);
            return PartitionResult(std::move(result));
        }
        if (op.isolation == Isolation::read_committed) {
            QT_TRY_ASSIGN(const std::vector<storage::AbortedTransaction> aborted,
                          log_->aborted_in(op.fetch_offset, info));
            for (const storage::AbortedTransaction& transaction : aborted) {
                result.aborted.push_back({transaction.producer_id, transaction.first_offset});
            }
        }
        result.range = std::move(info.range);
        result.range.was_read_in = op.read_ins_left < kReadInsMax;
        result.first_batch_size = info.first_batch_size;
        (op.replica ? counters_.replication_bytes_out : counters_.fetch_bytes)
            .add(result.range.size);
        if (op.replica && is_leader_throttled_ && leader_rate_ != nullptr) {
            leader_rate_->take(result.range.size, now);
        }
    }
    const bool is_news = op.replica && result.high_watermark > op.replica->told_high_watermark;
    if (result.range.size < op.watch_below_bytes && !is_news) {
        counters_.fetch_watches.add();
        Watch watch{Asker{from, request.request, request.index}, sight, end, std::nullopt};
        if (op.replica) {
            watch.seen_high_watermark = result.high_watermark;
        }
        watches_.arm(watch);
    }
    return PartitionResult(std::move(result));
}

// A follower that asks again for what it was given does not take it: maybe what is stored here does
// not match its checksum.
Result<void> Partition::check_refetch(const ReadOp& op, Outbox& out) {
    const FollowerProgress* follower = leading_->find(op.replica->id);
    if (follower->end == op.fetch_offset && follower->epoch == op.replica->broker_epoch &&
        follower->leader_end_at_fetch > op.fetch_offset) {
        if (const auto verified = verify(op.fetch_offset, 1, out); !verified && offline_) {
            return verified.error();
        }
    }
    return {};
}

bool Partition::read_is_throttled(const ReadOp& op, MonoTime now) const {
    if (!op.replica || !is_leader_throttled_ || leader_rate_ == nullptr) {
        return false;
    }
    const FollowerProgress* follower = leading_->find(op.replica->id);
    return !follower->is_in_sync && leader_rate_->is_used_up(now);
}

// KIP-392: a replica in the reader's rack that has what it asks for.
BrokerId Partition::preferred_replica(const ReadOp& op) const {
    if (!leading_) {
        return kNoBroker;
    }
    for (const BrokerId id : op.near) {
        if (id == self_) {
            return kNoBroker; // the leader itself is as near
        }
        const FollowerProgress* follower = leading_->find(id);
        if (follower != nullptr && follower->is_in_sync && follower->is_live &&
            follower->end >= op.fetch_offset && follower->log_start <= op.fetch_offset) {
            return id;
        }
    }
    return kNoBroker;
}

Result<PartitionResult> Partition::list_offset(const ListOffsetOp& op) {
    ListOffsetResult result;
    const Offset end =
        op.isolation == Isolation::read_committed ? last_stable_offset() : high_watermark();
    const bool is_by_record = op.timestamp_ms >= 0 || op.timestamp_ms == kMaxTimestamp;
    if ((op.timestamp_ms == kLatest || is_by_record) && !is_settled_leader()) {
        // An earlier leader may have told of a higher end than this one knows of yet (KIP-207).
        return Error(Code::offset_not_available,
                     name_ + ": the leader does not know the high watermark yet");
    }
    switch (op.timestamp_ms) {
    case kLatest:
        result.offset = end;
        result.leader_epoch = leader_epoch_; // also of a log that has no batch of it yet
        return PartitionResult(result);
    case kEarliest:
    case kEarliestLocal: // without tiered storage the local log is the whole log
        result.offset = log_->log_start_offset();
        result.leader_epoch = log_->epoch_at(result.offset);
        return PartitionResult(result);
    case kLatestTiered:
    case kEarliestPendingUpload:
        return PartitionResult(result); // nothing is tiered: offset -1, epoch -1
    default:
        break;
    }
    std::optional<storage::TimestampOffset> found;
    if (op.timestamp_ms == kMaxTimestamp) {
        QT_TRY_ASSIGN(found, log_->max_timestamp_offset());
    } else {
        QT_TRY_ASSIGN(found, log_->find_by_time(op.timestamp_ms, end));
    }
    if (found && found->offset < end) {
        result.offset = found->offset;
        result.timestamp_ms = found->timestamp_ms;
        result.leader_epoch = found->leader_epoch;
    }
    return PartitionResult(result);
}

Result<Offset> Partition::delete_records_start(const PartitionRequest& request,
                                               const DeleteRecordsOp& op) {
    QT_TRY(check_request(request));
    const Offset high = high_watermark();
    if ((op.before_offset == Offset{-1} || op.before_offset > high) &&
        op.before_offset <= log_->log_end_offset() && !is_settled_leader()) {
        // The leader before may have told of a higher one (KIP-207): "out of range" would be wrong,
        // and final, and "all" would be too little.
        return Error(Code::offset_not_available,
                     name_ + ": the leader does not know the high watermark yet");
    }
    const Offset before = op.before_offset == Offset{-1} ? high : op.before_offset;
    if (before < Offset{0} || before > high) {
        return Error(Code::offset_out_of_range,
                     name_ + ": cannot delete before offset " + std::to_string(before.value()) +
                         ", the high watermark is " + std::to_string(high.value()));
    }
    QT_TRY(log_->advance_log_start(before));
    return before;
}

// Answered when all replicas that live or may lead have deleted, this one with them, or the records
// would come back with the next leader (KIP-107).
void Partition::delete_records(const PartitionRequest& request, const DeleteRecordsOp& op,
                               CoreId from, Outbox& out) {
    const Result<Offset> before = delete_records_start(request, op);
    if (!before) {
        if (breaks_the_log(before.error().code) && !offline_) {
            go_offline(before.error(), out);
        }
        out.answers.push_back(
            {from, PartitionReply{request.request, request.index, before.error()}});
        return;
    }
    deletions_.push_back({Asker{from, request.request, request.index}, *before, op.deadline});
    advance(out);
}

Offset Partition::low_watermark() const {
    const Offset own = log_->log_start_offset();
    return leading_ ? leading_->low_watermark(own) : own;
}

void Partition::settle_deletions(Outbox& out) {
    if (deletions_.empty() || !log_) {
        return;
    }
    const Offset low = low_watermark();
    std::erase_if(deletions_, [&](const Deletion& deletion) {
        if (deletion.before > low) {
            return false;
        }
        out.answers.push_back(
            {deletion.asker.core, PartitionReply{deletion.asker.request, deletion.asker.index,
                                                 PartitionResult(DeleteRecordsResult{low})}});
        return true;
    });
}

// The leader's own epoch begins in its log when it becomes leader, whether it has written or not
// (KIP-101): a follower with records of an epoch in between is told where it went wrong.
Result<storage::EpochEnd> Partition::end_of_epoch(LeaderEpoch epoch) const {
    const LeaderEpoch written = log_->latest_epoch();
    if (epoch <= written || epoch > leader_epoch_ || epoch < LeaderEpoch{0}) {
        return log_->epoch_end(epoch);
    }
    const bool is_answered_with_itself = epoch == leader_epoch_ || written == kNoLeaderEpoch;
    return storage::EpochEnd{is_answered_with_itself ? epoch : written, log_->log_end_offset()};
}

Result<PartitionResult> Partition::epoch_end(const EpochEndOp& op) {
    EpochEndResult result;
    QT_TRY_ASSIGN(const storage::EpochEnd end, end_of_epoch(op.epoch));
    result.epoch = end.epoch;
    result.end_offset = end.end_offset;
    return PartitionResult(result);
}

Result<PartitionResult> Partition::producers(WallTime wall) {
    QT_TRY_ASSIGN(const std::vector<storage::ProducerState::Description> known,
                  log_->producers(wall));
    ProducersResult result;
    for (const storage::ProducerState::Description& producer : known) {
        result.producers.push_back({producer.id, producer.epoch, producer.last_sequence,
                                    producer.last_timestamp_ms, producer.coordinator_epoch,
                                    producer.transaction_start});
    }
    return PartitionResult(std::move(result));
}

Result<PartitionResult> Partition::describe(MonoTime now) {
    DescribeResult result;
    result.log_start_offset = log_->log_start_offset();
    result.log_end_offset = log_->log_end_offset();
    result.high_watermark = high_watermark();
    result.size_bytes = log_->size_bytes();
    result.log_dir = log_dir_;
    result.is_leader = is_leader();
    if (leading_) {
        for (const FollowerProgress& follower : leading_->followers()) {
            auto& told = result.followers.emplace_back();
            told.id = follower.id;
            told.end = follower.end;
            if (follower.end >= log_->log_end_offset()) {
                told.behind_ms = 0;
            } else if (follower.was_caught_up) {
                told.behind_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                                     now - follower.caught_up_at)
                                     .count();
            }
        }
    }
    return PartitionResult(result);
}

Result<PartitionResult> Partition::lag(const LagOp& op) {
    LagResult result;
    result.high_watermark = high_watermark();
    const Offset from = std::max(op.committed, log_->log_start_offset());
    if (from >= result.high_watermark) {
        return PartitionResult(result);
    }
    QT_TRY_ASSIGN(const storage::ReadInfo info, log_->read(from, result.high_watermark, 1));
    std::array<std::byte, protocol::kBatchHeaderSize> bytes;
    if (info.range.size < bytes.size()) { // the rest was compacted away
        return PartitionResult(result);
    }
    QT_TRY_ASSIGN(const size_t size, info.range.file->read_at(bytes, info.range.position));
    if (size != bytes.size()) {
        return Error(Code::storage_io, name_ + ": the log ended while it was read");
    }
    QT_TRY_ASSIGN(const protocol::BatchHeader header, protocol::parse_batch_header(bytes));
    const bool is_one_time = header.has_delete_horizon() ||
                             header.timestamp_type() == protocol::TimestampType::log_append_time;
    result.timestamp_ms = is_one_time ? header.max_timestamp : header.base_timestamp;
    return PartitionResult(result);
}

} // namespace qtool::replica
