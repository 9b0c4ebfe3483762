// Manager: what waits for the device, off the loop: reads of what is not in memory, and flushes.
#include "lib/base/assert.h"
#include "server/replica/manager.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

namespace {

constexpr Duration kRecoveryPointsInterval = 5s;
constexpr Duration kFlushRetryInterval = 100ms; // when there was no descriptor for a flush

} // namespace

// ---- reads of what is not in memory -------------------------------------------------------------

void Manager::read_in(Outbox& out) {
    for (Outbox::ColdRead& read : std::exchange(out.cold_reads, {})) {
        if (std::get<ReadOp>(read.request.op).read_ins_left == kReadInsMax) {
            setup_.counters->cold_reads.add();
        }
        const Token token = cold_reads_.emplace(ColdRead{read.core, std::move(read.request)});
        setup_.ports.disk->read_in(std::move(read.absent), token);
    }
}

// All is asked anew: meanwhile the partition may be gone, led by another, or cut. Whether bytes
// that could not be read in matter shows when the log needs them.
void Manager::on_read_in(Token token, const Result<void>& result, Outbox& out) {
    ColdRead* waiting = cold_reads_.find(token);
    if (waiting == nullptr) {
        return;
    }
    ColdRead read = std::move(*waiting);
    cold_reads_.erase(token);
    auto& op = std::get<ReadOp>(read.request.op);
    op.read_ins_left = result ? op.read_ins_left - 1 : 0;
    handle(read.request, read.from, out);
}

// ---- flushes ------------------------------------------------------------------------------------

void Manager::begin_flushes(Outbox& out) {
    follow_failures(out);
    // Of log directories with new logs. All appends of the turn are done, so one sync serves all.
    std::map<size_t, Token> parents;
    for (const PartitionKey& key : std::exchange(dirty_, {})) {
        const auto at = partitions_.find(key);
        if (at == partitions_.end() || !at->second.partition->wants_flush() ||
            mover_.is_ready(key)) { // then it is flushed by the move
            continue;
        }
        std::optional<storage::FlushWork> work = at->second.partition->begin_flush(out);
        if (!work) {
            note_failure(at->second);
            if (at->second.partition->wants_flush()) { // out of descriptors
                close_spare_files();
                with_unflushed_.insert(key);
                flush_at_ = std::min(flush_at_, setup_.ports.clock->mono() + kFlushRetryInterval);
            }
            continue;
        }
        const size_t file_count = work->files.size();
        QT_ASSERT(file_count > 0);
        Flush flush;
        flush.partition = key;
        flush.epoch = at->second.epoch;
        flush.begun_at = setup_.ports.clock->mono();
        flush.files_left = file_count;
        std::vector<port::FileRef> files = work->files;
        const bool has_parent = work->has_parent;
        flush.work = *std::move(work);
        const Token token = flushes_.emplace(std::move(flush));
        if (has_parent) {
            const auto [parent, is_first] = parents.try_emplace(at->second.dir.value());
            if (is_first) {
                Flush shared;
                shared.of = FlushOf::parent;
                parent->second = flushes_.emplace(std::move(shared));
                setup_.ports.disk->sync(files.back(), parent->second);
            }
            flushes_.find(parent->second)->sharers.push_back(token);
            files.pop_back();
        }
        for (port::FileRef& file : files) {
            setup_.ports.disk->sync(std::move(file), token);
        }
    }
}

bool Manager::on_synced(Token token, Result<void> result, Outbox& out) {
    Flush* flush = flushes_.find(token);
    if (flush == nullptr) {
        return false;
    }
    if (flush->of == FlushOf::parent) {
        const std::vector<Token> sharers = std::move(flush->sharers);
        flushes_.erase(token);
        for (const Token sharer : sharers) {
            on_synced(sharer, result, out);
        }
        return true;
    }
    if (!result && flush->result) {
        flush->result = std::move(result);
    }
    if (--flush->files_left > 0) {
        return true;
    }
    if (flush->of == FlushOf::move) {
        mover_.on_synced(flush->move_number, flush->result, setup_.ports.clock->mono());
        flushes_.erase(token);
        return true;
    }
    if (flush->of == FlushOf::compaction) {
        compactor_.on_synced(find(flush->partition), flush->result, setup_.ports.clock->mono());
        flushes_.erase(token);
        return true;
    }
    const MonoTime now = setup_.ports.clock->mono();
    setup_.counters->flush_time.observe(now - flush->begun_at);
    const auto at = partitions_.find(flush->partition);
    if (at != partitions_.end() && at->second.epoch == flush->epoch) {
        Partition& partition = *at->second.partition;
        partition.on_flushed(flush->work, flush->result, now, out);
        note_failure(at->second);
        if (partition.wants_flush()) {
            dirty_.push_back(flush->partition); // what was written meanwhile rides the next one
        }
        mover_.wake(flush->partition, setup_.ports.clock->mono());
        if (recovery_points_at_ == kMonoNever) {
            recovery_points_at_ = now + kRecoveryPointsInterval;
        }
    }
    flushes_.erase(token);
    return true;
}

} // namespace qtool::replica
