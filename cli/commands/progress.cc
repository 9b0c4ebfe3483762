#include "cli/commands/progress.h"

#include "lib/client/blocking.h"

#include <cstdio>

namespace qtool::cli {

namespace {

constexpr Duration kShowTime = 200ms;

void write_stderr(std::string_view text) {
    Writer err(2);
    err.buffer() = text;
    static_cast<void>(err.flush().has_value()); // progress that nobody can see is no failure
}

} // namespace

Progress::Progress(const Context& context, bool enabled)
    : enabled_(enabled && context.stderr_is_terminal()),
      started_(client::mono_now()),
      due_(started_ + kShowTime) {}

void Progress::write(uint64_t delivered, MonoTime now) {
    const double seconds = std::chrono::duration<double>(now - started_).count();
    char line[160];
    const int size = std::snprintf(
        line, sizeof line, "\r\033[K%llu read, %llu delivered, %.1f MB, %.0f records/s",
        static_cast<unsigned long long>(records_), static_cast<unsigned long long>(delivered),
        static_cast<double>(bytes_) / 1e6, static_cast<double>(delivered) / (seconds + 1e-3));
    write_stderr(std::string_view(line, static_cast<size_t>(size)));
    shown_ = true;
}

void Progress::show(uint64_t delivered) {
    if (!enabled_) {
        return;
    }
    const MonoTime now = client::mono_now();
    if (now >= due_) {
        due_ = now + kShowTime;
        write(delivered, now);
    }
}

void Progress::clear() {
    if (shown_) {
        write_stderr("\r\033[K");
        shown_ = false;
    }
}

void Progress::finish(uint64_t delivered) {
    if (shown_) {
        write(delivered, client::mono_now());
        write_stderr("\n");
        shown_ = false;
    }
}

} // namespace qtool::cli
