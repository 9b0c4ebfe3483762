// ReplicaAudit: what the disks of all machines hold of one partition, read past the brokers: every
// replica has every batch below the high watermark, byte by byte as the others have it.
#pragma once

#include "tests/sim/sim_device.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtool::sim {

struct ReplicaDisk {
    std::string name; // for people
    Device* device = nullptr;
};

struct AuditedLog {
    size_t leader = 0;                                // which of the replicas
    int64_t start_min = 0;                            // DeleteRecords has told so
    std::function<bool(int64_t offset)> may_start_at; // somebody asked to delete up to there
    int64_t high_watermark = 0;
};

/// What of a log a power loss leaves for certain.
struct DurableLog {
    struct Batch {
        int64_t last_offset = 0;
        uint32_t crc = 0;
    };
    int64_t start = 0;
    int64_t end = 0;
    std::map<int64_t, Batch> batches; // by base offset
};
DurableLog read_durable(const Device& device, const std::string& partition);

/// Nothing: all is well. `partition`: as its directory is named, not compacted. Where logs start:
/// DeleteRecords moves the leader's log start at once and the others' with their next fetches
/// (KIP-107), so a leader that dies in between leaves replicas with a higher start than the next
/// leader's. Each holds all from its own start on, which is one somebody asked for; followers do
/// not stay behind their leader's; and that one is above all that was told to be deleted.
std::optional<std::string> compare_replicas(const std::string& partition,
                                            const std::vector<ReplicaDisk>& replicas,
                                            const AuditedLog& expected);

} // namespace qtool::sim
