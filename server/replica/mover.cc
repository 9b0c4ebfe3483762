#include "server/replica/mover.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/partition.h"

#include <algorithm>

namespace qtool::replica {

namespace {

// What one step may read and write: about a millisecond, which a request may have to wait.
constexpr uint64_t kStepBytes = 256 * KiB;

// There was no room, or no descriptor.
constexpr Duration kRestAfterFailure = 10s;
// What the log has to flush first is under way.
constexpr Duration kFlushInterval = 50ms;

} // namespace

void Mover::set_options(const MoverOptions& options, MonoTime now) {
    options_ = options;
    rate_due_ = now; // a long pause that the old rate asked for ends
}

// The change itself is not held up by the rate: flushes wait for it.
MonoTime Mover::due_of(const Move& move) const {
    if (move.is_ready || move.due == kMonoNever) {
        return move.due;
    }
    return options_.bytes_per_second_max == 0 ? kMonoNever : std::max(move.due, rate_due_);
}

MonoTime Mover::next_due() const {
    MonoTime due = kMonoNever;
    for (const auto& [key, move] : moves_) {
        due = std::min(due, due_of(move));
    }
    return due;
}

void Mover::wait(const PartitionKey& key) {
    moves_.at(key).due = kMonoNever;
}

void Mover::wake(const PartitionKey& key, MonoTime now) {
    if (is_ready(key)) {
        moves_.at(key).due = now;
    }
}

std::optional<PartitionKey> Mover::current(MonoTime now) const {
    for (const auto& [key, move] : moves_) {
        if (due_of(move) <= now) {
            return key;
        }
    }
    return std::nullopt;
}

Result<void> Mover::begin(Partition& partition, size_t to, MonoTime now) {
    abandon(partition.key());
    const storage::LogDir& dir = dirs_->at(to);
    Move move;
    move.to = to;
    move.due = now;
    QT_TRY_ASSIGN(move.files, storage::LogMove::begin(*disk_, *partition.log(),
                                                      {dir.path(), dir.data()->directory_id()}));
    moves_.emplace(partition.key(), std::move(move));
    log_line(LogLevel::info, "partition_move_begun",
             {{"partition", partition.name()}, {"to", dir.path()}});
    return {};
}

bool Mover::is_ready(const PartitionKey& key) const {
    const auto at = moves_.find(key);
    return at != moves_.end() && at->second.is_ready;
}

std::optional<Mover::View> Mover::view(const PartitionKey& key) const {
    const auto at = moves_.find(key);
    if (at == moves_.end()) {
        return std::nullopt;
    }
    const Move& move = at->second;
    return View{move.to, move.files->copied_bytes(), move.files->copied_end()};
}

void Mover::abandon(const PartitionKey& key) {
    const auto at = moves_.find(key);
    if (at == moves_.end()) {
        return;
    }
    if (dirs_->at(at->second.to).is_offline()) {
        moves_.erase(at);
        return;
    }
    if (Result<void> removed = at->second.files->abandon(); !removed) {
        log_line(LogLevel::warn, "unfinished_move_kept", {{"error", to_string(removed.error())}});
    }
    moves_.erase(at);
}

Mover::Outcome Mover::step(Partition& partition, MonoTime now) {
    const auto at = moves_.find(partition.key());
    QT_ASSERT(at != moves_.end() && !at->second.files->is_syncing());
    Move& move = at->second;
    Outcome outcome;
    storage::LogDir& dir = dirs_->at(move.to);
    if (dir.is_offline()) {
        note_error(partition, move, dir.failure(), outcome, now);
        return outcome;
    }
    dir.look(*disk_, now);
    if (dir.is_low()) {
        move.is_ready = false; // flushes need not wait
        move.due = now + kRestAfterFailure;
        return outcome;
    }
    storage::Log& log = *partition.log();
    if (move.is_ready) {
        QT_ASSERT(!partition.is_flushing());
        move.is_ready = false;
        if (Result<void> finished = move.files->finish(log); !finished) {
            note_error(partition, move, finished.error(), outcome, now);
            return outcome;
        }
        log_line(LogLevel::info, "partition_moved",
                 {{"partition", partition.name()}, {"to", dir.path()}});
        outcome.moved_to = move.to;
        moves_.erase(at);
        return outcome;
    }
    Result<storage::LogMoveStep> step = move.files->step(log, kStepBytes);
    if (!step) {
        note_error(partition, move, step.error(), outcome, now);
        return outcome;
    }
    dir.note_written(step->bytes);
    // In microseconds: 256 KiB at a byte a second is 2^38 of them.
    rate_due_ =
        now + std::chrono::microseconds(step->bytes * 1'000'000 /
                                        std::max<uint64_t>(1, options_.bytes_per_second_max));
    move.due = step->wants_flush ? now + kFlushInterval : now;
    move.is_ready = step->is_caught_up;
    outcome.wants_flush = step->wants_flush;
    outcome.to_sync = std::move(step->to_sync);
    if (outcome.to_sync) {
        move.due = kMonoNever;
    }
    return outcome;
}

void Mover::note_error(Partition& partition, Move& move, const Error& error, Outcome& outcome,
                       MonoTime now) {
    log_line(LogLevel::warn, "partition_move_failed",
             {{"partition", partition.name()}, {"error", to_string(error)}});
    if (error.code == Code::storage_full) {
        move.due = now + kRestAfterFailure;
        return;
    }
    outcome.failed = error;
    outcome.is_source_trouble = move.files->is_source_trouble();
}

void Mover::on_synced(const PartitionKey& key, const Result<void>& result, MonoTime now) {
    const auto at = moves_.find(key);
    if (at == moves_.end() || !at->second.files->is_syncing()) {
        return; // of a move that was abandoned
    }
    at->second.files->synced(result);
    at->second.due = now;
}

} // namespace qtool::replica
