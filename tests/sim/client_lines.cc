#include "tests/sim/workload.h"

#include <algorithm>
#include <utility>

namespace qtool::sim {

namespace {

const std::string kOnlyBroker = "127.0.0.1";

} // namespace

ClientLines::ClientLines(Client client, OnLine next, OnLine on_end)
    : client_(client),
      next_(std::move(next)),
      on_end_(std::move(on_end)) {}

ClientLine& ClientLines::to(const std::string& address) {
    std::unique_ptr<ClientLine>& line = lines_[address];
    if (!line) {
        line = std::make_unique<ClientLine>(
            *client_.world, *client_.network, [this, &line] { next_(*line); },
            [this, &line] { on_end_(*line); });
        line->set_address(address);
    }
    return *line;
}

ClientLine* ClientLines::to_leader(const PartitionPlace& place) {
    if (client_.directory == nullptr) {
        return &to(kOnlyBroker);
    }
    const std::string address = client_.directory->leader(place.topic, place.index);
    return address.empty() ? nullptr : &to(address);
}

ClientLine& ClientLines::to_any() {
    if (client_.directory == nullptr) {
        return to(kOnlyBroker);
    }
    const auto open = std::find_if(lines_.begin(), lines_.end(),
                                   [](const auto& line) { return line.second->is_open(); });
    return open == lines_.end() ? to(client_.directory->any()) : *open->second;
}

void ClientLines::stop() {
    for (const auto& [address, line] : lines_) {
        line->stop();
    }
}

} // namespace qtool::sim
