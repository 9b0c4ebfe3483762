// The log directories as doors and metrics see them. Any core, with its own disk port.
#pragma once

#include "lib/base/time.h"
#include "server/port/disk.h"
#include "server/replica/log_dir_view.h"
#include "server/storage/log_dirs.h"

#include <vector>

namespace qtool::broker {

/// Looks at the free space of each first, if nobody did within the last second.
std::vector<replica::LogDirView> view_log_dirs(const storage::LogDirs& dirs, port::Disk& disk,
                                               MonoTime now);

} // namespace qtool::broker
