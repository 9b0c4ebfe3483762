// LibraryConsumer: the client library's consumer machine (lib/client) on simulated streams: fetch
// sessions, topic ids, reading ahead. Every record it gives out goes to the checker.
#pragma once

#include "lib/client/consumer.h"
#include "tests/sim/library_links.h"

#include <vector>

namespace qtool::sim {

class LibraryConsumer {
public:
    LibraryConsumer(Client client, std::vector<PartitionPlace> partitions);
    void start();

private:
    void step();
    void take_records();
    void on_error(const Error& error);

    Client client_;
    World& world_;
    std::vector<PartitionPlace> partitions_;
    client::Consumer machine_;
    LibraryLinks links_;
    std::vector<client::ConsumerRecord> records_;
};

} // namespace qtool::sim
