// Coordination: the groups and transactions of one seed, as far as it has any: which there are,
// their start and end, and their audits.
#pragma once

#include "lib/config/broker_config.h"
#include "tests/sim/group_log.h"
#include "tests/sim/group_member.h"
#include "tests/sim/workload.h"

#include <memory>
#include <vector>

namespace qtool::sim {

class Coordination {
public:
    /// Timeouts far below what options allow, as simulated time is dear.
    static void configure(World& world, config::BrokerConfig& config);

    /// `partitions`: what groups read.
    Coordination(Client client, std::vector<PartitionPlace> partitions);
    void start();
    /// The faults are over: members stay from now on.
    void finish();
    /// Every group is stable and has read and committed all there is.
    [[nodiscard]] bool is_done() const;
    /// What is not done, for people.
    [[nodiscard]] std::string describe() const;

private:
    struct Group {
        std::unique_ptr<GroupLog> log;
        std::vector<std::unique_ptr<GroupMember>> members;
        std::vector<PartitionPlace> partitions;
    };
    void make_group(bool is_classic);

    Client client_;
    World& world_;
    std::vector<PartitionPlace> partitions_;
    std::vector<Group> groups_;
};

} // namespace qtool::sim
