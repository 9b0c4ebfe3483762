// What all cores of one broker share: constant after start, or atomic.
#pragma once

#include "lib/base/ids.h"
#include "lib/base/time.h"
#include "lib/config/broker_config.h"
#include "server/metrics/counters.h"
#include "server/metrics/store_counters.h"
#include "server/port/net.h"
#include "server/quota/meter.h"
#include "server/storage/log_dirs.h"

#include <atomic>
#include <memory>
#include <vector>

namespace qtool::broker {

/// What a listener accepts; the tag that Net::listen carries.
enum class ListenerKind : uint8_t { kafka_and_http, kafka_only, http_only };

/// What a core tells the others of itself.
struct CoreStatus {
    std::atomic<uint64_t> connections{0};   // open, and on their way to it
    std::atomic<Revision::rep> revision{0}; // of the image it has applied
};

struct Shared {
    config::BrokerConfig config; // of the start; what was set since is in the image
    uint16_t core_count = 1;     // data cores; the metadata core has this number as its CoreId
    std::vector<std::unique_ptr<metrics::CoreCounters>> counters; // one per data core
    std::vector<std::unique_ptr<CoreStatus>> cores;               // one per data core
    storage::LogDirs* log_dirs = nullptr;
    const metrics::StoreCounters* store_counters = nullptr; // nullptr: it does not count
    size_t store_writes_max = SIZE_MAX;        // of one transaction of the metadata store
    std::unique_ptr<quota::Meter> quotas;      // made before the cores start
    std::atomic<uint64_t> connections_open{0}; // for max.connections over all cores
    const std::shared_ptr<std::atomic<uint32_t>> fetch_sessions_open =
        std::make_shared<std::atomic<uint32_t>>(0);
    std::atomic<bool> serving{false}; // what /healthz says
    /// Until when the session with the metadata store holds for sure, as MonoTime in its ticks; set
    /// by the metadata core. Never ends on a store of this process alone.
    std::atomic<MonoTime::rep> session_valid_until{kMonoNever.time_since_epoch().count()};
    WallTime started_at{};

    [[nodiscard]] CoreId metadata_core() const { return CoreId(core_count); }
    [[nodiscard]] MonoTime session_end() const {
        return MonoTime(MonoTime::duration(session_valid_until.load(std::memory_order_acquire)));
    }
    /// Consecutive partitions of a topic go to different cores, so that few partitions spread too.
    [[nodiscard]] CoreId owner(const PartitionKey& key) const {
        const auto start = static_cast<uint32_t>(std::hash<Uuid>()(key.topic_id));
        const auto index = static_cast<uint32_t>(key.index.value());
        return CoreId(static_cast<uint16_t>((start + index) % core_count));
    }
};

} // namespace qtool::broker
