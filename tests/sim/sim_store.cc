#include "tests/sim/sim_store.h"

#include <algorithm>
#include <utility>

namespace qtool::sim {

void SimStore::later(Duration delay, std::function<void()> action) {
    world_.after(delay, [alive = alive_, deliver = deliver_, action = std::move(action)] {
        if (*alive) {
            deliver(action);
        }
    });
}

void SimStore::load() {
    later(world_.between(100us, 20ms), [this] {
        port::StoreSnapshot snapshot;
        snapshot.revision = image_.revision;
        for (const auto& [key, entry] : image_.entries) {
            snapshot.entries.push_back(entry);
        }
        events_->on_store_loaded(std::move(snapshot));
    });
}

void SimStore::commit(port::StoreTransaction transaction, Token token) {
    commit_order_ = std::max(commit_order_, world_.now() + world_.between(50us, 5ms)) + Duration(1);
    world_.at(commit_order_, [this, alive = alive_, transaction = std::move(transaction), token] {
        if (*alive) {
            apply(transaction, token);
        }
    });
}

void SimStore::open_session(Duration) {
    has_session_ = true;
    later(world_.between(50us, 5ms), [this] { events_->on_session_renewed(kMonoNever); });
}

void SimStore::close_session() {
    commit_order_ = std::max(commit_order_, world_.now() + world_.between(50us, 5ms)) + Duration(1);
    world_.at(commit_order_, [this, alive = alive_] {
        if (!*alive) {
            return;
        }
        has_session_ = false;
        if (port::StoreChange change = drop_ephemeral(); !change.writes.empty()) {
            tell_later(std::move(change));
        }
        later(world_.between(50us, 5ms), [this] { events_->on_session_closed(); });
    });
}

port::StoreChange SimStore::drop_ephemeral() {
    port::StoreChange change;
    for (const std::string& key : std::exchange(image_.ephemeral, {})) {
        image_.entries.erase(key);
        change.writes.push_back({key, std::nullopt});
    }
    if (!change.writes.empty()) {
        image_.revision = image_.revision + world_.random().between(1, 3);
        change.revision = image_.revision;
    }
    return change;
}

void SimStore::tell_later(port::StoreChange change) {
    Duration delay = world_.between(10us, 5ms);
    if (world_.chance_percent(5)) {
        world_.hit(Fault::watch_late);
        delay = world_.between(20ms, 800ms);
    }
    watch_order_ = std::max(watch_order_, world_.now() + delay) + Duration(1);
    later(watch_order_ - world_.now(),
          [this, change = std::move(change)] { events_->on_store_changed(change); });
}

void SimStore::apply(const port::StoreTransaction& transaction, Token token) {
    for (const port::StoreGuard& guard : transaction.guards) {
        const auto entry = image_.entries.find(guard.key);
        const Revision found =
            entry == image_.entries.end() ? Revision{0} : entry->second.mod_revision;
        if (found != guard.mod_revision) {
            later(world_.between(50us, 5ms), [this, token, key = guard.key] {
                events_->on_store_committed(
                    token, Error(Code::store_conflict, "the guard on " + key + " does not hold"));
            });
            return;
        }
    }
    if (!has_session_ && std::any_of(transaction.writes.begin(), transaction.writes.end(),
                                     [](const auto& write) { return write.ephemeral; })) {
        later(world_.between(50us, 5ms), [this, token] {
            events_->on_store_committed(token, Error(Code::store_unavailable, "no session"));
        });
        return;
    }
    image_.revision = image_.revision + world_.random().between(1, 3);
    for (const port::StoreWrite& write : transaction.writes) {
        if (write.value) {
            image_.entries[write.key] = {write.key, *write.value, image_.revision};
        } else {
            image_.entries.erase(write.key);
        }
        image_.ephemeral.erase(write.key);
        if (write.ephemeral && write.value) {
            image_.ephemeral.insert(write.key);
        }
    }
    world_.trace("store_applied", static_cast<uint64_t>(image_.revision.value()));
    const port::StoreChange change{image_.revision, transaction.writes};
    tell_later(change);
    // The answer may overtake the change or come behind it; some take long, and may find nobody.
    const Duration answer_delay =
        world_.chance_percent(10) ? world_.between(10ms, 600ms) : world_.between(10us, 10ms);
    world_.after(answer_delay, [world = &world_, alive = alive_, deliver = deliver_,
                                events = events_, token, revision = change.revision] {
        if (*alive) {
            deliver([events, token, revision] { events->on_store_committed(token, revision); });
        } else {
            world->hit(Fault::commit_answer_lost);
        }
    });
}

} // namespace qtool::sim
