// qtool's exit status: one table, the same for every command, for scripts to rely on.
#pragma once

#include "lib/base/error.h"

#include <optional>

namespace qtool::cli {

enum class ExitCode : int {
    done = 0,           // all done
    failed = 1,         // failed, wholly or in part
    usage = 2,          // the command line is wrong
    unreachable = 3,    // no broker answers, or time ran out
    does_not_exist = 4, // topic, partition, ...
    exists_already = 5,
    not_allowed = 6,
    data_damaged = 7,
    check_failed = 8, // unhealthy, drift
};

/// The status a command ends with when this error stopped it.
ExitCode exit_code(Code code) noexcept;

/// The status of several results: done when all are; the one they share; else failed.
ExitCode combine(ExitCode a, ExitCode b) noexcept;
/// The same for results that come one by one; nothing before the first.
void fold(std::optional<ExitCode>& all, ExitCode one) noexcept;

} // namespace qtool::cli
