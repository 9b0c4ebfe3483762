// SeedProcess: a run of one cluster seed in a process of its own, so that a broker's assertion, a
// crash or a loop without end is a result like others and ends no other seed.
#pragma once

#include "tests/sim/cluster_scenario.h"

#include <sys/types.h>

#include <cstdint>

namespace qtool::sim {

class SeedProcess {
public:
    /// Begins to run it. `quiet`: what it prints is dropped.
    SeedProcess(uint64_t seed, const ClusterRunOptions& options, bool quiet);
    ~SeedProcess();
    SeedProcess(SeedProcess&& from) noexcept;
    SeedProcess& operator=(SeedProcess&&) = delete;

    [[nodiscard]] uint64_t seed() const { return seed_; }
    /// Waits for it; once.
    ClusterRunResult result();

private:
    uint64_t seed_;
    pid_t pid_ = -1; // -1: waited for
    int fd_ = -1;
};

/// A short plan of a seed that fails: the indexes of faults without which it would pass. Empty: it
/// fails without any.
std::vector<size_t> shrink_seed(uint64_t seed, const RunOptions& options, size_t fault_count);

} // namespace qtool::sim
