#include "tests/sim/store_truth.h"

#include <algorithm>
#include <utility>

namespace qtool::sim {

port::StoreSnapshot StoreTruth::snapshot() const {
    port::StoreSnapshot snapshot;
    snapshot.revision = revision_;
    for (const auto& [key, entry] : entries_) {
        snapshot.entries.push_back(entry);
    }
    return snapshot;
}

Result<Revision> StoreTruth::apply(const port::StoreTransaction& transaction, SessionId session) {
    for (const port::StoreGuard& guard : transaction.guards) {
        const auto entry = entries_.find(guard.key);
        const Revision found = entry == entries_.end() ? Revision{0} : entry->second.mod_revision;
        if (found != guard.mod_revision) {
            return Error(Code::store_conflict, "the guard on " + guard.key + " does not hold");
        }
    }
    const bool is_ephemeral =
        std::any_of(transaction.writes.begin(), transaction.writes.end(),
                    [](const port::StoreWrite& write) { return write.ephemeral; });
    if (is_ephemeral && !is_open(session)) {
        return Error(Code::store_unavailable, "the session is over");
    }
    revision_ = revision_ + world_.random().between(1, 3);
    for (const port::StoreWrite& write : transaction.writes) {
        this->write(write, session);
    }
    world_.trace("store_applied", static_cast<uint64_t>(revision_.value()));
    tell({revision_, transaction.writes});
    return revision_;
}

void StoreTruth::write(const port::StoreWrite& write, SessionId session) {
    if (const auto owner = owners_.find(write.key); owner != owners_.end()) {
        sessions_.at(owner->second).keys.erase(write.key);
        owners_.erase(owner);
    }
    if (!write.value) {
        entries_.erase(write.key);
        return;
    }
    entries_[write.key] = {write.key, *write.value, revision_};
    if (write.ephemeral) {
        owners_[write.key] = session;
        sessions_.at(session).keys.insert(write.key);
    }
}

void StoreTruth::tell(port::StoreChange change) {
    for (StoreWatcher* watcher : std::vector<StoreWatcher*>(watchers_)) {
        watcher->on_applied(change);
    }
}

// ---- sessions -----------------------------------------------------------------------------------

SessionId StoreTruth::open_session(Duration ttl) {
    const SessionId id = next_session_++;
    sessions_[id] = {ttl, world_.now() + ttl, {}};
    if (is_shared()) {
        expire_later(id);
    }
    return id;
}

bool StoreTruth::keep_alive(SessionId id) {
    const auto session = sessions_.find(id);
    if (session == sessions_.end()) {
        return false;
    }
    session->second.expires = world_.now() + session->second.ttl;
    return true;
}

void StoreTruth::expire_later(SessionId id) {
    world_.at(std::max(world_.now(), sessions_.at(id).expires) + Duration(1), [this, id] {
        const auto session = sessions_.find(id);
        if (session == sessions_.end()) {
            return;
        }
        if (is_down_) { // nobody counts; set_down gives everyone a whole time again
            session->second.expires = world_.now() + session->second.ttl;
        }
        if (world_.now() < session->second.expires) {
            expire_later(id);
            return;
        }
        world_.hit(Fault::session_expired);
        end_session(id);
    });
}

void StoreTruth::end_session(SessionId id) {
    const auto found = sessions_.find(id);
    if (found == sessions_.end()) {
        return;
    }
    const std::set<std::string> keys = found->second.keys;
    world_.trace("session_end", id, keys.size());
    if (!keys.empty()) {
        revision_ = revision_ + 1;
        port::StoreChange change{revision_, {}};
        for (const std::string& key : keys) {
            change.writes.push_back({key, std::nullopt});
            write(change.writes.back(), 0);
        }
        tell(std::move(change));
    }
    sessions_.erase(id);
}

void StoreTruth::end_all_sessions() {
    while (!sessions_.empty()) {
        end_session(sessions_.begin()->first);
    }
}

bool StoreTruth::end_some_session() {
    if (sessions_.empty()) {
        return false;
    }
    auto chosen = sessions_.begin();
    std::advance(chosen, world_.random().below(sessions_.size()));
    world_.hit(Fault::session_revoked);
    end_session(chosen->first);
    return true;
}

// ---- reach --------------------------------------------------------------------------------------

void StoreTruth::set_reachable(HostId host, bool is_reachable) {
    if (!is_reachable) {
        unreachable_.insert(host);
        return;
    }
    unreachable_.erase(host);
    for (StoreWatcher* watcher : std::vector<StoreWatcher*>(watchers_)) {
        if (watcher->host() == host && this->is_reachable(host)) {
            watcher->on_reachable();
        }
    }
}

// Who comes back as the leader of the store gives every session its whole time again.
void StoreTruth::set_down(bool is_down) {
    is_down_ = is_down;
    if (is_down) {
        return;
    }
    for (auto& [id, session] : sessions_) {
        session.expires = world_.now() + session.ttl;
    }
    for (StoreWatcher* watcher : std::vector<StoreWatcher*>(watchers_)) {
        if (is_reachable(watcher->host())) {
            watcher->on_reachable();
        }
    }
}

void StoreTruth::end_session_of(const std::string& key) {
    if (const auto owner = owners_.find(key); owner != owners_.end()) {
        end_session(owner->second);
    }
}

bool StoreTruth::must_wait(const port::StoreTransaction& transaction) {
    const auto guard =
        std::find_if(transaction.guards.begin(), transaction.guards.end(),
                     [&](const port::StoreGuard& found) { return found.key == held_live_key_; });
    const bool is_own = std::any_of(transaction.writes.begin(), transaction.writes.end(),
                                    [](const port::StoreWrite& write) { return write.ephemeral; });
    if (held_live_key_.empty() || guard == transaction.guards.end() || is_own ||
        guard->mod_revision == Revision{0}) {
        return false;
    }
    const auto known = entries_.find(held_live_key_);
    if (on_join_) {
        held_until_ = guard->mod_revision;
        if (!std::exchange(on_join_, nullptr)()) {
            held_live_key_.clear();
            return false;
        }
        return true;
    }
    if (guard->mod_revision == held_until_ &&
        (known == entries_.end() || known->second.mod_revision == held_until_)) {
        return true;
    }
    held_live_key_.clear();
    return false;
}

void StoreTruth::heal() {
    held_live_key_.clear();
    on_join_ = nullptr;
    const std::set<HostId> cut = unreachable_;
    for (const HostId host : cut) {
        set_reachable(host, true);
    }
    if (is_down_) {
        set_down(false);
    }
}

} // namespace qtool::sim
