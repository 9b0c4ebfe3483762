// Log lines for operators: one event with named fields, on stderr. Never one per record.
//
//   log_line(LogLevel::warn, "segment_damaged", {{"path", path}, {"position", position}});
//
// prints  2026-01-31T12:00:00.123Z WARN segment_damaged path=/data/t-0/0.log position=4096
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

namespace qtool {

enum class LogLevel : uint8_t { debug, info, warn, error };

/// A named value of a log line. Text with blanks, quotes or control bytes is quoted and escaped.
struct LogField {
    std::string_view name;
    std::string value;

    LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
    LogField(std::string_view n, const std::string& v) : name(n), value(v) {}
    LogField(std::string_view n, const char* v) : name(n), value(v) {}
    template <class T>
    requires std::is_integral_v<T> LogField(std::string_view n, T v)
        : name(n),
          value(std::to_string(v)) {}
};

/// Lines below this level are dropped. May be called on any thread.
void set_log_level(LogLevel level);

/// The sink gets finished lines without newline; nullptr restores stderr. The simulator sets one
/// so that runs stay silent and the trace stays the same.
using LogSink = void (*)(LogLevel level, std::string_view line);
void set_log_sink(LogSink sink);

void log_line(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);

} // namespace qtool
