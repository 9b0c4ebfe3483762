// LibraryProducer: the client library's producer machine (lib/client) on simulated streams. What it
// says was delivered is acknowledged; what it says failed must have a reason the faults explain.
#pragma once

#include "lib/client/producer.h"
#include "tests/sim/library_links.h"

#include <optional>
#include <vector>

namespace qtool::sim {

class LibraryProducer {
public:
    LibraryProducer(Client client, std::vector<PartitionPlace> partitions, uint32_t records,
                    Duration interval);
    void start();
    /// All records are taken and delivered.
    [[nodiscard]] bool is_done() const {
        return records_left_ == 0 && machine_.undelivered_count() == 0;
    }

private:
    void tick();
    void step();
    void take_deliveries();
    [[nodiscard]] bool may_give_up(const client::DeliveredBatch& batch) const;

    Client client_;
    World& world_;
    std::vector<PartitionPlace> partitions_;
    client::Producer machine_;
    LibraryLinks links_;
    uint16_t number_;
    uint32_t records_left_;
    Duration interval_;
    std::optional<Value> refused_; // made, but the machine had no metadata or memory for it
    size_t refused_partition_ = 0;
};

} // namespace qtool::sim
