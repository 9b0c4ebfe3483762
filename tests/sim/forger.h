// Forger: somebody who is no broker and fetches in the name of one, as if that replica had what is
// not on any disk of it. Nobody may count such a fetch, or serve it: neither one without a broker
// epoch, nor one with an epoch that is over (KIP-903).
#pragma once

#include "lib/protocol/msg/fetch.h"
#include "server/metadata/image.h"
#include "tests/sim/workload.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace qtool::sim {

class Forger {
public:
    /// Brokers are 1 to `brokers`.
    Forger(Client client, std::vector<PartitionPlace> partitions, int32_t brokers);
    void start();
    using LatestImage = std::function<metadata::ImageRef()>;
    /// From now on it names epochs before those of the image, which all brokers must know by now,
    /// of brokers that live on; nullptr: it goes no further.
    void name_old_epochs(metadata::ImageRef image, LatestImage latest);

private:
    void tick();
    void next(ClientLine& line);
    void ask_without_epoch(ClientLine& line);
    void ask_with_old_epoch(ClientLine& line);
    /// `on_served`: the first partition whose records, or end, it was told.
    void ask(ClientLine& line, const protocol::FetchRequest& request, int16_t version,
             std::function<void(const std::string& partition)> on_served);
    [[nodiscard]] bool lives_on(BrokerId broker) const;

    Client client_;
    World& world_;
    ClientLines lines_;
    std::vector<PartitionPlace> partitions_;
    int32_t brokers_;
    bool is_naming_ = false;
    metadata::ImageRef image_; // when it names old epochs
    LatestImage latest_;
};

} // namespace qtool::sim
