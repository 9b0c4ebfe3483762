// Broker: composition. It owns the data cores and the metadata core of one broker and is handed
// everything they stand on: ports, log directories, metadata store. It starts no thread; whoever
// runs the ports (server/main.cc on server/uv, tests/sim) calls each core on its own thread.
#pragma once

#include "server/broker/core.h"
#include "server/broker/metadata_core.h"

#include <memory>
#include <vector>

namespace qtool::broker {

class Broker {
public:
    struct Setup {
        config::BrokerConfig config;
        /// One a data core (CoreId 0..N-1), then the metadata core's (CoreId N).
        std::vector<port::CorePorts> ports;
        std::unique_ptr<storage::LogDirs> log_dirs; // opened with the metadata core's disk
        std::unique_ptr<port::MetadataStore> store; // lives on the metadata core
        /// What the store counts, for /metrics; outlive the broker. nullptr: it does not.
        const metrics::StoreCounters* store_counters = nullptr;
        BrokerEvents* events = nullptr; // called on the metadata core
    };
    explicit Broker(Setup setup);
    Broker(const Broker&) = delete;
    Broker& operator=(const Broker&) = delete;

    /// Where the ports of that core deliver.
    port::CoreEvents& events_of(CoreId core);
    /// On that core's thread, once, before any event. A turn end follows.
    void start(CoreId core);
    /// On the metadata core: stops gracefully; BrokerEvents::on_ended follows. Idempotent. A turn
    /// end follows.
    void begin_stop() { metadata_->begin_stop(); }

private:
    std::unique_ptr<storage::LogDirs> log_dirs_;
    std::unique_ptr<port::MetadataStore> store_;
    Shared shared_;
    std::vector<std::unique_ptr<Core>> cores_;
    std::unique_ptr<MetadataCore> metadata_;
};

} // namespace qtool::broker
