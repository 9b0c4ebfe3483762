#include "cli/context.h"

#include "cli/output/text.h"
#include "cli/profile.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>

namespace qtool::cli {

volatile std::sig_atomic_t stop_requested = 0;

Result<Context> Context::create(Globals globals) {
    Context context;
    std::string brokers = globals.brokers;
    if (brokers.empty() && !globals.context.empty()) {
        QT_TRY_ASSIGN(const Profile profile, load_profile(globals.context));
        brokers = profile.brokers;
    }
    if (brokers.empty()) {
        const char* from_environment = std::getenv("QTOOL_BROKERS");
        brokers = from_environment != nullptr && *from_environment != '\0' ? from_environment
                                                                           : "localhost:9092";
    }
    QT_TRY_ASSIGN(context.brokers_, parse_brokers(brokers));
    if (!(globals.timeout_s > 0) || globals.timeout_s > 86'400) {
        return Error(Code::invalid_argument, "--timeout must be above 0 and at most 86400 seconds");
    }
    context.timeout_ = Duration(static_cast<int64_t>(std::ceil(globals.timeout_s * 1e9)));
    context.globals_ = std::move(globals);
    context.stdin_is_terminal_ = ::isatty(0) == 1;
    context.stdout_is_terminal_ = ::isatty(1) == 1;
    context.stderr_is_terminal_ = ::isatty(2) == 1;
    context.admin_ =
        std::make_unique<JsonDoor>(admin::HttpClient(context.brokers_, context.timeout_));
    return context;
}

void Context::note(std::string_view line) const {
    std::string text;
    append_for_terminal(text, line);
    text.push_back('\n');
    Writer err(2);
    err.buffer() = std::move(text);
    // Nowhere is left to report that stderr cannot be written.
    static_cast<void>(err.flush().has_value());
}

ExitCode Context::fail(const Error& error, std::string_view what) const {
    std::string line = "qtool: ";
    if (!what.empty()) {
        line.append(what).append(": ");
    }
    line.append(to_string(error));
    note(line);
    return exit_code(error.code);
}

ExitCode Context::print(std::string_view text) {
    out_.buffer().append(text);
    if (const Result<void> flushed = out_.flush(); !flushed && !out_.is_closed()) {
        return fail(flushed.error());
    }
    return ExitCode::done;
}

} // namespace qtool::cli
