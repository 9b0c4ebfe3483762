// Directory: what the clients of a cluster know of its brokers: who leads which partition. As real
// clients do, it asks any broker for metadata, at intervals and when somebody found it wrong; so it
// is mostly right and sometimes old. One for all clients of a world.
#pragma once

#include "tests/sim/client_line.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace qtool::sim {

class Directory {
public:
    Directory(World& world, Network& network, std::vector<std::string> addresses);
    void start();
    /// What it says was wrong: it asks again soon.
    void refresh();
    /// Of the leader; empty: unknown.
    [[nodiscard]] std::string leader(const std::string& topic, int32_t index) const;
    /// Of whoever led before; empty: unknown. Old clients still ask there.
    [[nodiscard]] std::string former_leader(const std::string& topic, int32_t index) const;
    /// Of that leader, from the same answer; -1: unknown.
    [[nodiscard]] int32_t leader_epoch(const std::string& topic, int32_t index) const;
    /// Of some broker, which may be dead.
    [[nodiscard]] std::string any();
    [[nodiscard]] std::string address(int32_t broker) const;
    /// Whether the broker there knows that its session with the store is over: it must not say then
    /// where a log ends. Set by who has the truth.
    std::function<bool(const std::string& address)> is_lease_over;
    /// Whether nobody led that partition after that leader epoch. Set by who has the truth.
    std::function<bool(const std::string& topic, int32_t index, int32_t epoch)> is_latest_epoch;
    [[nodiscard]] const std::vector<std::string>& addresses() const { return addresses_; }

private:
    void ask();

    World& world_;
    std::vector<std::string> addresses_;
    ClientLine line_;
    struct Leader {
        int32_t broker = -1;
        int32_t epoch = -1;
        int32_t former = -1; // broker
    };
    std::map<std::pair<std::string, int32_t>, Leader> leaders_; // of topic and index
    std::map<int32_t, std::string> brokers_;
};

} // namespace qtool::sim
