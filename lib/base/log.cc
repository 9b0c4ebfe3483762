#include "lib/base/log.h"

#include "lib/base/log_format.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <functional>

namespace qtool {

namespace {

std::atomic<LogLevel> level_min{LogLevel::info};
std::atomic<LogFormat> format_now{LogFormat::text};
LogSink custom_sink = nullptr;

LogLimiter& limiter() {
    static LogLimiter limiter;
    return limiter;
}

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

std::string_view json_level_name(LogLevel level) {
    switch (level) {
    case LogLevel::debug:
        return "debug";
    case LogLevel::info:
        return "info";
    case LogLevel::warn:
        return "warn";
    case LogLevel::error:
        return "error";
    }
    return "?";
}

// RFC 8259. Bytes that are no ASCII go out as they came when all of them are UTF-8; else each
// becomes an escape, so that a line is JSON whatever a client or a disk put into it.
bool is_utf8(std::string_view value) {
    size_t more = 0;
    unsigned char low = 0x80; // bounds of the next byte: no overlong forms, no surrogates
    unsigned char high = 0xbf;
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (more > 0) {
            if (byte < low || byte > high) {
                return false;
            }
            more--;
            low = 0x80;
            high = 0xbf;
        } else if (byte >= 0xc2 && byte <= 0xdf) {
            more = 1;
        } else if (byte >= 0xe0 && byte <= 0xef) {
            more = 2;
            low = byte == 0xe0 ? 0xa0 : 0x80;
            high = byte == 0xed ? 0x9f : 0xbf;
        } else if (byte >= 0xf0 && byte <= 0xf4) {
            more = 3;
            low = byte == 0xf0 ? 0x90 : 0x80;
            high = byte == 0xf4 ? 0x8f : 0xbf;
        } else if (byte >= 0x80) {
            return false;
        }
    }
    return more == 0;
}

void append_json(std::string& line, std::string_view value) {
    const bool keep = is_utf8(value);
    line += '"';
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            line += '\\';
            line += c;
        } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !keep)) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(byte));
            line += escaped;
        } else {
            line += c;
        }
    }
    line += '"';
}

std::string time_text(const timespec& now) {
    tm utc{};
    gmtime_r(&now.tv_sec, &utc);
    char text[48];
    const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    std::string time(text, size);
    std::snprintf(text, sizeof text, ".%03ldZ", now.tv_nsec / 1'000'000);
    return time + text;
}

} // namespace

void set_log_level(LogLevel level) {
    level_min = level;
}

void set_log_sink(LogSink sink) {
    custom_sink = sink;
}

void set_log_format(LogFormat format) {
    format_now = format;
}

std::string format_log_line(LogFormat format, std::string_view time, LogLevel level,
                            std::string_view event, std::initializer_list<LogField> fields,
                            uint64_t suppressed) {
    std::string line;
    if (format == LogFormat::json) {
        const auto put = [&](std::string_view name, std::string_view value) {
            line += line.empty() ? '{' : ',';
            append_json(line, name);
            line += ':';
            append_json(line, value);
        };
        if (!time.empty()) {
            put("time", time);
        }
        put("level", json_level_name(level));
        put("event", event);
        for (const LogField& field : fields) {
            put(field.name, field.value);
        }
        if (suppressed > 0) {
            put("suppressed", std::to_string(suppressed));
        }
        return line + '}';
    }
    if (!time.empty()) {
        line.append(time).append(" ");
    }
    line.append(level_name(level)).append(" ").append(event);
    const auto put = [&](std::string_view name, std::string_view value) {
        line.append(" ").append(name).append("=");
        append_value(line, value);
    };
    for (const LogField& field : fields) {
        put(field.name, field.value);
    }
    if (suppressed > 0) {
        put("suppressed", std::to_string(suppressed));
    }
    return line;
}

std::optional<uint64_t> LogLimiter::pass(std::string_view event, int64_t second) {
    Slot& slot = slots_[std::hash<std::string_view>()(event) % slots_.size()];
    if (slot.second.exchange(second) != second) {
        slot.lines = 0;
    }
    if (slot.lines.fetch_add(1) >= kLogLinesPerSecondMax) {
        slot.suppressed.fetch_add(1);
        return std::nullopt;
    }
    return slot.suppressed.exchange(0);
}

void log_line(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
    if (level < level_min) {
        return;
    }
    if (custom_sink !=
        nullptr) { // no wall clock, no limit by it: the simulator's lines must repeat
        custom_sink(level, format_log_line(LogFormat::text, {}, level, event, fields, 0));
        return;
    }
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    const std::optional<uint64_t> suppressed = limiter().pass(event, now.tv_sec);
    if (!suppressed) {
        return;
    }
    std::string line =
        format_log_line(format_now, time_text(now), level, event, fields, *suppressed);
    line += '\n';
    // One write per line keeps lines of several threads whole; a failed write has nowhere to go.
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

} // namespace qtool
