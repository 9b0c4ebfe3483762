// Purger: deletes the records of some partitions that it has no more use for, as Kafka Streams does
// with its repartition topics: all that is known to be committed, whenever somebody else leads. So
// the first whom a new leader hears of the latest committed records may be the one that deletes
// them: it must not take them for such as nobody wrote, though it does not know yet what is
// committed (KIP-207).
#pragma once

#include "tests/sim/workload.h"

#include <cstdint>
#include <vector>

namespace qtool::sim {

class Purger {
public:
    Purger(Client client, std::vector<PartitionPlace> partitions);
    void start();
    /// It asks for no more, until it is started again.
    void stop() { is_stopped_ = true; }

private:
    struct Lane { // of one partition
        PartitionPlace place;
        int32_t purged_epoch = -1;      // leader epoch in which it was answered
        const ClientLine* at = nullptr; // where a request is; nullptr: none is
    };
    void tick();
    void ask(ClientLine& line, size_t lane);
    void on_answer(size_t lane, int64_t offset, int32_t epoch, ByteView body);
    void on_end(ClientLine& line);

    Client client_; // of a cluster
    World& world_;
    ClientLines lines_;
    std::vector<Lane> lanes_;
    bool is_stopped_ = true;
    bool is_tick_due_ = false;
};

} // namespace qtool::sim
