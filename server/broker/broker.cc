#include "server/broker/broker.h"

#include "lib/base/assert.h"

namespace qtool::broker {

Broker::Broker(Setup setup) : log_dirs_(std::move(setup.log_dirs)), store_(std::move(setup.store)) {
    QT_ASSERT(setup.ports.size() >= 2 && log_dirs_ && store_ && setup.events != nullptr);
    shared_.config = std::move(setup.config);
    shared_.core_count = static_cast<uint16_t>(setup.ports.size() - 1);
    shared_.log_dirs = log_dirs_.get();
    shared_.store_counters = setup.store_counters;
    shared_.store_writes_max = store_->max_writes();
    shared_.quotas = std::make_unique<quota::Meter>(shared_.config);
    shared_.started_at = setup.ports.back().clock->wall();
    for (uint16_t i = 0; i < shared_.core_count; i++) {
        shared_.counters.push_back(std::make_unique<metrics::CoreCounters>());
        shared_.cores.push_back(std::make_unique<CoreStatus>());
    }
    for (uint16_t i = 0; i < shared_.core_count; i++) {
        QT_ASSERT(setup.ports[i].id == CoreId(i));
        cores_.push_back(std::make_unique<Core>(setup.ports[i], shared_));
    }
    QT_ASSERT(setup.ports.back().id == shared_.metadata_core());
    metadata_ = std::make_unique<MetadataCore>(setup.ports.back(), shared_, *store_, *setup.events);
}

port::CoreEvents& Broker::events_of(CoreId core) {
    if (core == shared_.metadata_core()) {
        return *metadata_;
    }
    return *cores_.at(core.value());
}

void Broker::start(CoreId core) {
    if (core == shared_.metadata_core()) {
        metadata_->start();
    } else {
        cores_.at(core.value())->start();
    }
}

} // namespace qtool::broker
