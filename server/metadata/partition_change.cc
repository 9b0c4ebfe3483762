#include "server/metadata/partition_change.h"

#include "lib/base/assert.h"

#include <algorithm>

namespace qtool::metadata {

namespace {

using Brokers = std::vector<BrokerId>;

Brokers without(const Brokers& brokers, const Brokers& gone) {
    Brokers left;
    std::copy_if(brokers.begin(), brokers.end(), std::back_inserter(left),
                 [&](BrokerId broker) { return !contains(gone, broker); });
    return left;
}

void add_missing(Brokers& brokers, const Brokers& more) {
    for (const BrokerId broker : more) {
        if (!contains(brokers, broker)) {
            brokers.push_back(broker);
        }
    }
}

} // namespace

size_t min_isr(const TopicImage& topic, const PartitionImage& partition) {
    const auto wanted = static_cast<size_t>(std::max(topic.effective.min_insync_replicas, 1));
    // Replicas that are still being added would only make writes wait for them.
    const size_t there = without(partition.replicas, partition.adding_replicas).size();
    return std::min(wanted, std::max<size_t>(there, 1));
}

bool contains(const std::vector<BrokerId>& brokers, BrokerId broker) {
    return std::find(brokers.begin(), brokers.end(), broker) != brokers.end();
}

PartitionChange::PartitionChange(const TopicImage& topic, const PartitionImage& before)
    : topic_(&topic),
      before_(before),
      now_(before) {}

// ---- ISR and ELR --------------------------------------------------------------------------------

void PartitionChange::set_isr(Brokers isr) {
    QT_ASSERT(!isr.empty());
    QT_ASSERT(without(isr, now_.replicas).empty());
    Brokers candidates = now_.elr;
    add_missing(candidates, now_.isr);
    now_.isr = std::move(isr);
    set_elr(candidates);
}

// Of the candidates, each of which holds all that is committed, those the ISR does not have.
void PartitionChange::set_elr(const Brokers& candidates) {
    if (now_.isr.size() >= min_isr(*topic_, now_)) {
        now_.elr.clear();
        return;
    }
    now_.elr = without(candidates, now_.isr);
}

void PartitionChange::clear_elr_if_idle() {
    set_elr(now_.elr);
}

void PartitionChange::leave_isr(const IsLive& stays) {
    Brokers left;
    std::copy_if(now_.isr.begin(), now_.isr.end(), std::back_inserter(left), stays);
    if (!left.empty() && left.size() != now_.isr.size()) {
        set_isr(std::move(left));
    }
}

bool PartitionChange::lose_copy(BrokerId broker) {
    std::erase(now_.elr, broker);
    if (!contains(now_.isr, broker)) {
        return true;
    }
    Brokers left = without(now_.isr, {broker});
    if (left.empty()) {
        // Who is in the ELR holds all that is committed, too.
        left = now_.elr;
    }
    const bool is_left = !left.empty();
    const Brokers candidates = now_.elr;
    now_.isr = std::move(left);
    set_elr(candidates);
    return is_left;
}

// ---- leader -------------------------------------------------------------------------------------

void PartitionChange::elect(const IsLive& is_live) {
    elect_one(is_live, topic_->effective.unclean_leader_election_enable);
}

void PartitionChange::elect_clean(const IsLive& is_live) {
    elect_one(is_live, false);
}

void PartitionChange::elect_unclean(const IsLive& is_live) {
    elect_one(is_live, true);
}

void PartitionChange::elect_one(const IsLive& is_live, bool unclean) {
    if (now_.leader != kNoBroker && contains(now_.isr, now_.leader) && is_live(now_.leader)) {
        return;
    }
    const auto first_live = [&](const Brokers* among) {
        for (const BrokerId broker : now_.replicas) {
            if ((among == nullptr || contains(*among, broker)) && is_live(broker)) {
                return broker;
            }
        }
        return kNoBroker;
    };
    BrokerId elected = first_live(&now_.isr);
    if (elected == kNoBroker) {
        elected = first_live(&now_.elr);
        if (elected != kNoBroker) {
            // The ISR is gone; its members held all that is committed, so they are eligible now.
            set_isr({elected});
        }
    }
    if (elected == kNoBroker && unclean) {
        elected = first_live(nullptr);
        if (elected != kNoBroker) {
            // What the others hold may be more than the new leader's log, never again committed.
            now_.isr = {elected};
            now_.elr.clear();
        }
    }
    if (elected != kNoBroker) {
        set_leader(elected);
    } else if (now_.leader != kNoBroker) {
        now_.last_known_leader = now_.leader;
        now_.leader = kNoBroker;
    }
}

void PartitionChange::set_leader(BrokerId broker) {
    QT_ASSERT(contains(now_.isr, broker));
    now_.leader = broker;
    now_.last_known_leader = kNoBroker;
}

void PartitionChange::renew_leader() {
    is_new_term_ = true;
}

// ---- reassignment -------------------------------------------------------------------------------

void PartitionChange::reassign(const Brokers& target) {
    QT_ASSERT(!target.empty());
    // What is being added is not there yet: a new wish starts from the replicas before.
    const Brokers all = now_.replicas;
    const Brokers before = without(all, now_.adding_replicas);
    now_.adding_replicas = without(target, before);
    now_.removing_replicas = without(before, target);
    now_.replicas = target;
    add_missing(now_.replicas, now_.removing_replicas);
    // Replicas of an older wish that nobody wants any more go at once, but not the last copy.
    const Brokers kept = without(now_.isr, without(now_.isr, now_.replicas));
    if (kept.empty()) {
        add_missing(now_.replicas, now_.isr);
        add_missing(now_.removing_replicas, now_.isr);
    } else if (kept.size() != now_.isr.size()) {
        now_.isr = kept;
    }
    now_.elr = without(now_.elr, without(now_.elr, now_.replicas));
    is_new_term_ = is_new_term_ || !without(all, now_.replicas).empty();
    set_elr(now_.elr);
}

bool PartitionChange::cancel_reassignment() {
    if (!now_.is_reassigning()) {
        return false;
    }
    const bool has_member = now_.isr.empty() || !without(now_.isr, now_.adding_replicas).empty();
    if (without(now_.replicas, now_.adding_replicas).empty() || !has_member) {
        return false;
    }
    end_reassignment(now_.adding_replicas);
    return true;
}

bool PartitionChange::finish_reassignment() {
    if (!now_.is_reassigning()) {
        return false;
    }
    const Brokers isr = without(now_.isr, now_.removing_replicas);
    if (isr.empty() || !without(now_.adding_replicas, isr).empty()) {
        return false;
    }
    end_reassignment(now_.removing_replicas);
    return true;
}

void PartitionChange::end_reassignment(Brokers leaving) {
    now_.replicas = without(now_.replicas, leaving);
    now_.isr = without(now_.isr, leaving);
    now_.elr = without(now_.elr, leaving);
    is_new_term_ = is_new_term_ || !leaving.empty();
    now_.adding_replicas.clear();
    now_.removing_replicas.clear();
    set_elr(now_.elr);
}

std::optional<PartitionImage> PartitionChange::result() const {
    if (now_ == before_ && !is_new_term_ && !is_renewed_) {
        return std::nullopt;
    }
    PartitionImage after = now_;
    after.partition_epoch = before_.partition_epoch + 1;
    if (is_new_term_ || after.leader != before_.leader) {
        after.leader_epoch = LeaderEpoch(before_.leader_epoch.value() + 1);
    }
    if (after.leader != kNoBroker) {
        QT_ASSERT(contains(after.isr, after.leader));
    }
    return after;
}

} // namespace qtool::metadata
