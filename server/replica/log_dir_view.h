// LogDirView: a log directory of this broker as both doors and the metrics show it. A plain value.
#pragma once

#include "lib/base/error.h"
#include "lib/base/uuid.h"

#include <cstdint>
#include <optional>
#include <string>

namespace qtool::replica {

struct LogDirView {
    std::string path;
    Uuid id;                      // of the directory; zero when it did not open
    std::optional<Error> failure; // it is offline; then the numbers below say nothing
    uint64_t free_bytes = 0;      // for us, without what the system keeps for root
    uint64_t total_bytes = 0;     // 0: not known
    uint64_t reserve_bytes = 0;   // below it produce is refused
    bool is_low = false;          // it is refused now
    uint32_t partition_count = 0;
};

} // namespace qtool::replica
