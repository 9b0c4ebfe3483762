#include "server/broker/membership.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <algorithm>
#include <utility>

namespace qtool::broker {

Membership::Membership(const Setup& setup) : setup_(setup) {}

// ---- session ------------------------------------------------------------------------------------

void Membership::open_session() {
    QT_ASSERT(session_ == Session::none);
    session_ = Session::opening;
    setup_.store->open_session(setup_.session_ttl);
}

void Membership::on_session_renewed(MonoTime valid_until, const metadata::Image& image,
                                    MonoTime now) {
    if (session_ != Session::opening && session_ != Session::open) {
        return; // leaving
    }
    session_valid_until_ = valid_until;
    if (std::exchange(session_, Session::open) != Session::open) {
        on_image(image, now);
        if (state_ == State::registering) {
            enroll(image, now);
        } else if (state_ == State::retaking && !is_running_) {
            retake(image, now);
        }
    }
}

void Membership::on_session_lost(MonoTime now) {
    if (session_ == Session::closing || session_ == Session::left) {
        return;
    }
    session_ = Session::none;
    session_valid_until_ = MonoTime{};
    claim_ = Revision{0};
    if (was_member_) {
        log_line(LogLevel::warn, "session_lost",
                 {{"reason", "the metadata store did not renew it in time"}});
    }
    if (state_ == State::member) {
        state_ = State::registering;
    }
    again_at_ = now + kRejoinAfter;
}

void Membership::leave() {
    if (session_ == Session::open || session_ == Session::opening) {
        session_ = Session::closing;
        setup_.store->close_session();
    } else if (session_ == Session::none) {
        session_ = Session::left;
    }
}

// ---- start --------------------------------------------------------------------------------------

void Membership::begin(metadata::BrokerImage self, DiskLife disks, const metadata::Image& image,
                       MonoTime now) {
    QT_ASSERT(state_ == State::idle);
    self_ = std::move(self);
    disks_ = std::move(disks);
    self_.id = setup_.self;
    std::sort(disks_.identities.begin(), disks_.identities.end());
    state_ = State::checking;
    give_up_at_ = now + setup_.session_ttl + kRejoinAfter;
    start_until_ = now + setup_.session_ttl + kRegisterMax;
    on_image(image, now);
}

// One that is lost may come back whole only where no one shares the store.
void Membership::compare_lives(const metadata::Image& image) {
    const metadata::BrokerImage* known = image.find_broker(setup_.self);
    self_.start_count = known != nullptr ? known->start_count : 0;
    if (session_valid_until_ == kMonoNever) {
        return; // the store is in one of the directories; what is remembered stays as it is
    }
    self_.incarnation = setup_.incarnation;
    self_.directory_ids = disks_.identities;
    const std::vector<Uuid>& now = self_.directory_ids;
    const auto is_here = [&](const Uuid& id) {
        return std::binary_search(now.begin(), now.end(), id);
    };
    if (known != nullptr && !known->directory_ids.empty()) {
        const std::vector<Uuid>& then = known->directory_ids;
        is_partly_lost_ = !std::all_of(then.begin(), then.end(), is_here);
        is_lost_ = std::none_of(then.begin(), then.end(), is_here);
    }
    if (is_lost_) {
        log_line(LogLevel::warn, "log_dirs_are_new",
                 {{"effect", "this broker starts as a new replica of all it holds"}});
    }
    if (!is_lost_ && disks_.start_count < self_.start_count) {
        is_lost_ = true;
        log_line(LogLevel::warn, "log_dirs_are_old",
                 {{"starts", std::to_string(disks_.start_count)},
                  {"known", std::to_string(self_.start_count)},
                  {"effect", "they were put back from a copy; this broker starts as a new replica "
                             "of all it holds"}});
    }
    const int64_t next = std::max(disks_.start_count, self_.start_count) + 1;
    if (const Result<void> written = disks_.write_start_count(next); written) {
        self_.start_count = next;
    } else {
        // A disk that is full, or fails, must not keep the broker from starting.
        self_.start_count = disks_.start_count;
        log_line(LogLevel::warn, "start_not_counted", {{"error", to_string(written.error())}});
    }
}

// Who else has the id: nobody, one of ours that died, or a stranger.
void Membership::check(const metadata::Image& image, MonoTime now) {
    if (session_ != Session::open || is_running_) {
        return;
    }
    const auto live = image.live.find(setup_.self);
    if (live == image.live.end() || live->second.incarnation == setup_.incarnation) {
        compare_lives(image);
        state_ = State::retaking;
        retake(image, now);
        return;
    }
    const metadata::BrokerImage* known = image.find_broker(setup_.self);
    const bool is_ours =
        known != nullptr &&
        std::any_of(known->directory_ids.begin(), known->directory_ids.end(), [&](const Uuid& id) {
            return std::binary_search(disks_.identities.begin(), disks_.identities.end(), id);
        });
    if (is_ours) {
        // We hold the lock of a directory it had: it is dead, its session only not over yet.
        state_ = State::fencing;
        run(std::make_unique<metadata::FenceBroker>(setup_.self, live->second.revision), image,
            now + kRegisterMax);
    } else if (now >= give_up_at_) {
        fail(Error(Code::invalid_config,
                   "another process is broker " + std::to_string(setup_.self.value()) +
                       " of this cluster, with other log directories, at " +
                       (known != nullptr ? known->host + ":" + std::to_string(known->port)
                                         : std::string("an unknown address")) +
                       ": give this one another node.id, or stop the other"));
    }
}

void Membership::retake(const metadata::Image& image, MonoTime now) {
    auto sweep = std::make_unique<metadata::RetakeReplicas>(
        setup_.self, [this](const metadata::TopicImage& topic, PartitionIndex index) {
            const PartitionKey key{topic.id, index};
            // Without fsync a crash may have cut off what others counted on.
            const bool is_cut =
                !disks_.was_clean && topic.effective.write_caching &&
                topic.partitions[static_cast<size_t>(index.value())].replicas.size() > 1;
            return is_lost_ || is_cut || (is_partly_lost_ && !disks_.holds(topic.name, key));
        });
    run(std::move(sweep), image, now + kRegisterMax);
}

void Membership::note_lost_copies() const {
    const auto& sweep = static_cast<const metadata::RetakeReplicas&>(*operation_);
    for (const std::string& partition : sweep.last_copies()) {
        log_line(LogLevel::error, "last_copy_lost",
                 {{"partition", partition},
                  {"effect", "it has no leader; an unclean election makes it start empty"}});
    }
}

void Membership::enroll(const metadata::Image& image, MonoTime now) {
    if (session_ != Session::open || is_running_) {
        return;
    }
    again_at_ = kMonoNever;
    run(std::make_unique<metadata::RegisterBroker>(self_, setup_.incarnation), image,
        now + kRegisterMax);
}

void Membership::on_registered(const metadata::Image& image) {
    const auto& done = static_cast<const metadata::RegisterBroker&>(*operation_);
    claim_ = done.claimed_controller() && image.controller.id == setup_.self
                 ? image.controller.revision
                 : Revision{0};
    if (was_member_) {
        log_line(LogLevel::info, "registered_again", {});
    }
    state_ = State::member;
    was_member_ = true;
}

// ---- stop ---------------------------------------------------------------------------------------

void Membership::resign(const metadata::Image& image, MonoTime now) {
    QT_ASSERT(state_ == State::member);
    const bool are_others =
        std::any_of(image.brokers.begin(), image.brokers.end(), [&](const auto& entry) {
            return entry.first != setup_.self && entry.second.is_live();
        });
    if (!are_others) {
        state_ = State::resigned;
        return;
    }
    state_ = State::resigning;
    run(std::make_unique<metadata::ResignReplicas>(setup_.self), image, now + kResignMax);
}

// ---- events -------------------------------------------------------------------------------------

void Membership::run(std::unique_ptr<metadata::PlainOperation> operation,
                     const metadata::Image& image, MonoTime deadline) {
    QT_ASSERT(!is_running_);
    operation_ = std::move(operation);
    is_running_ = true;
    setup_.changes->start(kRequest, *operation_, deadline, image, *setup_.random);
}

void Membership::on_finished(const metadata::Image& image, MonoTime now) {
    QT_ASSERT(is_running_);
    is_running_ = false;
    const Result<void>& outcome = operation_->outcome();
    switch (state_) {
    case State::fencing:
        state_ = State::checking;
        if (outcome) {
            check(image, now);
        } else {
            try_again(outcome.error(), now);
        }
        return;
    case State::retaking:
        if (!outcome) {
            try_again(outcome.error(), now);
            return;
        }
        note_lost_copies();
        state_ = State::registering;
        enroll(image, now);
        return;
    case State::registering:
        if (outcome && session_ == Session::open) {
            on_registered(image);
            on_image(image, now);
        } else {
            try_again(outcome ? Error(Code::store_unavailable, "the session ended")
                              : outcome.error(),
                      now);
        }
        return;
    case State::resigning:
        if (!outcome) {
            log_line(LogLevel::warn, "leaderships_kept", {{"reason", to_string(outcome.error())}});
        }
        state_ = State::resigned;
        return;
    case State::idle:
    case State::checking:
    case State::member:
    case State::resigned:
    case State::failed:
        return; // what ran then is of no more interest
    }
    QT_UNREACHABLE();
}

// A start that cannot reach the store says so; a member goes on serving what it may.
void Membership::try_again(const Error& reason, MonoTime now) {
    const bool may_pass = reason.code == Code::store_conflict ||
                          reason.code == Code::store_unavailable || session_ != Session::open;
    if (!was_member_ && (!may_pass || now >= start_until_)) {
        fail(reason);
        return;
    }
    again_at_ = now + kRejoinAfter;
}

void Membership::fail(Error error) {
    state_ = State::failed;
    failure_ = std::move(error);
}

void Membership::on_image(const metadata::Image& image, MonoTime now) {
    if (state_ == State::checking) {
        check(image, now);
        return;
    }
    const bool is_watching = is_member() || (state_ == State::registering && was_member_);
    if (!is_watching) {
        return;
    }
    const auto live = image.live.find(setup_.self);
    if (live != image.live.end() && live->second.incarnation != setup_.incarnation) {
        fail(Error(Code::invalid_config, "another process has registered as broker " +
                                             std::to_string(setup_.self.value()) +
                                             " of this cluster"));
        return;
    }
    if (live == image.live.end() && state_ == State::member) {
        log_line(LogLevel::warn, "fenced", {{"effect", "registers again"}});
        state_ = State::registering;
        claim_ = Revision{0};
        enroll(image, now);
    }
}

void Membership::on_time(const metadata::Image& image, MonoTime now) {
    if (again_at_ <= now) {
        again_at_ = kMonoNever;
        if (session_ == Session::none) {
            open_session();
        } else if (state_ == State::registering) {
            enroll(image, now);
        } else if (state_ == State::checking) {
            check(image, now);
        } else if (state_ == State::retaking && !is_running_) {
            retake(image, now);
        }
    }
    if (state_ == State::checking && give_up_at_ <= now) {
        if (session_ == Session::open || session_ == Session::none) {
            check(image, now);
        }
        if (state_ == State::checking && !is_running_) {
            give_up_at_ = now + kRejoinAfter; // waits for the session, too
        }
    }
}

MonoTime Membership::next_due() const {
    return std::min(again_at_, state_ == State::checking ? give_up_at_ : kMonoNever);
}

} // namespace qtool::broker
