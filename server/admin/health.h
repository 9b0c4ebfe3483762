// Health: what is wrong with a cluster, in words, from the image alone.
#pragma once

#include "server/metadata/image.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qtool::admin {

struct Health {
    uint32_t offline_partitions = 0;       // without a live leader
    uint32_t under_min_isr_partitions = 0; // acks=all is refused
    uint32_t under_replicated_partitions = 0;
    /// One sentence each, the worst first; empty: healthy.
    std::vector<std::string> problems;
};

/// `self` answers, so it is taken as live.
Health find_health(const metadata::Image& image, BrokerId self);

} // namespace qtool::admin
