// How log lines look, and how many of one kind there may be. Of the process, as the level is.
#pragma once

#include "lib/base/log.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace qtool {

/// text:  2026-01-31T12:00:00.123Z WARN segment_damaged path=/data/t-0/0.log position=4096
/// json:  {"time":"2026-01-31T12:00:00.123Z","level":"warn","event":"segment_damaged",
///         "path":"/data/t-0/0.log","position":"4096"}   on one line; all values are strings
enum class LogFormat : uint8_t { text, json };

/// May be called on any thread.
void set_log_format(LogFormat format);

/// One line without its end. `time` is empty: the line has none.
std::string format_log_line(LogFormat format, std::string_view time, LogLevel level,
                            std::string_view event, std::initializer_list<LogField> fields,
                            uint64_t suppressed);

/// Lines of one event a second; what is beyond is counted, and the next line of that event that
/// passes says how many there were: suppressed=N. A disk that fails under load cannot fill another.
inline constexpr uint32_t kLogLinesPerSecondMax = 100;

/// Counts lines by event. Any thread; exact for one, near enough for several. Events share a slot
/// when their hashes meet: then they share the limit.
class LogLimiter {
public:
    /// Nothing: too many. Else how many were suppressed since the last that passed.
    std::optional<uint64_t> pass(std::string_view event, int64_t second);

private:
    struct Slot {
        std::atomic<int64_t> second{0};
        std::atomic<uint32_t> lines{0};
        std::atomic<uint64_t> suppressed{0};
    };
    std::array<Slot, 1024> slots_;
};

} // namespace qtool
