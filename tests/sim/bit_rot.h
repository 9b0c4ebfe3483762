// Bit rot: one bit of what a machine has stored flips, on the medium and in the page cache alike,
// and nobody is told. Only in records that were synced before the last start of its broker: a start
// takes what does not make sense behind that for the torn tail of a crash.
#pragma once

#include "lib/base/ids.h"
#include "tests/sim/sim_device.h"

#include <optional>
#include <string>
#include <vector>

namespace qtool::sim {

struct RotCandidate {
    std::string name; // "t0-1"
    PartitionKey key;
    uint16_t number = 0; // of the checker
};

/// Flips a bit in the records of some batch of one of the candidates; the number of that one.
/// Nothing: none of them has such a batch.
std::optional<uint16_t> flip_stored_bit(World& world, Device& device, const std::string& log_dir,
                                        const std::vector<RotCandidate>& candidates);

} // namespace qtool::sim
