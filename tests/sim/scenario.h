// Scenario: one seed from start to end: which topics, clients and options, which faults when, and
// what is checked when the faults are over.
#pragma once

#include "tests/sim/faults.h"

#include <cstdint>
#include <optional>
#include <string>

namespace qtool::sim {

struct RunOptions {
    bool print_trace = false;
    Plant plant = Plant::none;
};

struct RunResult {
    std::optional<std::string> violation;
    uint64_t trace_hash = 0;
    uint64_t events = 0;
    uint64_t records_acknowledged = 0;
    uint64_t records_read = 0;
    double simulated_seconds = 0;
    FaultCounts faults{};
};

RunResult run_seed(uint64_t seed, const RunOptions& options);

} // namespace qtool::sim
