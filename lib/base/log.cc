#include "lib/base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <ctime>

namespace qtool {

namespace {

std::atomic<LogLevel> level_min{LogLevel::info};
LogSink custom_sink = nullptr;

void append_value(std::string& line, std::string_view value) {
    bool plain = !value.empty();
    for (char c : value) {
        plain = plain && c > ' ' && c != '"' && c != '\\' && c != '=' && c != 0x7f;
    }
    if (plain) {
        line += value;
        return;
    }
    line += '"';
    for (char c : value) {
        if (c == '"' || c == '\\') {
            line += '\\';
            line += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\x%02x",
                          static_cast<unsigned>(static_cast<unsigned char>(c)));
            line += escaped;
        } else {
            line += c;
        }
    }
    line += '"';
}

std::string_view level_name(LogLevel level) {
    switch (level) {
    case LogLevel::debug:
        return "DEBUG";
    case LogLevel::info:
        return "INFO";
    case LogLevel::warn:
        return "WARN";
    case LogLevel::error:
        return "ERROR";
    }
    return "?";
}

void append_now(std::string& line) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm utc{};
    gmtime_r(&now.tv_sec, &utc);
    char text[48];
    const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    line.append(text, size);
    std::snprintf(text, sizeof text, ".%03ldZ ", now.tv_nsec / 1'000'000);
    line += text;
}

} // namespace

void set_log_level(LogLevel level) {
    level_min = level;
}

void set_log_sink(LogSink sink) {
    custom_sink = sink;
}

void log_line(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
    if (level < level_min) {
        return;
    }
    std::string line;
    if (custom_sink == nullptr) {
        append_now(line); // the simulator's sink gets no wall clock: its lines must repeat
    }
    line += level_name(level);
    line += ' ';
    line += event;
    for (const LogField& field : fields) {
        line += ' ';
        line += field.name;
        line += '=';
        append_value(line, field.value);
    }
    if (custom_sink != nullptr) {
        custom_sink(level, line);
        return;
    }
    line += '\n';
    // One write per line keeps lines of several threads whole; a failed write has nowhere to go.
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

} // namespace qtool
