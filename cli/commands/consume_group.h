// qtool consume -g: reading as a member of a consumer group. At least once: an offset is committed
// when the records before it were written to stdout, and not when the reader of stdout left then.
#pragma once

#include "cli/context.h"
#include "cli/input/position.h"
#include "cli/output/record_printer.h"
#include "lib/client/blocking.h"

#include <string>
#include <vector>

namespace qtool::cli {

struct GroupReadingOptions {
    std::string group;
    std::vector<std::string> topics;
    Position from;      // where nothing is committed
    uint64_t count = 0; // 0: no limit
    bool exit_at_end = false;
    bool is_read_committed = false; // as the consumer is configured
};

/// Joins, prints until told to stop, commits and leaves.
ExitCode read_as_member(Context& context, client::BlockingConsumer& consumer,
                        const GroupReadingOptions& options, const RecordPrinter& printer);

/// Whoever reads our stdout has closed it; seen at once, or within `wait`.
bool is_reader_gone(Duration wait = Duration::zero());

} // namespace qtool::cli
