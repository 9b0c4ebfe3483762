// SimStore: the metadata store port of one process, on the StoreTruth of its world. A transaction
// is durable when it is applied. The answer and the change come later, each in its own time, or
// never when the process dies meanwhile. Answers are certain: while the store cannot be reached
// they wait.
#pragma once

#include "server/port/metadata_store.h"
#include "tests/sim/store_truth.h"

#include <deque>
#include <functional>
#include <memory>

namespace qtool::sim {

class SimStore final : public port::MetadataStore, private StoreWatcher {
public:
    /// Runs an action as an event of the metadata core.
    using Deliver = std::function<void(std::function<void()>)>;
    SimStore(World& world, StoreTruth& truth, HostId host, std::shared_ptr<const bool> alive,
             Deliver deliver);
    ~SimStore() override { truth_.unwatch(this); }
    SimStore(const SimStore&) = delete;
    SimStore& operator=(const SimStore&) = delete;

    void set_events(port::MetadataStoreEvents* events) override { events_ = events; }
    void load() override;
    void commit(port::StoreTransaction transaction, Token token) override;
    [[nodiscard]] size_t max_writes() const override;
    void open_session(Duration ttl) override;
    void close_session() override;

private:
    struct Commit {
        port::StoreTransaction transaction;
        Token token;
    };
    struct Told {
        MonoTime due;
        port::StoreChange change;
    };

    // StoreWatcher
    void on_applied(const port::StoreChange& change) override;
    void on_reachable() override;
    [[nodiscard]] HostId host() const override { return host_; }

    void note_told(Revision revision);
    void arrive(Commit commit);
    void apply(const Commit& commit);
    void answer(Token token, Result<Revision> result, Duration delay);
    void tell();
    void tell_snapshot();
    void keep_alive();
    void on_renewed(MonoTime valid_until);
    void lose_session();
    /// Calls `action` after `delay` unless the process is dead by then; not before the store can be
    /// reached.
    void from_store(Duration delay, std::function<void()> action);
    /// Now, or when the store can be reached.
    void hear(std::function<void()> action);
    /// After `delay`, without the store.
    void later(Duration delay, std::function<void()> action);

    World& world_;
    StoreTruth& truth_;
    HostId host_;
    std::shared_ptr<const bool> alive_;
    Deliver deliver_;
    port::MetadataStoreEvents* events_ = nullptr;
    MonoTime commit_order_{}; // when the last commit arrives; those behind it come later
    MonoTime watch_order_{};  // ... when the last change is told
    bool is_watching_ = false;
    Revision told_;           // of the last snapshot or change told
    std::deque<Told> untold_; // in order
    bool reload_due_ = false;
    std::deque<Commit> unsent_;                 // while the store cannot be reached
    std::deque<std::function<void()>> unheard_; // answers, likewise

    enum class SessionState : uint8_t { none, opening, open };
    SessionState session_state_ = SessionState::none;
    uint64_t session_attempt_ = 0; // older answers and alarms are void
    SessionId session_ = 0;
    Duration ttl_{};
    MonoTime valid_until_{};
};

} // namespace qtool::sim
