// Forger: somebody who is no broker and fetches in the name of one, as if that replica had what is
// not on any disk of it. Nobody may count such a fetch, or serve it.
#pragma once

#include "tests/sim/workload.h"

#include <cstdint>
#include <vector>

namespace qtool::sim {

class Forger {
public:
    /// Brokers are 1 to `brokers`.
    Forger(Client client, std::vector<PartitionPlace> partitions, int32_t brokers);
    void start();

private:
    void tick();
    void next(ClientLine& line);

    Client client_;
    World& world_;
    ClientLines lines_;
    std::vector<PartitionPlace> partitions_;
    int32_t brokers_;
};

} // namespace qtool::sim
