// Manager: damage to logs: found by reading again, and repaired from other replicas.
#include "server/replica/manager.h"

#include <algorithm>

namespace qtool::replica {

// A replica with a damaged log begins anew, once nobody counts on what it had. Called after
// whatever that may depend on.
void Manager::repair(Entry& entry) {
    Partition& partition = *entry.partition;
    if (!partition.may_begin_anew()) {
        return;
    }
    mover_.drop(partition);
    if (partition.begin_anew()) {
        entry.is_failure_noted = false;
        note_moved(partition);
    }
}

// What is to be done about damage is tried again: the metadata store may have been away, or the
// other replicas.
void Manager::look_at_damage() {
    look_at_damage_at_ = kMonoNever;
    for (auto& [key, entry] : partitions_) {
        if (!entry.partition->has_damaged_log()) {
            continue;
        }
        repair(entry);
        follow_leader(entry);
        isr_to_look_at_.push_back(key);
        look_at_damage_at_ = setup_.ports.clock->mono() + kDamageInterval;
    }
}

// A little of what is stored is read again, so that damage is found while another replica has the
// bytes.
void Manager::scrub(Outbox& out) {
    MonoTime due = setup_.ports.clock->mono() + Scrubber::kInterval;
    uint64_t left = Scrubber::kStepBytes;
    for (size_t i = 0; i < Scrubber::kStepPartitionsMax && left > 0; i++) {
        auto at = partitions_.lower_bound(scrubber_.key());
        if (at == partitions_.end()) {
            scrubber_.start_over();
            due = std::max(due, setup_.ports.clock->mono() + maintain_interval());
            break;
        }
        Entry& entry = at->second;
        const Offset from = at->first == scrubber_.key() ? scrubber_.offset() : Offset{0};
        storage::Log* const log = entry.partition->log();
        const bool was_cold = log != nullptr && log->is_cold();
        const Result<storage::Verified> verified = entry.partition->verify(from, left, out);
        note_failure(entry);
        if (was_cold && !entry.partition->is_flushing()) {
            log->release_idle();
            entry.partition->note_log_failure(out);
        }
        if (verified) {
            left -= std::min(left, verified->bytes);
            setup_.counters->scrubbed_bytes.add(verified->bytes);
        }
        if (verified && verified->next != kNoOffset) {
            scrubber_.go_on(at->first, verified->next);
        } else {
            scrubber_.pass(at->first);
        }
    }
    scrubber_.rest_until(due);
}

void Manager::on_copy_loss_ended(const PartitionKey& key, const Result<void>& result) {
    if (Entry* entry = find_entry(key)) {
        entry->partition->on_copy_loss_ended(result, setup_.ports.clock->mono());
        repair(*entry);
        follow_leader(*entry);
    }
}

} // namespace qtool::replica
