// ClusterFaults: makes the faults of a plan happen to the machines, links and store of a cluster.
#pragma once

#include "tests/sim/checker.h"
#include "tests/sim/fault_plan.h"
#include "tests/sim/sim_machine.h"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace qtool::sim {

class ClusterFaults {
public:
    struct Setup {
        World* world = nullptr;
        Network* network = nullptr;
        StoreTruth* store = nullptr;
        Checker* checker = nullptr;
        const std::vector<std::unique_ptr<Machine>>* machines = nullptr;
        std::function<bool()> is_settled;             // all brokers serve and every ISR is full
        std::function<bool(BrokerId)> is_settled_but; // ... but for that one, which leads nothing
        std::function<bool()> is_replicated;          // no partition has one replica only
        std::function<bool(Machine&)> rot;            // flips a bit there; false: there is none
        std::function<void(const Machine&)> on_replaced; // the disk of it
        /// Of a partition that `number` chooses among those that more than one replica must
        /// confirm, the leader now; kNoBroker: there is none.
        std::function<BrokerId(uint32_t number)> leader_of;
    };
    explicit ClusterFaults(Setup setup);

    /// What has a length ends by itself.
    void begin(const PlannedFault& fault);
    /// False: a disk was replaced, and its broker is not back yet.
    [[nodiscard]] bool may_anybody_go() const;

private:
    using LinkList = std::vector<std::pair<HostId, HostId>>;
    void cut(const LinkList& links, Duration length);
    LinkList around(HostId host, bool clients_too);
    LinkList between_all();
    LinkList between_halves(uint32_t bits);
    void cut_store(HostId host, Duration length);
    void break_sync(Machine& machine);
    /// False: not now.
    bool replace_disk(Machine& machine, bool is_empty);
    void replace_as_it_joins(uint16_t broker);
    bool replace_joining(uint16_t broker);
    [[nodiscard]] bool will_somebody_go(const Machine* except = nullptr) const;
    void restore_backup(Machine& machine, MonoTime limit);
    void rot(Machine& machine, MonoTime limit);
    void flap_back(uint32_t number);
    void lose_power_at_cut(Machine& machine, uint32_t amount);
    [[nodiscard]] bool is_quiet() const;
    void kill_others_when_back(Machine& machine, MonoTime limit);
    [[nodiscard]] bool may_begin(PlannedFault::Kind kind) const;
    void note_lasting(Duration length);
    void roll(size_t index);
    void roll_on(size_t index, MonoTime limit);

    World& world_;
    Network& network_;
    StoreTruth& store_;
    Checker& checker_;
    const std::vector<std::unique_ptr<Machine>>& machines_;
    std::function<bool()> is_settled_;
    std::function<bool(BrokerId)> is_settled_but_;
    std::function<bool()> is_replicated_;
    std::function<bool(Machine&)> rot_;
    std::function<void(const Machine&)> on_replaced_;
    std::function<BrokerId(uint32_t)> leader_of_;
    bool has_rotten_ = false;     // a bit flipped; nobody knows when that is repaired
    Machine* replaced_ = nullptr; // the disk of it was, last
    uint32_t lasting_ = 0;        // cuts, pauses and the like under way
};

} // namespace qtool::sim
