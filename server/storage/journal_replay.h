// What a start does with the flush journals (flush_journal.h) that a crash left.
#pragma once

#include "lib/base/result.h"
#include "server/port/disk.h"

#include <string>

namespace qtool::storage {

/// Puts what the journals of a log directory hold back into segments that lack it, durably, and
/// removes the journals. Before any log there is opened. A partition or segment that is gone, or is
/// another's by now, is left out. Errors: storage_io, storage_full; unsupported_version.
Result<void> replay_journals(port::Disk& disk, const std::string& log_directory);

} // namespace qtool::storage
