// From a position as people write it to an offset in each partition.
#pragma once

#include "cli/input/position.h"
#include "lib/client/blocking.h"

#include <string>
#include <vector>

namespace qtool::cli {

/// One offset a partition, in that order. A time behind the last record is the end.
/// Errors: unknown_topic, no_broker, timed_out; the detail names the partition.
Result<std::vector<int64_t>> resolve_position(client::BlockingConsumer& consumer,
                                              const std::string& topic,
                                              const std::vector<int32_t>& partitions,
                                              const Position& position, MonoTime deadline);

} // namespace qtool::cli
