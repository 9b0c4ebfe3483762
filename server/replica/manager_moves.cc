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
        mover_.abandon(partition.key());
        return PartitionResult(MoveResult{});
    }
    if (const storage::LogDir& dir = setup_.log_dirs->at(op.to); dir.is_offline()) {
        return dir.failure();
    }
    if (const auto view = mover_.view(partition.key()); view && view->to == op.to) {
        return PartitionResult(MoveResult{});
    }
    storage::Log& log = *partition.log();
    if (!log.has_directory()) {
        const storage::DataDir& data = *setup_.log_dirs->at(op.to).data();
        log.relocate(data.path() + "/" + partition.name());
        set_dir(entry, op.to);
        return PartitionResult(MoveResult{});
    }
    log.abandon_compaction();
    if (Result<void> begun = mover_.begin(partition, op.to, setup_.ports.clock->mono()); !begun) {
        if (begun.error().code == Code::storage_io) {
            setup_.log_dirs->note_failure(op.to, begun.error());
        }
        return std::move(begun).error();
    }
    return PartitionResult(MoveResult{});
}

void Manager::set_dir(Entry& entry, size_t to) {
    setup_.log_dirs->move(*entry.dir, to);
    entry.dir = to;
    entry.partition->set_log_dir(static_cast<int32_t>(to));
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
    const std::optional<PartitionKey> key = mover_.current(now);
    if (!key) {
        return;
    }
    Entry* entry = find_entry(*key);
    QT_ASSERT(entry != nullptr); // remove_topic abandons
    Partition& partition = *entry->partition;
    if (partition.is_offline()) {
        mover_.abandon(*key);
        return;
    }
    if (mover_.is_ready(*key) && partition.is_flushing()) {
        mover_.wait(*key); // nothing new is flushed until then
        return;
    }
    Mover::Outcome outcome = mover_.step(partition, now);
    if (outcome.to_sync) {
        Flush flush;
        flush.partition = *key;
        flush.files_left = 1;
        flush.of = FlushOf::move;
        setup_.ports.disk->sync(std::move(outcome.to_sync), flushes_.emplace(std::move(flush)));
    }
    if (outcome.wants_flush) {
        partition.on_flush_due();
    }
    if (outcome.moved_to) {
        set_dir(*entry, *outcome.moved_to);
        write_recovery_points(); // else the next start would read all of it
    }
    if (outcome.failed) {
        const size_t to = mover_.view(*key)->to;
        if (outcome.is_source_trouble && outcome.failed->code == Code::storage_io) {
            setup_.log_dirs->note_failure(*entry->dir, *outcome.failed);
        } else if (outcome.failed->code == Code::storage_io) {
            setup_.log_dirs->note_failure(to, *outcome.failed);
        }
        mover_.abandon(*key);
        follow_failures(out);
    }
    partition.note_log_failure(out);
    note_failure(*entry);
    partition.note_synced(out); // closing it for the change synced what was written
    touch(partition);
}

} // namespace qtool::replica
