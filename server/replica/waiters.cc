#include "server/replica/waiters.h"

#include <algorithm>

namespace qtool::replica {

void AppendWaiters::park(ParkedAppend append) {
    // Appends arrive in offset order; only the answer to a duplicate may belong further forward.
    auto at = parked_.end();
    while (at != parked_.begin() && std::prev(at)->last_offset > append.last_offset) {
        --at;
    }
    parked_.insert(at, append);
}

std::vector<ParkedAppend> AppendWaiters::take_below(Offset high_watermark) {
    std::vector<ParkedAppend> taken;
    while (!parked_.empty() && parked_.front().last_offset < high_watermark) {
        taken.push_back(parked_.front());
        parked_.pop_front();
    }
    return taken;
}

std::vector<ParkedAppend> AppendWaiters::take_expired(MonoTime now) {
    std::vector<ParkedAppend> taken;
    const auto is_live = [&](const ParkedAppend& p) { return p.deadline > now; };
    const auto expired = std::stable_partition(parked_.begin(), parked_.end(), is_live);
    std::move(expired, parked_.end(), std::back_inserter(taken));
    parked_.erase(expired, parked_.end());
    return taken;
}

std::vector<ParkedAppend> AppendWaiters::take_all() {
    std::vector<ParkedAppend> taken(std::make_move_iterator(parked_.begin()),
                                    std::make_move_iterator(parked_.end()));
    parked_.clear();
    return taken;
}

MonoTime AppendWaiters::next_deadline() const {
    MonoTime next = kMonoNever;
    for (const ParkedAppend& parked : parked_) {
        next = std::min(next, parked.deadline);
    }
    return next;
}

void Watches::arm(Watch watch) {
    for (Watch& known : watches_) {
        if (known.asker == watch.asker) {
            known = watch;
            return;
        }
    }
    watches_.push_back(watch);
}

void Watches::cancel(CoreId core, Token request) {
    std::erase_if(watches_, [&](const Watch& w) {
        return w.asker.core == core && w.asker.request == request;
    });
}

std::vector<Asker> Watches::take_ready(const ReadEnds& ends) {
    std::vector<Asker> ready;
    std::erase_if(watches_, [&](const Watch& w) {
        const Offset readable_end = w.sight == Sight::log_end          ? ends.log_end
                                    : w.sight == Sight::high_watermark ? ends.high_watermark
                                                                       : ends.last_stable;
        if (w.seen_end < readable_end ||
            (w.seen_high_watermark && *w.seen_high_watermark < ends.high_watermark)) {
            ready.push_back(w.asker);
            return true;
        }
        return false;
    });
    return ready;
}

std::vector<Asker> Watches::take_replicas() {
    std::vector<Asker> taken;
    std::erase_if(watches_, [&](const Watch& w) {
        if (w.sight == Sight::log_end) {
            taken.push_back(w.asker);
            return true;
        }
        return false;
    });
    return taken;
}

std::vector<Asker> Watches::take_all() {
    std::vector<Asker> all;
    for (const Watch& watch : watches_) {
        all.push_back(watch.asker);
    }
    watches_.clear();
    return all;
}

} // namespace qtool::replica
