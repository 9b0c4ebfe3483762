// Manager: what is done now and then and no request waits for.
#include "lib/base/log.h"
#include "server/replica/manager.h"

#include <algorithm>

namespace qtool::replica {

namespace {

constexpr Duration kMaintainMax = 60s;   // idle files are released at least this often
constexpr Duration kMaintainPause = 1ms; // after a partition that has something to delete

} // namespace

Duration Manager::maintain_interval() const {
    return std::min(setup_.options.retention_check_interval, kMaintainMax);
}

// A partition that begins to delete ends the turn, so that the others' clients are served between
// any two of them, and their flushes come one by one: after a night a thousand may have segments to
// delete.
void Manager::maintain(MonoTime now, Outbox& out) {
    const WallTime wall = setup_.ports.clock->wall();
    auto at = maintained_to_ ? partitions_.upper_bound(*maintained_to_) : partitions_.begin();
    maintained_to_.reset();
    for (; at != partitions_.end(); ++at) {
        const bool deletes = at->second.partition->maintain(wall, now, out);
        note_failure(at->second);
        touch(*at->second.partition);
        if (deletes) {
            maintained_to_ = at->first;
            maintain_at_ = now + kMaintainPause;
            return;
        }
    }
    maintain_at_ = now + maintain_interval();
}

// One step, or one look for work.
void Manager::compact(Outbox& out) {
    const WallTime wall = setup_.ports.clock->wall();
    const MonoTime now = setup_.ports.clock->mono();
    if (!compactor_.current()) {
        std::vector<Partition*> candidates;
        for (const TopicId& topic : compacted_topics_) {
            for (auto at = partitions_.lower_bound({topic, PartitionIndex(0)});
                 at != partitions_.end() && at->first.topic_id == topic; ++at) {
                if (!mover_.is_copying(at->first)) { // a move needs files that stay
                    candidates.push_back(at->second.partition.get());
                }
            }
        }
        compactor_.choose(candidates, wall, now);
        return;
    }
    Partition* partition = find(*compactor_.current());
    port::FileRef file = compactor_.step(partition, wall, now);
    if (file) {
        Flush flush;
        flush.partition = partition->key();
        flush.files_left = 1;
        flush.of = FlushOf::compaction;
        setup_.ports.disk->sync(std::move(file), flushes_.emplace(std::move(flush)));
    } else if (partition != nullptr) {
        partition->note_log_failure(out);
        note_moved(*partition);
    }
}

void Manager::write_recovery_points() {
    std::vector<std::vector<storage::PartitionState>> states(setup_.log_dirs->size());
    for (auto& [key, entry] : partitions_) {
        if (storage::Log* log = entry.partition->log()) {
            states[entry.dir.value()].push_back(log->state_for_checkpoint());
        }
    }
    for (size_t i = 0; i < states.size(); i++) {
        const storage::LogDir& dir = setup_.log_dirs->at(i);
        if (dir.is_offline()) {
            continue;
        }
        // Only hints are lost when this fails: recovery then reads more of the log.
        if (Result<void> written =
                dir.data()->write_recovery_points(*setup_.ports.disk, setup_.ports.id, states[i]);
            !written) {
            log_line(LogLevel::warn, "recovery_points_not_written",
                     {{"directory", dir.path()}, {"error", to_string(written.error())}});
        }
    }
}

} // namespace qtool::replica
