#include "server/replica/leader_state.h"

#include "lib/base/assert.h"

#include <algorithm>

namespace qtool::replica {

namespace {

bool contains(const std::vector<BrokerId>& ids, BrokerId id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}

} // namespace

std::string describe(const IsrProposal& proposal) {
    std::string text;
    for (const IsrProposal::Member& member : proposal.isr) {
        text += (text.empty() ? "" : ",") + std::to_string(member.id.value());
    }
    return text;
}

LeaderState::LeaderState(BrokerId self, const metadata::PartitionImage& image, Offset epoch_start,
                         MonoTime now)
    : self_(self),
      leader_epoch_(image.leader_epoch),
      partition_epoch_(image.partition_epoch),
      epoch_start_(epoch_start) {
    apply(image, now);
    for (FollowerProgress& follower : followers_) {
        // Time to find the new leader before it is taken for one that lags.
        follower.caught_up_at = now;
        follower.was_caught_up = follower.is_in_sync;
    }
}

void LeaderState::apply(const metadata::PartitionImage& image, MonoTime now) {
    QT_ASSERT(image.leader == self_ && image.leader_epoch == leader_epoch_);
    QT_ASSERT(image.partition_epoch >= partition_epoch_);
    const bool is_newer = image.partition_epoch > partition_epoch_;
    partition_epoch_ = image.partition_epoch;
    isr_size_ = static_cast<uint32_t>(image.isr.size());
    has_elr_ = !image.elr.empty();
    order_ = image.replicas;
    std::erase_if(followers_, [&](const FollowerProgress& follower) {
        return !contains(image.replicas, follower.id);
    });
    for (const BrokerId id : image.replicas) {
        if (id != self_ && find(id) == nullptr) {
            followers_.emplace_back().id = id;
        }
    }
    for (FollowerProgress& follower : followers_) {
        const bool is_member = contains(image.isr, follower.id);
        if (is_member && !follower.is_in_sync && !follower.was_caught_up) {
            follower.caught_up_at = now; // somebody else made it a member
            follower.was_caught_up = true;
        }
        follower.is_in_sync = is_member;
        follower.is_joining = follower.is_joining && !is_newer;
        follower.is_elr = contains(image.elr, follower.id);
    }
    if (is_newer) {
        change_ = Change::none;
        propose_at_ = MonoTime{};
    }
}

void LeaderState::set_broker(BrokerId id, bool is_live, Revision epoch) {
    if (FollowerProgress* follower = find(id)) {
        follower->is_live = is_live;
        follower->live_epoch = epoch;
    }
}

Result<void> LeaderState::check_fetch(const Fetch& fetch) const {
    const FollowerProgress* follower = find(fetch.replica);
    if (follower == nullptr) {
        return Error(Code::unknown_leader_epoch, "broker " + std::to_string(fetch.replica.value()) +
                                                     " is no replica of the partition");
    }
    // Every broker says which process of it fetches. Who does not is none, and must not make others
    // believe that a replica has what it has not.
    if (fetch.broker_epoch == Revision{0}) {
        return Error(Code::not_leader, "a fetch in the name of broker " +
                                           std::to_string(fetch.replica.value()) +
                                           " has no broker epoch");
    }
    // A request of the process before this one, late on its way (KIP-903).
    if (fetch.broker_epoch < follower->epoch || fetch.broker_epoch < follower->live_epoch) {
        return Error(Code::not_leader,
                     "broker " + std::to_string(fetch.replica.value()) + " fetches with epoch " +
                         std::to_string(fetch.broker_epoch.value()) + ", which is over");
    }
    return {};
}

void LeaderState::on_fetch(const Fetch& fetch, Offset log_end, MonoTime now) {
    FollowerProgress* follower = find(fetch.replica);
    QT_ASSERT(follower != nullptr);
    if (fetch.broker_epoch != follower->epoch) { // another process: nothing is known of it
        follower->was_caught_up = follower->was_caught_up && follower->is_in_sync;
        follower->leader_end_at_fetch = kNoOffset;
        follower->told_high_watermark = kNoOffset;
    }
    // In sync is who reached what the leader had at the fetch before, however many records that
    // were: a follower is behind in time, not in records (KIP-16).
    if (fetch.offset >= log_end) {
        follower->caught_up_at = now;
        follower->was_caught_up = true;
    } else if (follower->leader_end_at_fetch != kNoOffset &&
               fetch.offset >= follower->leader_end_at_fetch) {
        follower->caught_up_at = std::max(follower->caught_up_at, follower->fetched_at);
        follower->was_caught_up = true;
    }
    follower->epoch = fetch.broker_epoch;
    follower->end = fetch.offset;
    follower->log_start = fetch.log_start;
    follower->fetched_at = now;
    follower->leader_end_at_fetch = log_end;
}

std::optional<Offset> LeaderState::committed_end(Offset own_end, int32_t min_insync, MonoTime now,
                                                 Duration lag_max) const {
    if (has_elr_ || static_cast<int64_t>(isr_size_) < min_insync) {
        return std::nullopt;
    }
    Offset end = own_end;
    for (const FollowerProgress& follower : followers_) {
        const bool is_about_to_join = is_eligible(follower) && follower.end != kNoOffset &&
                                      is_caught_up(follower, now, lag_max);
        if (follower.is_in_sync || follower.is_joining || is_about_to_join) {
            end = std::min(end, follower.end);
        }
    }
    return end;
}

std::optional<IsrProposal> LeaderState::propose(Offset log_start, Offset log_end,
                                                Offset high_watermark, MonoTime now,
                                                Duration lag_max) {
    if (change_ == Change::in_flight || followers_.empty() || now < propose_at_) {
        return std::nullopt;
    }
    IsrProposal proposal;
    const auto is_wanted = [&](FollowerProgress& follower) {
        if (follower.is_in_sync) {
            const bool lags = follower.end != log_end && !is_caught_up(follower, now, lag_max);
            proposal.is_shrink = proposal.is_shrink || lags;
            return !lags;
        }
        // Uncertain: asked again, so that the answer settles it.
        const bool joins =
            follower.is_joining ||
            (is_eligible(follower) && follower.end != kNoOffset && follower.end >= high_watermark &&
             follower.end >= epoch_start_ && std::max(follower.log_start, Offset{0}) >= log_start &&
             is_caught_up(follower, now, lag_max));
        proposal.is_expansion = proposal.is_expansion || joins;
        return joins;
    };
    for (const BrokerId id : order_) {
        if (id == self_) {
            proposal.isr.push_back({self_, Revision{0}});
        } else if (FollowerProgress& follower = *find(id); is_wanted(follower)) {
            if (!follower.is_in_sync && !follower.is_joining) {
                follower.joining_epoch = follower.epoch;
            }
            // Asked again, it is the process that had all then: the one that fetches now may have
            // come back empty (KIP-903).
            proposal.isr.push_back(
                {id, follower.is_in_sync ? Revision{0} : follower.joining_epoch});
        }
    }
    if (!proposal.is_expansion && !proposal.is_shrink) {
        change_ = Change::none;
        return std::nullopt;
    }
    for (const IsrProposal::Member& member : proposal.isr) {
        if (FollowerProgress* follower = find(member.id); follower != nullptr) {
            follower->is_joining = !follower->is_in_sync;
        }
    }
    begin(proposal);
    return proposal;
}

void LeaderState::begin(IsrProposal& proposal) {
    proposal.leader_epoch = leader_epoch_;
    proposal.partition_epoch = partition_epoch_;
    proposal.is_settling = change_ == Change::uncertain;
    change_ = Change::in_flight;
}

Offset LeaderState::low_watermark(Offset own_log_start) const {
    Offset low = own_log_start;
    for (const FollowerProgress& follower : followers_) {
        // Who is gone and may lead when it is back counts, or the records would be back with it.
        if (follower.is_live || follower.is_in_sync || follower.is_joining || follower.is_elr) {
            low = std::min(low, follower.log_start);
        }
    }
    return low;
}

std::optional<IsrProposal> LeaderState::propose_to_resign(MonoTime now) {
    if (change_ == Change::in_flight || now < propose_at_) {
        return std::nullopt;
    }
    IsrProposal proposal;
    for (const FollowerProgress& follower : followers_) {
        if (follower.is_in_sync) {
            proposal.isr.push_back({follower.id, Revision{0}});
        }
    }
    if (proposal.isr.empty()) {
        return std::nullopt;
    }
    proposal.is_shrink = true;
    begin(proposal);
    return proposal;
}

void LeaderState::on_proposal_ended(int32_t partition_epoch, const Result<void>& result,
                                    MonoTime now) {
    if (change_ != Change::in_flight || partition_epoch != partition_epoch_) {
        return; // an image settled it; another proposal may be in flight by now
    }
    propose_at_ = now + kProposalRest;
    if (!result) {
        change_ = Change::uncertain; // it may be committed all the same
        return;
    }
    change_ = Change::none;
    for (FollowerProgress& follower : followers_) {
        follower.is_joining = false;
    }
}

FollowerProgress* LeaderState::find(BrokerId id) {
    const auto at = std::find_if(followers_.begin(), followers_.end(),
                                 [&](const FollowerProgress& f) { return f.id == id; });
    return at == followers_.end() ? nullptr : &*at;
}

const FollowerProgress* LeaderState::find(BrokerId id) const {
    return const_cast<LeaderState*>(this)->find(id);
}

} // namespace qtool::replica
