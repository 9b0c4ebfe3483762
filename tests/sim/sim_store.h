// SimStore: the metadata store port of one process, on the StoreImage of the machine, which
// survives everything: a transaction is durable when it is applied. The answer and the change come
// later, each in its own time, or never when the process dies meanwhile.
#pragma once

#include "server/port/metadata_store.h"
#include "tests/sim/sim_world.h"

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace qtool::sim {

struct StoreImage {
    std::map<std::string, port::StoreEntry> entries;
    Revision revision;
    std::set<std::string> ephemeral; // keys of the session of the one process
};

class SimStore final : public port::MetadataStore {
public:
    /// Runs an action as an event of the metadata core.
    using Deliver = std::function<void(std::function<void()>)>;
    SimStore(World& world, StoreImage& image, std::shared_ptr<const bool> alive, Deliver deliver)
        : world_(world),
          image_(image),
          alive_(std::move(alive)),
          deliver_(std::move(deliver)) {
        drop_ephemeral();
    }

    void set_events(port::MetadataStoreEvents* events) override { events_ = events; }
    void load() override;
    void commit(port::StoreTransaction transaction, Token token) override;
    [[nodiscard]] size_t max_writes() const override { return std::numeric_limits<size_t>::max(); }
    /// A session never ends before its process.
    void open_session(Duration ttl) override;
    void close_session() override;

private:
    port::StoreChange drop_ephemeral();
    void tell_later(port::StoreChange change);
    void apply(const port::StoreTransaction& transaction, Token token);
    /// Calls `action` unless the process is dead by then.
    void later(Duration delay, std::function<void()> action);

    World& world_;
    StoreImage& image_;
    std::shared_ptr<const bool> alive_;
    Deliver deliver_;
    port::MetadataStoreEvents* events_ = nullptr;
    bool has_session_ = false;
    MonoTime commit_order_{}; // when the last commit arrives; those behind it come later
    MonoTime watch_order_{};  // ... when the last change is told
};

} // namespace qtool::sim
