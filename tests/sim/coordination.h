// Coordination: the groups and transactions of one seed, as far as it has any: which there are,
// their start and end, and their audits.
#pragma once

#include "lib/config/broker_config.h"
#include "tests/sim/group_log.h"
#include "tests/sim/group_member.h"
#include "tests/sim/txn_producer.h"
#include "tests/sim/txn_reader.h"
#include "tests/sim/workload.h"

#include <memory>
#include <vector>

namespace qtool::sim {

class Coordination {
public:
    /// Timeouts far below what options allow, as simulated time is dear.
    static void configure(World& world, config::BrokerConfig& config);

    /// `partitions`: what groups read.
    Coordination(Client client, std::vector<PartitionPlace> partitions,
                 int16_t replication_factor = 1);
    /// Those it needs beside the partitions it was given.
    [[nodiscard]] const std::vector<Operator::Topic>& topics() const { return topics_; }
    void start();
    /// The faults are over: members stay from now on.
    void finish();
    /// Every group is stable and has read and committed all there is.
    [[nodiscard]] bool is_done() const;
    /// What is not done, for people; empty: all is.
    [[nodiscard]] std::string describe() const;
    /// Begins to read all that transactions wrote, as read_committed readers do.
    void start_audit();
    /// What of it is not read; empty: all is, or there are no transactions.
    [[nodiscard]] std::string audit_left() const;
    void stop_audit();

private:
    struct Group {
        std::unique_ptr<GroupLog> log;
        std::vector<std::unique_ptr<GroupMember>> members;
        std::vector<PartitionPlace> partitions;
    };
    void make_group(bool is_classic);
    void make_transactions(int16_t replication_factor);

    Client client_;
    World& world_;
    std::vector<PartitionPlace> partitions_;
    std::vector<Group> groups_;
    std::vector<Operator::Topic> topics_;
    TxnLog txn_log_;
    std::vector<PartitionPlace> txn_partitions_;
    std::vector<std::unique_ptr<TxnProducer>> txn_producers_;
    std::vector<TxnReader::Group> txn_groups_;
    std::unique_ptr<Producer> plain_producer_; // into the same partitions; may be absent
    std::vector<std::unique_ptr<TxnReader>> txn_readers_;
    std::vector<std::unique_ptr<TxnReader>> audits_;
};

} // namespace qtool::sim
