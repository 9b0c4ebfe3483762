// Manager: what it does for the replication of its partitions.
#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "server/replica/manager.h"

#include <algorithm>
#include <utility>

namespace qtool::replica {

bool Manager::is_session_over() const {
    return setup_.session_valid_until && setup_.ports.clock->mono() >= setup_.session_valid_until();
}

// ---- roles --------------------------------------------------------------------------------------

void Manager::tell_brokers(const metadata::Image& image, Partition& partition) {
    const LeaderState* leading = partition.leading();
    if (leading == nullptr) {
        return;
    }
    for (const FollowerProgress& follower : leading->followers()) {
        const auto broker = image.brokers.find(follower.id);
        const bool is_live = broker != image.brokers.end();
        partition.set_broker(follower.id, is_live, Revision{0});
    }
}

// Partitions have taken their roles from the image already.
void Manager::follow_roles(const metadata::Image& image, const metadata::Delta& delta,
                           bool is_first) {
    bool leads_others = false;
    for (auto& [key, entry] : partitions_) {
        if (const LeaderState* leading = entry.partition->leading();
            leading != nullptr && leading->replica_count() > 1) {
            leads_others = true;
            tell_brokers(image, *entry.partition);
        }
    }
    static_cast<void>(delta);
    static_cast<void>(is_first);
    if (leads_others && lag_check_at_ == kMonoNever) {
        lag_check_at_ = setup_.ports.clock->mono() + setup_.options.replica_lag_max / 2;
    }
}

// ---- in-sync replicas ---------------------------------------------------------------------------

std::vector<IsrProposal> Manager::take_isr_proposals() {
    std::vector<IsrProposal> proposals;
    if (is_session_over()) {
        isr_to_look_at_.clear(); // nobody would listen
        return proposals;
    }
    while (!isr_to_look_at_.empty() && proposals.size() < kIsrProposalsMax) {
        const PartitionKey key = isr_to_look_at_.back();
        isr_to_look_at_.pop_back();
        Partition* partition = find(key);
        if (partition == nullptr) {
            continue;
        }
        if (auto proposal = partition->propose_isr(setup_.ports.clock->mono())) {
            if (proposal->is_shrink) {
                setup_.counters->isr_shrinks.add();
            }
            if (proposal->is_expansion) {
                setup_.counters->isr_expands.add();
            }
            log_line(LogLevel::info, proposal->is_shrink ? "isr_shrinks" : "isr_expands",
                     {{"partition", partition->name()}, {"isr", describe(*proposal)}});
            proposals.push_back(*std::move(proposal));
        }
    }
    return proposals;
}

void Manager::on_isr_proposal_ended(const PartitionKey& key, LeaderEpoch epoch,
                                    const Result<void>& result, Outbox& out) {
    if (Partition* partition = find(key)) {
        partition->on_isr_proposal_ended(epoch, result, setup_.ports.clock->mono(), out);
        note_moved(*partition);
    }
}

// Each half of the time a follower has, so that none is a member for much longer (as Kafka does).
void Manager::check_lag(Outbox& out) {
    const MonoTime now = setup_.ports.clock->mono();
    lag_check_at_ = kMonoNever;
    for (auto& [key, entry] : partitions_) {
        const LeaderState* leading = entry.partition->leading();
        if (leading == nullptr || leading->replica_count() < 2) {
            continue;
        }
        entry.partition->on_lag_check(now, out);
        note_moved(*entry.partition);
        isr_to_look_at_.push_back(key);
        lag_check_at_ = now + setup_.options.replica_lag_max / 2;
    }
}

} // namespace qtool::replica
