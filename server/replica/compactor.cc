#include "server/replica/compactor.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/partition.h"

#include <algorithm>

namespace qtool::replica {

namespace {

// What one step may read and write: about a millisecond, which a request may have to wait.
constexpr uint64_t kStepBytes = 256 * KiB;

// After a failure (a full disk) a log is left alone for so long.
constexpr Duration kRestAfterFailure = 60s;

// Sizes of partitions are below 2^63 / 2^20.
uint64_t dirty_permille(const storage::CompactionNeed& need) {
    return need.total_bytes == 0 ? 0 : need.dirty_bytes * 1000 / need.total_bytes;
}

// Whether a's dirty share is larger.
bool is_dirtier(const storage::CompactionNeed& a, const storage::CompactionNeed& b) {
    if (a.is_overdue != b.is_overdue) {
        return a.is_overdue;
    }
    const uint64_t share_a = dirty_permille(a);
    const uint64_t share_b = dirty_permille(b);
    return share_a != share_b ? share_a > share_b : a.dirty_bytes > b.dirty_bytes;
}

} // namespace

void Compactor::set_options(const CompactorOptions& options, MonoTime now) {
    options_ = options;
    // A long pause that the old options asked for ends; what is due once more is cheap.
    rate_due_ = std::min(rate_due_, now);
    if (due_ != kMonoNever) {
        due_ = std::min(due_, now + (current_ ? Duration{} : options_.backoff));
    }
}

void Compactor::start(MonoTime now) {
    if (options_.is_enabled && due_ == kMonoNever && !current_) {
        due_ = now + options_.backoff;
    }
}

void Compactor::choose(const std::vector<Partition*>& partitions, WallTime wall, MonoTime now) {
    QT_ASSERT(!current_);
    due_ = now + std::max<Duration>(options_.backoff, 1ms);
    std::erase_if(resting_, [&](const auto& entry) { return entry.second <= now; });
    Partition* best = nullptr;
    storage::CompactionNeed best_need;
    uint64_t uncleanable = 0;
    for (Partition* partition : partitions) {
        storage::Log* log = partition->log();
        if (log == nullptr || partition->is_offline()) {
            continue;
        }
        uncleanable += log->uncleanable() ? 1 : 0;
        if (resting_.contains(partition->key())) {
            continue;
        }
        const auto need = log->compaction_need(wall, partition->compaction_limit());
        if (!need) {
            note_failure(*partition, need.error(), now);
        } else if (*need && (best == nullptr || is_dirtier(**need, best_need))) {
            best = partition;
            best_need = **need;
        }
    }
    counters_.partitions_uncleanable.set(uncleanable);
    counters_.dirty_permille.set(best == nullptr ? 0 : dirty_permille(best_need));
    if (best == nullptr) {
        return;
    }
    storage::CompactionMeans means;
    means.map_bytes_max = options_.map_bytes_max;
    means.read_bytes_max = options_.read_bytes_max;
    means.seed = {random_->next(), random_->next()};
    const Result<bool> begun = best->log()->begin_compaction(wall, best->compaction_limit(), means);
    if (!begun) {
        note_failure(*best, begun.error(), now);
    } else if (*begun) {
        current_ = best->key();
        begun_at_ = now;
        due_ = now;
    }
}

port::FileRef Compactor::step(Partition* partition, WallTime wall, MonoTime now) {
    QT_ASSERT(current_);
    storage::Log* log = partition == nullptr ? nullptr : partition->log();
    if (log == nullptr || !log->is_compacting()) { // deleted, or closed
        end_run(now);
        return nullptr;
    }
    Result<storage::CompactionStep> step = log->step_compaction(wall, kStepBytes);
    if (!step) {
        note_failure(*partition, step.error(), now);
        end_run(now);
        return nullptr;
    }
    counters_.compaction_bytes.add(step->bytes);
    // In microseconds: 256 KiB at a byte a second is 2^38 of them.
    rate_due_ =
        now + std::chrono::microseconds(step->bytes * 1'000'000 /
                                        std::max<uint64_t>(1, options_.bytes_per_second_max));
    if (step->is_done) {
        counters_.compactions.add();
        counters_.compaction_records_dropped.add(step->records_dropped);
        counters_.compaction_bytes_replaced.add(step->bytes_before);
        counters_.compaction_bytes_kept.add(step->bytes_after);
        counters_.compaction_time.observe(now - begun_at_);
        log_line(LogLevel::info, "log_compacted",
                 {{"partition", partition->name()},
                  {"bytes_before", step->bytes_before},
                  {"bytes_after", step->bytes_after},
                  {"records_dropped", step->records_dropped}});
        end_run(now);
        return nullptr;
    }
    due_ = step->to_sync ? kMonoNever : rate_due_;
    return std::move(step->to_sync);
}

void Compactor::on_synced(Partition* partition, const Result<void>& result, MonoTime now) {
    if (!current_) {
        return;
    }
    due_ = std::max(now, rate_due_);
    if (partition != nullptr && partition->log() != nullptr) {
        partition->log()->compaction_synced(result);
    }
}

void Compactor::end_run(MonoTime now) {
    current_.reset();
    due_ = std::max(now, rate_due_); // the next one may be waiting
}

void Compactor::note_failure(Partition& partition, const Error& error, MonoTime now) {
    counters_.compaction_errors.add();
    resting_[partition.key()] = now + kRestAfterFailure;
    const bool is_given_up = partition.log()->uncleanable().has_value();
    log_line(is_given_up ? LogLevel::error : LogLevel::warn,
             is_given_up ? "partition_uncleanable" : "compaction_failed",
             {{"partition", partition.name()}, {"error", to_string(error)}});
}

} // namespace qtool::replica
