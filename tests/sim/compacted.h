// Compacted: the part of a scenario that is about compacted topics, in some of the seeds: topics,
// producers and readers of keys, audits.
#pragma once

#include "server/broker/broker.h"
#include "tests/sim/keyed_reader.h"

#include <deque>
#include <memory>

namespace qtool::sim {

class Compacted {
public:
    explicit Compacted(World& world);
    /// Logs roll and are compacted often; nothing in seeds without compacted topics.
    void configure(config::BrokerConfig& config);
    /// Makes topics, for the operator to create, and clients.
    std::vector<Operator::Topic> make(Client client);
    void start();
    [[nodiscard]] bool is_done() const; // the producers
    /// A reader of all, to be waited for; nullptr in seeds without compacted topics.
    KeyedReader* begin_audit();

private:
    World& world_;
    bool is_on_;
    Client client_;
    std::deque<KeyedLog> logs_;
    std::vector<KeyedPlace> places_;
    std::vector<std::unique_ptr<KeyedProducer>> producers_;
    std::vector<std::unique_ptr<KeyedReader>> readers_;
    std::vector<std::unique_ptr<KeyedReader>> audits_;
};

} // namespace qtool::sim
