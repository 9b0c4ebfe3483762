// Manager: partitions that go to another log directory (AlterReplicaLogDirs).
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/manager.h"

namespace qtool::replica {

Result<PartitionResult> Manager::start_move(Entry& entry, const MoveOp& op) {
    Partition& partition = *entry.partition;
    if (partition.is_offline()) {
        return partition.offline_reason();
    }
    QT_ASSERT(entry.dir && partition.log() != nullptr);
    if (op.to >= setup_.log_dirs->size()) {
        return Error(Code::invalid_request, "no log directory has this number");
    }
    if (op.to == *entry.dir) { // it is there; one that is on its way away stays
        mover_.drop(partition);
        return PartitionResult(MoveResult{});
    }
    const storage::LogDir& dir = setup_.log_dirs->at(op.to);
    if (dir.is_offline()) {
        return dir.failure();
    }
    storage::Log& log = *partition.log();
    // It may have been there once.
    QT_TRY(journals_[op.to].journal->leave(partition.name(), partition.key()));
    if (log.has_directory()) {
        QT_TRY(mover_.add(partition, {*entry.dir, op.to}, setup_.ports.clock->mono()));
        return PartitionResult(MoveResult{});
    }
    if (Result<void> removed = storage::remove_unused_home(*setup_.ports.disk, log); !removed) {
        if (removed.error().code == Code::storage_io) {
            setup_.log_dirs->note_failure(*entry.dir, removed.error());
        }
        return std::move(removed).error();
    }
    log.relocate(dir.path() + "/" + partition.name());
    set_dir(entry, op.to);
    return PartitionResult(MoveResult{});
}

// The move that a stop interrupted begins anew.
void Manager::resume_move(Entry& entry) {
    const auto to = setup_.log_dirs->interrupted_move(entry.partition->key());
    if (!to || entry.partition->is_offline()) {
        return;
    }
    storage::Log& log = *entry.partition->log();
    Result<PartitionResult> moving = MoveResult{};
    if (*to == *entry.dir || !log.has_directory()) { // nothing that a stop leaves
        const storage::LogDir& dir = setup_.log_dirs->at(*to);
        if (Result<void> removed = storage::remove_move_wish(
                *setup_.ports.disk, log, {dir.path(), dir.data()->directory_id()});
            !removed) {
            moving = std::move(removed).error();
        }
    } else {
        moving = start_move(entry, MoveOp{*to});
    }
    if (!moving) {
        log_line(LogLevel::warn, "partition_move_failed",
                 {{"partition", entry.partition->name()}, {"error", to_string(moving.error())}});
    }
}

void Manager::set_dir(Entry& entry, size_t to) {
    setup_.log_dirs->move(*entry.dir, to);
    entry.dir = to;
    entry.partition->set_log_dir(static_cast<int32_t>(to));
    entry.partition->log()->set_journal(journals_[to].journal.get());
}

void Manager::describe_move(const PartitionKey& key, DescribeResult& result) const {
    if (const auto view = mover_.view(key)) {
        result.future_log_dir = static_cast<int32_t>(view->to);
        result.future_size_bytes = view->copied_bytes;
        result.future_offset_lag = std::max<int64_t>(0, result.log_end_offset - view->copied_end);
    }
}

// One step of one move.
void Manager::step_moves(Outbox& out) {
    const MonoTime now = setup_.ports.clock->mono();
    const std::optional<PartitionKey> key = mover_.next(now);
    if (!key) {
        return;
    }
    Entry* entry = find_entry(*key);
    QT_ASSERT(entry != nullptr); // remove_topic drops
    Partition& partition = *entry->partition;
    if (partition.is_offline()) {
        mover_.drop(partition);
        return;
    }
    if (mover_.is_ready(*key) && partition.is_flushing()) {
        mover_.wait(); // nothing new is flushed until then
        return;
    }
    if (!mover_.is_copying(*key)) { // it begins, and compaction is not begun meanwhile
        partition.log()->abandon_compaction();
    }
    Mover::Outcome outcome = mover_.step(partition, now);
    if (outcome.to_sync) {
        Flush flush;
        flush.partition = *key;
        flush.files_left = 1;
        flush.of = FlushOf::move;
        flush.move_number = outcome.number;
        setup_.ports.disk->sync(std::move(outcome.to_sync), flushes_.emplace(std::move(flush)));
    }
    if (outcome.wants_flush) {
        partition.on_flush_due();
    }
    if (outcome.moved_to) {
        set_dir(*entry, *outcome.moved_to);
        write_recovery_points(); // else the next start would read all of it
    }
    follow_failures(out);
    partition.note_log_failure(out);
    note_failure(*entry);
    partition.note_synced(out); // closing it for the change synced what was written
    touch(partition);
}

} // namespace qtool::replica
