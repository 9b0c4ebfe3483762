// Cluster scenario: one seed of a cluster from start to end: how many brokers, which topics with
// how many replicas, which clients, what goes wrong and when (fault_plan.h), and what must be true
// when that is over. Checks: checker.h; all replicas hold the same (replica_audit.h).
#pragma once

#include "tests/sim/fault_plan.h"
#include "tests/sim/scenario.h"

#include <optional>
#include <string>
#include <vector>

namespace qtool::sim {

struct ClusterRunOptions {
    RunOptions run;
    /// Of the planned faults, those that happen, by index; nothing: all.
    std::optional<std::vector<size_t>> faults;
};

struct ClusterRunResult {
    RunResult run;
    FaultPlan plan;    // whole
    std::string setup; // one line: brokers, topics
};

ClusterRunResult run_cluster_seed(uint64_t seed, const ClusterRunOptions& options);

/// The plan alone, and the setup in words.
ClusterRunResult describe_cluster_seed(uint64_t seed);

} // namespace qtool::sim
