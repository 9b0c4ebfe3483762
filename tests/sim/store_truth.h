// StoreTruth: the metadata store that all brokers of a world share: what is in it, whose sessions
// live, and who must be told of changes. It survives everything. Its time is simulated time.
//
// A machine may be cut off from it: then nothing goes there and nothing comes back until it is
// reachable again. In an outage of the store itself, moreover, no session ends.
#pragma once

#include "server/port/metadata_store.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_world.h"

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace qtool::sim {

using SessionId = uint64_t; // 0: none

/// Whoever watches: the store port of a process.
class StoreWatcher {
public:
    virtual ~StoreWatcher() = default;
    virtual void on_applied(const port::StoreChange& change) = 0;
    /// The machine can talk to the store again.
    virtual void on_reachable() = 0;
    [[nodiscard]] virtual HostId host() const = 0;
};

class StoreTruth {
public:
    /// `embedded`: the store of one process, as SQLite is; else one that many share.
    enum class Kind : uint8_t { embedded, shared };
    StoreTruth(World& world, Kind kind) : world_(world), kind_(kind) {}

    [[nodiscard]] bool is_shared() const { return kind_ == Kind::shared; }
    [[nodiscard]] port::StoreSnapshot snapshot() const;
    [[nodiscard]] Revision revision() const { return revision_; }
    /// Applies it and tells all watchers, unless a guard does not hold.
    Result<Revision> apply(const port::StoreTransaction& transaction, SessionId session);

    SessionId open_session(Duration ttl);
    /// False: it is over.
    bool keep_alive(SessionId session);
    [[nodiscard]] bool is_open(SessionId session) const { return sessions_.count(session) > 0; }
    void end_session(SessionId session);
    void end_all_sessions();

    /// A bug of the ports: see Plant::lost_answer.
    void set_sends_again() { sends_again_ = true; }
    [[nodiscard]] bool sends_again() const { return sends_again_; }

    /// What the process of that host was told of last.
    void note_told(HostId host, Revision revision) { told_[host] = revision; }
    [[nodiscard]] Revision told(HostId host) const {
        const auto at = told_.find(host);
        return at == told_.end() ? Revision{0} : at->second;
    }

    /// Until when the process of that host was told that its session lasts.
    void note_lease(HostId host, MonoTime until) { leases_[host] = until; }
    [[nodiscard]] MonoTime lease_until(HostId host) const {
        const auto at = leases_.find(host);
        return at == leases_.end() ? MonoTime{} : at->second;
    }

    void watch(StoreWatcher* watcher) { watchers_.push_back(watcher); }
    void unwatch(StoreWatcher* watcher) { std::erase(watchers_, watcher); }

    // Faults.
    void set_reachable(HostId host, bool is_reachable);
    void set_down(bool is_down);
    [[nodiscard]] bool is_reachable(HostId host) const {
        return !is_down_ && unreachable_.count(host) == 0;
    }
    /// Ends the session of any process, though it is alive and renewed it in time. False: none.
    bool end_some_session();
    void heal();
    /// Calls `on_join` when the next transaction arrives that a broker has to live for, as it was
    /// when that was decided: the leader of a partition takes it into the ISR. True: the
    /// transaction is late, and arrives when that broker has registered again.
    void hold_join(const std::string& live_key, std::function<bool()> on_join) {
        held_live_key_ = live_key;
        on_join_ = std::move(on_join);
    }
    [[nodiscard]] bool must_wait(const port::StoreTransaction& transaction);
    /// Of whoever wrote that ephemeral key.
    void end_session_of(const std::string& key);

    [[nodiscard]] const std::map<std::string, port::StoreEntry>& entries() const {
        return entries_;
    }

private:
    struct Session {
        Duration ttl{};
        MonoTime expires{};
        std::set<std::string> keys;
    };
    void expire_later(SessionId id);
    void write(const port::StoreWrite& write, SessionId session);
    void tell(port::StoreChange change);

    World& world_;
    Kind kind_;
    std::map<std::string, port::StoreEntry> entries_;
    Revision revision_;
    SessionId next_session_ = 1;
    std::map<SessionId, Session> sessions_;
    std::map<std::string, SessionId> owners_; // of ephemeral keys
    std::map<HostId, MonoTime> leases_;
    std::map<HostId, Revision> told_;
    std::vector<StoreWatcher*> watchers_;
    std::set<HostId> unreachable_;
    bool is_down_ = false;
    bool sends_again_ = false;
    std::string held_live_key_; // see hold_join; empty: none
    std::function<bool()> on_join_;
    Revision held_until_; // the key's revision then, until it has another
};

} // namespace qtool::sim
