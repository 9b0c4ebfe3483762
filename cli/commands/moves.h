// Moves of replicas, carried out: some partitions at a time, with progress on stderr.
#pragma once

#include "cli/context.h"

#include <cstddef>
#include <vector>

namespace qtool::cli {

/// TOPIC PARTITION FROM TO, and what is stuck.
std::string describe_plan(const admin::MovePlan& plan);

/// Starts the moves and waits until all are done, `at_once` of them under way at a time. A stop
/// request ends the waiting; what is under way goes on in the cluster.
ExitCode carry_out(Context& context, const std::vector<admin::ReplicaMove>& moves, size_t at_once);

} // namespace qtool::cli
