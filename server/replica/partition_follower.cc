// Partition as follower: what it fetches from its leader becomes its log.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/partition.h"

#include <algorithm>

namespace qtool::replica {

std::optional<Partition::FetchPosition> Partition::fetch_position() const {
    if (role_ != Role::follower || !log_ || offline_) {
        return std::nullopt;
    }
    // The offset that is asked for tells the leader what is safe here; so does the log start.
    if (log_->is_deleting() ||
        (!write_caching_ && log_->synced_end_offset() != log_->log_end_offset())) {
        return std::nullopt;
    }
    return FetchPosition{log_->log_end_offset(), log_->latest_epoch(), log_->log_start_offset()};
}

Result<void> Partition::check_follower(LeaderEpoch leader_epoch) const {
    if (role_ != Role::follower || leader_epoch != leader_epoch_) {
        return Error(Code::not_leader,
                     name_ + ": leader epoch " + std::to_string(leader_epoch.value()) +
                         " is over, now it is " + std::to_string(leader_epoch_.value()));
    }
    if (offline_) {
        return *offline_;
    }
    return {};
}

Result<void> Partition::on_fetched(const Fetched& fetched, MonoTime now, WallTime wall,
                                   Outbox& out) {
    now_ = last_used_ = now;
    Result<void> done = [&]() -> Result<void> {
        QT_TRY(check_follower(fetched.leader_epoch));
        if (fetched.fetch_offset != log_->log_end_offset()) {
            return Error(Code::not_leader, name_ + ": the log was cut since it was fetched for");
        }
        if (fetched.diverging) {
            QT_TRY(truncate(fetched, wall));
        } else if (!fetched.records.empty()) {
            QT_TRY(check_epochs(fetched));
            const Offset before = log_->log_end_offset();
            segments_before_ = log_->segment_count();
            QT_TRY_ASSIGN(const storage::AppendInfo appended,
                          log_->append_replicated(fetched.records, wall));
            if (appended.appended) {
                batches_since_flush_++;
                records_since_flush_ += log_->log_end_offset() - before;
                counters_.replication_bytes_in.add(fetched.records.size());
                if (segments_before_ > 0 && log_->segment_count() > segments_before_) {
                    counters_.segments_rolled.add();
                }
                if (write_caching_) {
                    unflushed_since_ = std::min(unflushed_since_, now);
                    flush_due_ = flush_due_ || records_since_flush_ >= flush_messages_;
                }
            }
        }
        // The leader forgot records, by retention or because somebody deleted them. It says so once
        // in a fetch session, maybe together with where the logs diverge.
        if (fetched.log_start > log_->log_start_offset() &&
            fetched.log_start <= log_->log_end_offset()) {
            QT_TRY(log_->advance_log_start(fetched.log_start));
        }
        if (!fetched.diverging) { // else what is below it may have to be cut, too
            take_high_watermark(fetched.high_watermark);
        }
        return {};
    }();
    if (!done && breaks_the_log(done.error().code) && !offline_) {
        go_offline(done.error(), out);
        return done;
    }
    advance(out);
    return done;
}

// A batch of a later epoch cannot come from the leader that was asked (it would be one more that
// diverges): nothing of the answer is used.
Result<void> Partition::check_epochs(const Fetched& fetched) const {
    protocol::BatchWalker walker(fetched.records);
    while (true) {
        QT_TRY_ASSIGN(const protocol::BatchView* batch, walker.next());
        if (batch == nullptr) {
            return {};
        }
        if (batch->header.partition_leader_epoch > fetched.leader_epoch) {
            return Error(Code::invalid_record,
                         name_ + ": the leader of epoch " +
                             std::to_string(fetched.leader_epoch.value()) +
                             " sent a batch of epoch " +
                             std::to_string(batch->header.partition_leader_epoch.value()));
        }
    }
}

void Partition::take_high_watermark(Offset of_leader) {
    const Offset high = std::min(of_leader, log_->log_end_offset());
    if (high > high_watermark_) {
        high_watermark_ = high;
        static_cast<void>(log_->first_unstable_offset(high)); // for the checkpoint
    }
    high_watermark_ = std::max(high_watermark_, log_->log_start_offset());
}

// The leader's log has `epoch` as the last one at or before ours, up to `end` (KIP-101, KIP-279).
//   ours: epoch 1 to 10, 3 to 20        leader's: epoch 1 to 10, 2 to 15, 4 to 30
//   fetch (20, last epoch 3) -> (2, 15): we never had 2, so all behind epoch 1 goes: cut at 10
//   fetch (10, last epoch 1) -> data of epoch 2
// Below its log start the leader knows no epochs, so where ours end there tells nothing: they may
// have parted before. What would be kept is below the log start soon; but who wrote it would be
// known here as if the leader had that, too.
Result<void> Partition::truncate(const Fetched& fetched, WallTime wall) {
    const auto [epoch, end] = *fetched.diverging;
    const Offset log_end = log_->log_end_offset();
    QT_TRY_ASSIGN(const storage::EpochEnd ours, log_->epoch_end(epoch));
    Offset cut = std::min(end, log_end);
    if (ours.epoch == epoch) {
        cut = std::min(cut, ours.end_offset); // where the shorter of both ends it
    } else if (ours.epoch >= LeaderEpoch{0}) {
        cut = std::min(ours.end_offset, log_end); // the last epoch that both may have
    }
    cut = std::max(cut, log_->log_start_offset());
    // Of an empty log that the leader does not understand its epochs alone are left.
    const bool is_empty = log_->log_start_offset() == log_end;
    if (is_empty || (cut <= fetched.log_start && fetched.log_start > Offset{0})) {
        counters_.replica_truncations.add();
        return restart_at(std::max(fetched.log_start, Offset{0}), wall);
    }
    if (cut >= log_end) {
        return Error(Code::internal, name_ + ": the leader says the log diverges at offset " +
                                         std::to_string(end.value()) + " of epoch " +
                                         std::to_string(epoch.value()) + ", it ends at " +
                                         std::to_string(log_end.value()));
    }
    const bool is_loss = cut < high_watermark_; // of what was committed: an unclean election
    log_line(is_loss ? LogLevel::error : LogLevel::info, "replica_truncated",
             {{"partition", name_},
              {"from", log_end.value()},
              {"to", cut.value()},
              {"leader_epoch", leader_epoch_.value()},
              {"high_watermark", high_watermark_.value()}});
    counters_.replica_truncations.add();
    log_->abandon_compaction();
    QT_TRY(log_->truncate_to(cut, wall));
    high_watermark_ = std::min(high_watermark_, log_->log_end_offset());
    return {};
}

// Empty, where the leader's log begins.
Result<void> Partition::restart_at(Offset leader_log_start, WallTime wall) {
    log_line(LogLevel::warn, "replica_restarted",
             {{"partition", name_},
              {"from", log_->log_end_offset().value()},
              {"at", leader_log_start.value()}});
    log_->abandon_compaction();
    QT_TRY(log_->restart_at(leader_log_start, wall));
    high_watermark_ = leader_log_start;
    return {};
}

Result<void> Partition::on_out_of_range(LeaderEpoch leader_epoch, Offset leader_log_start,
                                        MonoTime now, WallTime wall, Outbox& out) {
    now_ = now;
    Result<void> done = [&]() -> Result<void> {
        QT_TRY(check_follower(leader_epoch));
        const bool is_empty = log_->log_start_offset() == log_->log_end_offset();
        if (leader_log_start < Offset{0} ||
            (leader_log_start <= log_->log_end_offset() && !is_empty)) {
            return Error(Code::offset_out_of_range,
                         name_ + ": the leader does not have offset " +
                             std::to_string(log_->log_end_offset().value()) +
                             ", and its log begins at " + std::to_string(leader_log_start.value()));
        }
        return restart_at(leader_log_start, wall);
    }();
    if (!done && breaks_the_log(done.error().code) && !offline_) {
        go_offline(done.error(), out);
        return done;
    }
    advance(out);
    return done;
}

} // namespace qtool::replica
