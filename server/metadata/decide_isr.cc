#include "server/metadata/decide_isr.h"

#include "lib/base/assert.h"
#include "server/metadata/partition_change.h"
#include "server/metadata/record_codec.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace qtool::metadata {

ChangeIsr::ChangeIsr(BrokerId self, std::vector<IsrProposal> proposals)
    : self_(self),
      proposals_(std::move(proposals)) {
    QT_ASSERT(proposals_.size() <= kIsrProposalsMax);
}

port::StoreTransaction ChangeIsr::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    results_.assign(proposals_.size(), IsrOutcome::unfinished);
    std::set<BrokerId> added; // to one ISR at least: must still be live when it is written
    const auto write = [&](const PartitionKey& partition, const PartitionImage& now,
                           const PartitionImage& next) {
        const std::string key = partition_key(partition.topic_id, partition.index.value());
        transaction.guards.push_back({key, now.mod_revision});
        transaction.writes.push_back({key, encode_partition(next)});
        return IsrOutcome::committed;
    };
    // Only where another live broker has all that is committed: the last copy, damaged or not, is
    // never given up.
    const auto lose_copy = [&](const IsrProposal& proposal, const PartitionImage& now) {
        if (now.partition_epoch != proposal.partition_epoch || !contains(now.replicas, self_)) {
            return IsrOutcome::fenced;
        }
        const auto may_lead = [&](BrokerId broker) {
            return broker != self_ && image.is_live(broker);
        };
        PartitionChange change(*image.topic(proposal.partition.topic_id), now);
        if (!change.lose_copy(self_)) {
            return IsrOutcome::ineligible;
        }
        change.elect_clean(may_lead);
        if (change.now().leader == kNoBroker || change.now().leader == self_) {
            return IsrOutcome::ineligible;
        }
        change.renew_leader();
        return write(proposal.partition, now, *change.result());
    };
    const auto change_isr = [&](const IsrProposal& proposal, const PartitionImage& now) {
        std::vector<BrokerId> wanted;
        for (const IsrMember& member : proposal.isr) {
            wanted.push_back(member.broker);
            if (!contains(now.replicas, member.broker)) {
                return IsrOutcome::ineligible;
            }
            const BrokerImage* broker = image.find_broker(member.broker);
            if (!contains(now.isr, member.broker) &&
                (broker == nullptr || !broker->is_live() || broker->epoch != member.epoch)) {
                return IsrOutcome::ineligible;
            }
        }
        const bool resigns = !contains(wanted, self_);
        const auto may_lead = [&](BrokerId broker) {
            return broker != self_ && image.is_live(broker);
        };
        if (resigns && std::none_of(now.isr.begin(), now.isr.end(), may_lead)) {
            return IsrOutcome::ineligible; // nobody else has what is committed
        }
        // In assignment order, so that an ISR has one spelling.
        std::vector<BrokerId> isr;
        std::copy_if(now.replicas.begin(), now.replicas.end(), std::back_inserter(isr),
                     [&](BrokerId broker) { return contains(wanted, broker); });
        PartitionChange change(*image.topic(proposal.partition.topic_id), now);
        if (resigns) {
            change.leave_isr([&](BrokerId broker) { return broker != self_; });
            change.elect_clean(may_lead);
        } else {
            change.set_isr(std::move(isr));
        }
        const std::optional<PartitionImage> next = change.result();
        if (!next) {
            return IsrOutcome::unchanged;
        }
        write(proposal.partition, now, *next);
        std::copy_if(wanted.begin(), wanted.end(), std::inserter(added, added.end()),
                     [&](BrokerId broker) { return !contains(now.isr, broker); });
        return IsrOutcome::committed;
    };
    const auto propose = [&](const IsrProposal& proposal) {
        const PartitionImage* now = image.partition(proposal.partition);
        if (now != nullptr && proposal.is_copy_lost) {
            return lose_copy(proposal, *now);
        }
        if (now == nullptr || now->leader != self_ || now->leader_epoch != proposal.leader_epoch ||
            now->partition_epoch != proposal.partition_epoch) {
            return IsrOutcome::fenced;
        }
        const IsrOutcome outcome = change_isr(proposal, *now);
        if (outcome == IsrOutcome::committed || !proposal.is_settling) {
            return outcome;
        }
        PartitionChange change(*image.topic(proposal.partition.topic_id), *now);
        change.renew();
        return write(proposal.partition, *now, *change.result());
    };
    for (size_t i = 0; i < proposals_.size(); i++) {
        results_[i] = propose(proposals_[i]);
    }
    for (const BrokerId broker : added) {
        transaction.guards.push_back({live_key(broker), image.find_broker(broker)->epoch});
    }
    return transaction;
}

void ChangeIsr::finish(Result<void> result) {
    if (!result) {
        std::replace(results_.begin(), results_.end(), IsrOutcome::committed,
                     IsrOutcome::unfinished);
    }
}

} // namespace qtool::metadata
