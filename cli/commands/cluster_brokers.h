// qtool cluster cordon|uncordon|decommission|forget|rebalance.
#pragma once

#include "cli/command.h"

namespace qtool::cli {

void add_cluster_brokers(CLI::App& cluster, Run& run);

} // namespace qtool::cli
