// What a partition writes for clients and coordinators, and its way to the disk.
#include "lib/base/assert.h"
#include "server/replica/append_refusal.h"
#include "server/replica/partition.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

namespace {

// A client whose leader moved may send what comes next before it sends again what the old leader
// refused (librdkafka does). It is told to look for the leader once more, and then has them in
// order; "out of order" would tell it that records were lost.
constexpr Duration kSkipPatience = 30s; // of a request that waits for the old leader

} // namespace

Result<void> Partition::check_min_isr() const {
    QT_ASSERT(leading_.has_value());
    if (static_cast<int64_t>(leading_->isr_size()) < min_insync_replicas_) {
        return Error(Code::not_enough_replicas,
                     name_ + ": " + std::to_string(leading_->isr_size()) +
                         " replicas are in sync, " + std::to_string(min_insync_replicas_) +
                         " are needed");
    }
    return {};
}

// What is to be counted about an append. A log that breaks takes the partition offline.
Result<storage::AppendInfo> Partition::account(Result<storage::AppendInfo> appended,
                                               size_t size_bytes, MonoTime now, Outbox& out) {
    if (!appended) {
        counters_.append_errors.add();
        if (appended.error().code == Code::storage_full) {
            counters_.storage_full.add();
        }
        if (breaks_the_log(appended.error().code)) {
            go_offline(appended.error(), out);
        }
        return appended;
    }
    if (appended->verification_guard != 0) {
        counters_.transactions_verified.add();
        return appended;
    }
    if (!appended->appended) {
        counters_.batches_duplicate.add();
        return appended;
    }
    const int64_t records = appended->last_offset - appended->base_offset + 1;
    batches_since_flush_++;
    records_since_flush_ += records;
    counters_.batches_appended.add();
    counters_.records_appended.add(static_cast<uint64_t>(records));
    counters_.bytes_appended.add(size_bytes);
    if (segments_before_ > 0 && log_->segment_count() > segments_before_) {
        counters_.segments_rolled.add();
    }
    if (write_caching_) {
        unflushed_since_ = std::min(unflushed_since_, now);
        flush_due_ = flush_due_ || records_since_flush_ >= flush_messages_;
    }
    return appended;
}

Result<storage::AppendInfo> Partition::append_own(ByteSpan batch, MonoTime now, WallTime wall,
                                                  Outbox& out) {
    now_ = last_used_ = now;
    if (!is_leader()) {
        return Error(Code::not_coordinator, name_ + ": this broker does not lead the partition");
    }
    if (offline_) {
        return *offline_;
    }
    QT_TRY(check_min_isr());
    segments_before_ = log_->segment_count();
    QT_TRY_ASSIGN(const storage::AppendInfo appended,
                  account(log_->append_own(batch, leader_epoch_, wall), batch.size(), now, out));
    advance(out);
    return appended;
}

void Partition::append(PartitionRequest& request, const AppendOp& op, CoreId from, MonoTime now,
                       WallTime wall, Outbox& out) {
    const auto answer = [&](Result<PartitionResult> result) {
        out.answers.push_back(
            {from, PartitionReply{request.request, request.index, std::move(result)}});
    };
    if (Result<void> checked = check_request(request); !checked) {
        if (checked.error().code == Code::not_leader && log_ && !offline_) {
            // It may lead when the next one comes.
            log_->note_refused(op.batch, Code::not_leader, wall);
        }
        answer(std::move(checked).error());
        return;
    }
    const auto refuse = [&](Error error) {
        AppendRefusal refusal = refusal_of(error.code, op.batch, *log_, log_config_, wall);
        out.answers.push_back({from, PartitionReply{request.request, request.index,
                                                    std::move(error), std::move(refusal)}});
    };
    if (op.acks == -1) {
        if (Result<void> enough = check_min_isr(); !enough) {
            log_->note_refused(op.batch, enough.error().code, wall);
            refuse(std::move(enough).error());
            return;
        }
    }
    segments_before_ = log_->segment_count();
    const storage::TransactionProof proof{op.verification_guard, op.transaction_version >= 2};
    const Result<storage::AppendInfo> appended =
        account(log_->append(op.batch, leader_epoch_, wall, proof), op.batch.size(), now, out);
    if (!appended) {
        const Error& error = appended.error();
        const bool has_just_come =
            leads_others() && leader_epoch_ > LeaderEpoch{0} && now - leads_since_ < kSkipPatience;
        if (error.code == Code::out_of_order_sequence && has_just_come) {
            answer(
                Error(Code::not_leader,
                      error.detail + "; what is missing may be on its way from the leader before"));
        } else {
            refuse(error);
        }
        return;
    }
    AppendResult result;
    result.verification_guard = appended->verification_guard;
    if (result.verification_guard != 0) {
        answer(PartitionResult(result));
        return;
    }
    result.base_offset = appended->base_offset;
    result.log_append_time_ms = appended->log_append_time_ms;
    result.log_start_offset = log_->log_start_offset();
    // A duplicate of acks=all is acknowledged under the same rule as its first copy: a batch whose
    // first acknowledgement was lost may still be waiting for its flush.
    raise_high_watermark();
    if (op.acks == -1 && appended->last_offset >= high_watermark()) {
        parked_.park(ParkedAppend{Asker{from, request.request, request.index},
                                  appended->last_offset, op.deadline, now, result, false});
    } else {
        answer(PartitionResult(result));
    }
    advance(out);
}

void Partition::write_marker(const PartitionRequest& request, const WriteMarkerOp& op, CoreId from,
                             MonoTime now, WallTime wall, Outbox& out) {
    const Result<storage::AppendInfo> appended = [&]() -> Result<storage::AppendInfo> {
        QT_TRY(check_request(request));
        QT_TRY(check_min_isr());
        segments_before_ = log_->segment_count();
        return account(log_->append_marker(op.marker, op.transaction_version, leader_epoch_, wall),
                       protocol::kTransactionMarkerSize, now, out);
    }();
    const Asker asker{from, request.request, request.index};
    if (!appended) {
        out.answers.push_back({from, PartitionReply{asker.request, asker.index, appended.error()}});
        return;
    }
    counters_.transaction_markers.add();
    parked_.park(
        ParkedAppend{asker, appended->last_offset, op.deadline, now, AppendResult{}, true});
    advance(out); // answers it, with write caching
}

bool Partition::wants_flush() const {
    if (!log_ || offline_ || flush_in_flight_) {
        return false;
    }
    return log_->is_deleting() || log_->settles() ||
           (log_->synced_end_offset() != log_->log_end_offset() && (!write_caching_ || flush_due_));
}

std::optional<storage::FlushWork> Partition::begin_flush(Outbox& out) {
    QT_ASSERT(wants_flush());
    return note_flush(log_->begin_flush(), out);
}

std::optional<storage::FlushWork> Partition::begin_journaled_flush(Outbox& out) {
    QT_ASSERT(wants_flush());
    Result<storage::FlushWork> work = log_->begin_journaled_flush();
    return note_flush(work ? Result<std::optional<storage::FlushWork>>(*std::move(work))
                           : std::move(work).error(),
                      out);
}

std::optional<storage::FlushWork>
Partition::note_flush(Result<std::optional<storage::FlushWork>> work, Outbox& out) {
    if (!work) {
        if (!storage::is_out_of_descriptors(work.error())) {
            go_offline(std::move(work).error(), out);
        }
        return std::nullopt;
    }
    if (*work) {
        flush_in_flight_ = true;
        flush_due_ = false;
        unflushed_since_ = kMonoNever;
        records_since_flush_ = 0;
        counters_.flushes.add();
        counters_.flush_batches.add(std::exchange(batches_since_flush_, 0));
    }
    return *std::move(work);
}

void Partition::on_flush_refused() {
    QT_ASSERT(flush_in_flight_);
    flush_in_flight_ = false;
    flush_due_ = true;
}

void Partition::on_flushed(const storage::FlushWork& work, const Result<void>& result, MonoTime now,
                           Outbox& out) {
    QT_ASSERT(flush_in_flight_);
    now_ = now;
    flush_in_flight_ = false;
    if (offline_) {
        return;
    }
    if (!result) {
        // After a failed fsync the kernel may have dropped the dirty pages and will report success
        // next time (fsyncgate), so the log never tries again.
        counters_.flush_errors.add();
        log_->fail(result.error());
        go_offline(result.error(), out);
        return;
    }
    const Offset log_start = log_->log_start_offset();
    if (const Result<uint32_t> deleted = log_->finish_flush(work)) {
        counters_.segments_deleted.add(*deleted);
    } else {
        on_deletion_failed(deleted.error(), out);
    }
    if (log_->log_start_offset() > log_start) { // other replicas are to hear of it
        for (const Asker& asker : watches_.take_replicas()) {
            out.wakes.push_back({asker.core, PartitionWake{asker.request, asker.index}});
        }
    }
    advance(out, now);
}

} // namespace qtool::replica
