// Plans of moves: to drain one broker, or to spread replicas and preferred leaders evenly. A plan
// changes nothing; who likes it asks for it with AlterReassignments. Replicas move to live brokers
// that are not cordoned, and a partition never ends in fewer racks than it was in. Partitions that
// are being moved already, or have no leader to copy from, are left out. Pure; for any thread.
#pragma once

#include "lib/base/result.h"
#include "server/metadata/image.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qtool::metadata {

struct PlannedMove {
    std::string topic;
    int32_t partition = 0;
    std::vector<BrokerId> from; // as assigned now
    std::vector<BrokerId> to;   // preferred leader first
};

struct Plan {
    std::vector<PlannedMove> moves; // by topic and partition
    /// "orders-3": partitions of a drained broker without a leader, or for which no other broker is
    /// left.
    std::vector<std::string> stuck;
};

/// Errors: resource_not_found (no such broker).
Result<Plan> plan_drain(const Image& image, BrokerId broker);

/// Fewest moves that leave no two brokers further apart than one replica, and then one preferred
/// leader, as far as racks allow.
Plan plan_rebalance(const Image& image);

} // namespace qtool::metadata
