#include "tests/sim/sim_store.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace qtool::sim {

namespace {

constexpr size_t kEtcdWritesMax = 120;
constexpr size_t kBehindMax = 40;          // changes; then everything is loaded again
constexpr Duration kSessionAnswerMax = 3s; // of an opening or closing
constexpr uint32_t kDoubtPercent = 3;      // answers of a shared store that are lost and read back

} // namespace

SimStore::SimStore(World& world, StoreTruth& truth, HostId host, std::shared_ptr<const bool> alive,
                   Deliver deliver)
    : world_(world),
      truth_(truth),
      host_(host),
      alive_(std::move(alive)),
      deliver_(std::move(deliver)) {
    truth_.watch(this);
    if (!truth_.is_shared()) {
        truth_.end_all_sessions();
    }
}

size_t SimStore::max_writes() const {
    return truth_.is_shared() ? kEtcdWritesMax : std::numeric_limits<size_t>::max();
}

void SimStore::later(Duration delay, std::function<void()> action) {
    world_.after(delay, [alive = alive_, deliver = deliver_, action = std::move(action)] {
        if (*alive) {
            deliver(action);
        }
    });
}

void SimStore::from_store(Duration delay, std::function<void()> action) {
    world_.after(delay, [this, alive = alive_, action = std::move(action)] {
        if (*alive) {
            hear(action);
        }
    });
}

void SimStore::hear(std::function<void()> action) {
    if (truth_.is_reachable(host_) && unheard_.empty()) {
        deliver_(std::move(action));
    } else {
        unheard_.push_back(std::move(action));
    }
}

void SimStore::on_reachable() {
    if (!*alive_) {
        return;
    }
    for (std::function<void()>& action : std::exchange(unheard_, {})) {
        later(world_.between(1ms, 50ms), std::move(action));
    }
    for (Commit& commit : std::exchange(unsent_, {})) {
        arrive(std::move(commit));
    }
    if (untold_.size() > kBehindMax || (!untold_.empty() && world_.chance_percent(30))) {
        tell_snapshot();
    }
    world_.after(world_.between(1ms, 50ms), [this, alive = alive_] {
        if (*alive) {
            tell();
        }
    });
}

// ---- loading and watching -----------------------------------------------------------------------

void SimStore::load() {
    from_store(world_.between(100us, 20ms), [this] {
        port::StoreSnapshot snapshot = truth_.snapshot();
        is_watching_ = true;
        note_told(snapshot.revision);
        events_->on_store_loaded(std::move(snapshot));
    });
}

void SimStore::note_told(Revision revision) {
    told_ = revision;
    truth_.note_told(host_, revision);
}

void SimStore::on_applied(const port::StoreChange& change) {
    if (!*alive_ || !is_watching_) {
        return;
    }
    Duration delay = world_.between(10us, 5ms);
    if (world_.chance_percent(5)) {
        world_.hit(Fault::watch_late);
        delay = world_.between(20ms, 800ms);
    }
    watch_order_ = std::max(watch_order_, world_.now() + delay) + Duration(1);
    untold_.push_back({watch_order_, change});
    world_.at(watch_order_, [this, alive = alive_] {
        if (*alive) {
            tell();
        }
    });
}

void SimStore::tell() {
    while (!untold_.empty() && untold_.front().due <= world_.now() && truth_.is_reachable(host_) &&
           !reload_due_) {
        const port::StoreChange change = std::move(untold_.front().change);
        untold_.pop_front();
        deliver_([this, change] {
            if (change.revision > told_) {
                note_told(change.revision);
                events_->on_store_changed(change);
            }
        });
    }
}

// What was told one by one is compacted away.
void SimStore::tell_snapshot() {
    world_.hit(Fault::watch_reloaded);
    untold_.clear();
    reload_due_ = true;
    from_store(world_.between(1ms, 100ms), [this] {
        reload_due_ = false;
        port::StoreSnapshot snapshot = truth_.snapshot();
        note_told(snapshot.revision);
        events_->on_store_reloaded(std::move(snapshot));
        tell();
    });
}

// ---- commits ------------------------------------------------------------------------------------

void SimStore::commit(port::StoreTransaction transaction, Token token) {
    QT_ASSERT(transaction.writes.size() <= max_writes() &&
              transaction.guards.size() <= max_writes());
    commit_order_ = std::max(commit_order_, world_.now() + world_.between(50us, 5ms)) + Duration(1);
    world_.at(commit_order_, [this, alive = alive_, truth = &truth_, world = &world_,
                              session = session_, transaction = std::move(transaction), token] {
        if (*alive) {
            arrive({transaction, token});
        } else if (truth->is_shared() && world->chance_percent(50)) {
            // On its way when the process ended.
            world->hit(Fault::commit_answer_lost);
            static_cast<void>(truth->apply(transaction, session));
        }
    });
}

void SimStore::arrive(Commit commit) {
    if (truth_.is_reachable(host_) && unsent_.empty()) {
        apply(commit);
    } else if (world_.chance_percent(50)) {
        // It never gets there, which is known when the store can be asked again.
        from_store(0us, [this, token = commit.token] {
            events_->on_store_committed(token, Error(Code::store_unavailable, "never arrived"));
        });
    } else {
        unsent_.push_back(std::move(commit));
    }
}

void SimStore::apply(const Commit& commit) {
    if (truth_.must_wait(commit.transaction)) {
        world_.after(1ms, [this, alive = alive_, commit] {
            if (*alive) {
                arrive(commit);
            }
        });
        return;
    }
    Result<Revision> applied = truth_.apply(commit.transaction, session_);
    if (!applied) {
        answer(commit.token, std::move(applied), world_.between(50us, 5ms));
        return;
    }
    // The answer may overtake the change or come behind it; some take long, and may find nobody.
    Duration delay =
        world_.chance_percent(10) ? world_.between(10ms, 600ms) : world_.between(10us, 10ms);
    if (truth_.is_shared() && world_.chance_percent(kDoubtPercent)) {
        world_.hit(Fault::commit_in_doubt);
        delay += world_.between(500ms, 3s);
        if (truth_.sends_again()) {
            applied = truth_.apply(commit.transaction, session_);
        }
    }
    answer(commit.token, std::move(applied), delay);
}

void SimStore::answer(Token token, Result<Revision> result, Duration delay) {
    world_.after(delay, [this, world = &world_, alive = alive_, token,
                         result = std::move(result)]() mutable {
        if (!*alive) {
            if (result) {
                world->hit(Fault::commit_answer_lost);
            }
            return;
        }
        hear([this, token, result = std::move(result)] {
            events_->on_store_committed(token, result);
        });
    });
}

// ---- session ------------------------------------------------------------------------------------

void SimStore::open_session(Duration ttl) {
    QT_ASSERT(session_state_ == SessionState::none);
    ttl_ = ttl;
    session_attempt_++;
    if (!truth_.is_shared()) {
        session_ = truth_.open_session(ttl);
        session_state_ = SessionState::open;
        later(world_.between(50us, 5ms), [this] { events_->on_session_renewed(kMonoNever); });
        return;
    }
    session_state_ = SessionState::opening;
    const uint64_t attempt = session_attempt_;
    const MonoTime sent = world_.now();
    later(kSessionAnswerMax, [this, attempt] {
        if (attempt == session_attempt_ && session_state_ == SessionState::opening) {
            lose_session();
        }
    });
    world_.after(world_.between(50us, 5ms), [this, alive = alive_, attempt, sent] {
        if (!*alive || attempt != session_attempt_ || !truth_.is_reachable(host_)) {
            return;
        }
        const SessionId id = truth_.open_session(ttl_);
        from_store(world_.between(50us, 5ms), [this, attempt, sent, id] {
            if (attempt == session_attempt_) {
                session_ = id;
                session_state_ = SessionState::open;
                keep_alive();
                on_renewed(sent + ttl_);
            }
        });
    });
}

// Each step is one of the process: while it is paused nothing is renewed.
void SimStore::keep_alive() {
    later(ttl_ / 3, [this, attempt = session_attempt_] {
        if (attempt != session_attempt_ || session_state_ != SessionState::open) {
            return;
        }
        const MonoTime sent = world_.now();
        world_.after(world_.between(50us, 5ms), [this, alive = alive_, attempt, sent] {
            if (!*alive || attempt != session_attempt_ || !truth_.is_reachable(host_)) {
                return;
            }
            const bool is_open = truth_.keep_alive(session_);
            from_store(world_.between(50us, 5ms), [this, attempt, sent, is_open] {
                if (attempt != session_attempt_) {
                    return;
                }
                if (is_open) {
                    on_renewed(sent + ttl_);
                } else {
                    lose_session();
                }
            });
        });
        keep_alive();
    });
}

void SimStore::on_renewed(MonoTime valid_until) {
    valid_until_ = std::max(valid_until_, valid_until);
    if (world_.now() >= valid_until_) {
        lose_session();
        return;
    }
    world_.at(valid_until_, [this, alive = alive_, attempt = session_attempt_] {
        if (*alive) {
            deliver_([this, attempt] {
                if (attempt == session_attempt_ && session_state_ == SessionState::open &&
                    world_.now() >= valid_until_) {
                    lose_session();
                }
            });
        }
    });
    truth_.note_lease(host_, valid_until_);
    events_->on_session_renewed(valid_until_);
}

void SimStore::lose_session() {
    session_attempt_++;
    session_state_ = SessionState::none;
    session_ = 0;
    world_.trace("session_lost", host_);
    events_->on_session_lost();
}

void SimStore::close_session() {
    QT_ASSERT(session_state_ != SessionState::none);
    const uint64_t attempt = ++session_attempt_;
    session_state_ = SessionState::none;
    commit_order_ = std::max(commit_order_, world_.now() + world_.between(50us, 5ms)) + Duration(1);
    const auto closed = [this, attempt] {
        if (attempt == session_attempt_) {
            session_attempt_++;
            session_ = 0;
            events_->on_session_closed();
        }
    };
    if (truth_.is_shared()) {
        later(kSessionAnswerMax, closed);
    }
    world_.at(commit_order_, [this, alive = alive_, closed] {
        if (*alive && truth_.is_reachable(host_)) {
            truth_.end_session(session_);
            session_ = 0;
            from_store(world_.between(50us, 5ms), closed);
        }
    });
}

} // namespace qtool::sim
