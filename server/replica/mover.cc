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
// A partition that is written fast has more to bring at the end each time; it may have, up to this
// many times kMoveTailBytesMax, so that the move ends at all.
constexpr uint32_t kTailGrowthMax = 16;

} // namespace

void Mover::set_options(const MoverOptions& options, MonoTime now) {
    options_ = options;
    rate_due_ = now; // a long pause that the old rate asked for ends
}

// The change itself is not held up by the rate: flushes wait for it.
MonoTime Mover::next_due() const {
    if (!current_ && !first_) {
        return kMonoNever;
    }
    const MonoTime due = current_ ? current_->due : waiting_.at(*first_).due;
    if (due == kMonoNever || (current_ && current_->is_ready)) {
        return due;
    }
    return options_.bytes_per_second_max == 0 ? kMonoNever : std::max(due, rate_due_);
}

std::optional<PartitionKey> Mover::next(MonoTime now) const {
    if (next_due() > now) {
        return std::nullopt;
    }
    return current_ ? current_->key : first_;
}

// ---- what is asked for --------------------------------------------------------------------------

storage::MoveEnd Mover::end_of(size_t dir) const {
    const storage::LogDir& at = dirs_->at(dir);
    return {at.path(), at.data()->directory_id()};
}

Result<void> Mover::add(Partition& partition, Way way, MonoTime now) {
    const PartitionKey& key = partition.key();
    if (const auto known = view(key); known && known->to == way.to) {
        return {};
    }
    drop(partition);
    if (const storage::LogDir& to = dirs_->at(way.to); to.is_offline()) {
        return to.failure();
    }
    QT_TRY(dirs_->settle_mark(*disk_, way.from, partition.name(), key));
    if (Result<void> wished = storage::write_move_wish(*disk_, *partition.log(), end_of(way.to));
        !wished) {
        note_failure(way.to, wished.error());
        return wished;
    }
    put_back(partition, way, now);
    return {};
}

void Mover::drop(Partition& partition) {
    const std::optional<View> known = view(partition.key());
    if (!known) {
        return;
    }
    const Way way = current_ && current_->key == partition.key()
                        ? std::exchange(current_, std::nullopt)->way
                        : waiting_.at(partition.key()).way;
    waiting_.erase(partition.key());
    note_waiting();
    remove_copy(partition, way);
}

void Mover::clear() {
    waiting_.clear();
    first_.reset();
    current_.reset();
}

void Mover::put_back(Partition& partition, Way way, MonoTime due) {
    const Waiting& last = waiting_[partition.key()] = Waiting{way, next_number_++, due};
    if (!first_ || last.due < waiting_.at(*first_).due) {
        first_ = partition.key();
    }
}

void Mover::note_waiting() {
    first_.reset();
    for (const auto& [key, waiting] : waiting_) {
        if (!first_ || std::pair(waiting.due, waiting.order) <
                           std::pair(waiting_.at(*first_).due, waiting_.at(*first_).order)) {
            first_ = key;
        }
    }
}

std::optional<Mover::View> Mover::view(const PartitionKey& key) const {
    if (is_copying(key)) {
        return View{current_->way.to, current_->files->copied_bytes(),
                    current_->files->copied_end()};
    }
    const auto at = waiting_.find(key);
    return at == waiting_.end() ? std::nullopt
                                : std::optional(View{at->second.way.to, 0, Offset{0}});
}

bool Mover::is_copying(const PartitionKey& key) const {
    return current_ && current_->key == key;
}

bool Mover::is_ready(const PartitionKey& key) const {
    return is_copying(key) && current_->is_ready;
}

// ---- work ---------------------------------------------------------------------------------------

void Mover::wait() {
    current_->due = kMonoNever;
}

void Mover::wake(const PartitionKey& key, MonoTime now) {
    if (is_ready(key)) {
        current_->due = now;
    }
}

Mover::Outcome Mover::step(Partition& partition, MonoTime now) {
    Outcome outcome;
    if (!current_) {
        begin(partition, now);
        return outcome;
    }
    QT_ASSERT(is_copying(partition.key()) && !current_->files->is_syncing());
    storage::LogDir& dir = dirs_->at(current_->way.to);
    if (dir.is_offline()) {
        end_current(partition, dir.failure(), false, now);
        return outcome;
    }
    dir.look(*disk_, now);
    if (dir.is_low()) {
        end_current(partition, Error(Code::storage_full, dir.path() + " has no room"), false, now);
        return outcome;
    }
    if (current_->is_ready) {
        finish(partition, outcome, now);
        return outcome;
    }
    Result<storage::LogMoveStep> step = current_->files->step(*partition.log(), kStepBytes);
    if (!step) {
        end_current(partition, step.error(), current_->files->is_source_trouble(), now);
        return outcome;
    }
    dir.note_written(step->bytes);
    // In microseconds: 256 KiB at a byte a second is 2^38 of them.
    rate_due_ =
        now + std::chrono::microseconds(step->bytes * 1'000'000 /
                                        std::max<uint64_t>(1, options_.bytes_per_second_max));
    current_->due = step->to_sync ? kMonoNever : step->wants_flush ? now + kFlushInterval : now;
    current_->is_ready = step->is_caught_up;
    outcome.wants_flush = step->wants_flush;
    outcome.to_sync = std::move(step->to_sync);
    outcome.number = current_->number;
    return outcome;
}

// The first of those that wait becomes the current one, or rests.
void Mover::begin(Partition& partition, MonoTime now) {
    const Way way = waiting_.at(partition.key()).way;
    waiting_.erase(partition.key());
    note_waiting();
    storage::LogDir& dir = dirs_->at(way.to);
    Current begun;
    begun.key = partition.key();
    begun.way = way;
    begun.number = next_number_++;
    begun.due = now;
    const Result<void> result = [&]() -> Result<void> {
        if (dir.is_offline()) {
            return dir.failure();
        }
        dir.look(*disk_, now);
        const port::DiskSpace space = dir.space();
        if (dir.is_low() ||
            (space.total_bytes > 0 && // else it is not known yet
             space.free_bytes < dir.reserve_bytes() + partition.log()->size_bytes())) {
            return Error(Code::storage_full, dir.path() + " has no room for it");
        }
        if (Result<void> settled =
                dirs_->settle_mark(*disk_, way.from, partition.name(), partition.key());
            !settled) { // of a third directory, maybe: whoever uses that one finds out
            return Error(settled.error().code == Code::storage_full ? Code::storage_full
                                                                    : Code::storage_offline,
                         to_string(settled.error()));
        }
        QT_TRY_ASSIGN(begun.files, storage::LogMove::begin(*disk_, *partition.log(),
                                                           end_of(way.from), end_of(way.to)));
        return {};
    }();
    current_ = std::move(begun);
    if (!result) {
        end_current(partition, result.error(), false, now);
        return;
    }
    log_line(LogLevel::info, "partition_move_begun",
             {{"partition", partition.name()}, {"to", dir.path()}});
}

void Mover::finish(Partition& partition, Outcome& outcome, MonoTime now) {
    QT_ASSERT(!partition.is_flushing());
    storage::LogMove& files = *current_->files;
    current_->is_ready = false;
    const uint64_t tail_max = storage::kMoveTailBytesMax *
                              std::min(kTailGrowthMax, 1u << std::min(current_->ready_count, 4u));
    current_->ready_count++;
    const Result<bool> finished = files.finish(*partition.log(), tail_max);
    if (!finished) {
        end_current(partition, finished.error(), files.is_source_trouble(), now);
        return;
    }
    if (!*finished) { // it was written to a lot while it waited
        current_->due = now;
        return;
    }
    if (files.leftover()) {
        note_failure(files.is_source_trouble() ? current_->way.from : current_->way.to,
                     *files.leftover());
    }
    log_line(LogLevel::info, "partition_moved",
             {{"partition", partition.name()}, {"to", dirs_->at(current_->way.to).path()}});
    outcome.moved_to = current_->way.to;
    current_.reset();
}

void Mover::on_synced(uint64_t number, const Result<void>& result, MonoTime now) {
    if (current_ && current_->number == number) {
        current_->files->synced(result);
        current_->due = now;
    }
}

// ---- trouble ------------------------------------------------------------------------------------

void Mover::note_failure(size_t dir, const Error& error) {
    if (error.code == Code::storage_io) {
        dirs_->note_failure(dir, error);
    }
}

void Mover::remove_copy(Partition& partition, Way way) {
    if (dirs_->at(way.to).is_offline()) {
        return;
    }
    if (Result<void> removed = storage::remove_move_wish(*disk_, *partition.log(), end_of(way.to));
        !removed) {
        log_line(LogLevel::warn, "unfinished_move_kept",
                 {{"partition", partition.name()}, {"error", to_string(removed.error())}});
        note_failure(way.to, removed.error());
    }
}

void Mover::end_current(Partition& partition, const Error& error, bool is_source_trouble,
                        MonoTime now) {
    log_line(LogLevel::warn, "partition_move_failed",
             {{"partition", partition.name()},
              {"to", dirs_->at(current_->way.to).path()},
              {"error", to_string(error)}});
    const Way way = current_->way;
    current_.reset();
    note_failure(is_source_trouble ? way.from : way.to, error);
    remove_copy(partition, way);
    if (partition.log()->failure()) {
        return;
    }
    if (error.code == Code::storage_full || error.code == Code::cancelled) {
        put_back(partition, way,
                 now + (error.code == Code::cancelled ? Duration{} : kRestAfterFailure));
    }
}

} // namespace qtool::replica
