// Context: what every command gets: the global options, stdout, stderr, the stop flag. Made in
// main.
#pragma once

#include "cli/admin_door.h"
#include "cli/exit_code.h"
#include "cli/output/writer.h"
#include "lib/base/time.h"

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace qtool::cli {

struct Globals {
    std::string brokers;         // -b; empty: not given
    std::string context;         // -c; empty: not given
    std::string output = "text"; // -o
    double timeout_s = 10;       // --timeout
};

/// Turned on by SIGINT and SIGTERM; a second one ends the process as the system does by default.
extern volatile std::sig_atomic_t stop_requested;

class Context {
public:
    /// Resolves where the brokers are: -b, else -c, else QTOOL_BROKERS, else localhost:9092.
    /// Errors: invalid_argument.
    static Result<Context> create(Globals globals);

    [[nodiscard]] const std::vector<config::Endpoint>& brokers() const { return brokers_; }
    [[nodiscard]] Duration timeout() const { return timeout_; }
    [[nodiscard]] bool is_json() const { return globals_.output == "json"; }
    [[nodiscard]] bool stdout_is_terminal() const { return stdout_is_terminal_; }
    [[nodiscard]] bool stderr_is_terminal() const { return stderr_is_terminal_; }
    [[nodiscard]] bool stdin_is_terminal() const { return stdin_is_terminal_; }

    AdminDoor& admin() { return *admin_; }
    Writer& out() { return out_; }
    /// One line to stderr, safe for a terminal.
    void note(std::string_view line) const;
    /// "qtool: <what>: <error>" to stderr; the status this error means.
    ExitCode fail(const Error& error, std::string_view what = {}) const;
    /// Prints text or a line of JSON and flushes.
    ExitCode print(std::string_view text);

private:
    Context() : out_(1) {}

    Globals globals_;
    std::vector<config::Endpoint> brokers_;
    Duration timeout_{};
    bool stdin_is_terminal_ = false;
    bool stdout_is_terminal_ = false;
    bool stderr_is_terminal_ = false;
    Writer out_;
    std::unique_ptr<AdminDoor> admin_;
};

} // namespace qtool::cli
