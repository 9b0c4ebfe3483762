// ReplicaAudit: what the disks of all machines hold of one partition, read past the brokers: every
// replica has every batch below the high watermark, byte by byte as the others have it.
#pragma once

#include "tests/sim/sim_device.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtool::sim {

struct ReplicaDisk {
    std::string name; // for people
    Device* device = nullptr;
};

/// Nothing: all is well. `partition`: as its directory is named; `log_start`: nothing below must be
/// there; `is_whole`: every offset must be there, as in a log that is not compacted.
std::optional<std::string> compare_replicas(const std::string& partition,
                                            const std::vector<ReplicaDisk>& replicas,
                                            int64_t log_start, int64_t high_watermark,
                                            bool is_whole);

} // namespace qtool::sim
