// How often the broker has started with a log directory. A copy of it that is put back shows by a
// number that was there before, so a start has to be counted on a full disk, too: a spare file has
// its bytes already and is overwritten where the file proper cannot be replaced. Format:
// server/storage/README.md.
#pragma once

#include "lib/base/result.h"
#include "server/port/disk.h"

#include <cstdint>
#include <string>

namespace qtool::storage {

/// The latest that was written; 0: none ever was. Errors: storage_io, storage_full (no descriptor),
/// storage_damaged, and those of read_text_file.
Result<int64_t> read_start_count(port::Disk& disk, const std::string& directory);
/// Durable when it returns. `count` is not negative and rises. After an error, and after a crash
/// meanwhile, the count is this one or the one before. Errors: storage_io, storage_full.
Result<void> write_start_count(port::Disk& disk, const std::string& directory, int64_t count);

} // namespace qtool::storage
