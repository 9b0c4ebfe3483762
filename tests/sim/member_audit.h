// MemberAudit: who is in sync holds what is committed. Whenever the store is told of another ISR,
// and in turn between, the disks of a partition's members are read past the brokers: what would be
// left of each after a power loss has all that clients know to be committed, in the same batches.
// Eligible leader replicas count as members (KIP-966). So a member that only seems to be one is
// found at once, and not only when it comes to lead.
#pragma once

#include "tests/sim/sim_machine.h"
#include "tests/sim/workload.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace qtool::sim {

class MemberAudit final : private StoreWatcher {
public:
    struct Setup {
        World* world = nullptr;
        StoreTruth* store = nullptr;
        const Checker* checker = nullptr;
        const std::vector<std::unique_ptr<Machine>>* machines = nullptr; // brokers 1, 2, ...
        const std::vector<PartitionPlace>* partitions = nullptr;
    };
    explicit MemberAudit(const Setup& setup);
    ~MemberAudit() override;
    MemberAudit(const MemberAudit&) = delete;
    MemberAudit& operator=(const MemberAudit&) = delete;

    void start();
    /// Its disk was replaced: until it serves again it may be a member of what it has not.
    void on_replaced(const Machine& machine) { replaced_.insert(&machine); }

private:
    using Id = std::pair<TopicId, int32_t>;
    struct Batch {
        int64_t last_offset = 0;
        uint32_t crc = 0;
        std::string whose; // the first replica that was seen with it
    };

    // StoreWatcher
    void on_applied(const port::StoreChange& change) override;
    void on_reachable() override {}
    [[nodiscard]] HostId host() const override { return kClientHost; }

    void tick();
    void print(const Id& id, const metadata::PartitionImage& partition) const;
    void check(const Id& id);
    std::optional<std::string> compare(const PartitionPlace& place, BrokerId broker);

    Setup setup_;
    World& world_;
    std::map<TopicId, std::string> names_;
    std::map<Id, std::vector<BrokerId>> members_;            // the ISR, then the ELR
    std::map<uint16_t, std::map<int64_t, Batch>> committed_; // of a place, by base offset
    std::set<const Machine*> replaced_;
    Id next_{}; // to be looked at
};

} // namespace qtool::sim
