// Partition: what becomes of a log that is damaged. While nobody else has what is committed it is
// left alone, offline. Else the metadata are told that this copy counts for nothing, the log goes
// into quarantine, and the replica begins anew, empty, as a follower.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/partition.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

bool Partition::has_damaged_log() const {
    return log_ && offline_ && offline_->code == Code::storage_damaged;
}

bool Partition::may_begin_anew() const {
    return has_damaged_log() && role_ == Role::follower && leader_ != kNoBroker &&
           !flush_in_flight_ && copy_loss_.is_settled(partition_epoch_);
}

void Partition::on_copy_loss_ended(const Result<void>& result, MonoTime now) {
    copy_loss_.on_ended(result, now);
    log_line(result ? LogLevel::warn : LogLevel::debug, result ? "copy_lost" : "copy_not_given_up",
             {{"partition", name_},
              {"effect", result ? "this replica is in no ISR, and begins anew as a follower"
                                : "no other live replica is known to have all that is committed"}});
}

// An unclean election may have made a leader of it: then there is nobody to learn from, and what
// the metadata were told is void.
void Partition::follow_copy_loss() {
    if (copy_loss_.is_settled(partition_epoch_) && (is_in_isr_ || is_in_elr_)) {
        copy_loss_.reset();
    }
}

bool Partition::begin_anew() {
    QT_ASSERT(may_begin_anew());
    Result<std::unique_ptr<storage::Log>> log = storage::Log::begin_anew(*log_);
    if (!log) {
        log_line(LogLevel::warn, "replica_not_repaired",
                 {{"partition", name_}, {"error", to_string(log.error())}});
        return false;
    }
    log_line(LogLevel::warn, "replica_repairs",
             {{"partition", name_},
              {"leader", leader_.value()},
              {"why", offline_->detail},
              {"effect", "the damaged log is in quarantine; all is fetched again"}});
    log_ = *std::move(log);
    log_->set_config(log_config_);
    high_watermark_ = log_->log_start_offset();
    offline_.reset();
    copy_loss_.reset();
    is_damage_told_ = false;
    counters_.partitions_offline.set(counters_.partitions_offline.value() - 1);
    counters_.replica_repairs.add();
    return true;
}

// Only where somebody else can go on; a log that is the last one serves what is good in it.
bool Partition::is_replaceable() const {
    if (!leading_) {
        return role_ == Role::follower && leader_ != kNoBroker;
    }
    const std::vector<FollowerProgress>& followers = leading_->followers();
    return std::any_of(followers.begin(), followers.end(), [](const FollowerProgress& follower) {
        return follower.is_in_sync && follower.is_live;
    });
}

Result<storage::Verified> Partition::verify(Offset from, uint64_t bytes_max, Outbox& out) {
    if (!log_ || offline_) {
        return storage::Verified{};
    }
    Result<storage::Verified> verified = log_->verify(from, bytes_max);
    if (verified || verified.error().code != Code::storage_damaged) {
        return verified;
    }
    const bool goes_offline = is_replaceable();
    if (!std::exchange(is_damage_told_, true)) {
        counters_.log_damages.add();
        log_line(LogLevel::error, "log_damage_found",
                 {{"partition", name_},
                  {"why", verified.error().detail},
                  {"effect", goes_offline ? "it is fetched again from another replica"
                                          : "no other replica is in sync: who reads it finds "
                                            "bytes that do not match their checksum"}});
    }
    if (goes_offline) {
        log_->fail(verified.error());
        go_offline(verified.error(), out);
    }
    return verified;
}

} // namespace qtool::replica
