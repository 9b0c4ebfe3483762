// qtool: the command line. Declares global options, lets the chosen command run, and is where
// CLI11's exceptions end.
#include "cli/command.h"
#include "lib/base/units.h"
#include "lib/base/version.h"

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <malloc.h>

#include <csignal>

namespace qtool::cli {

namespace {

void on_stop_signal(int) {
    stop_requested = 1;
}

/// A consumer's replies are some MiB each: if one that was freed went back to the system, the next
/// would fault in its pages anew. That is a third of what reading from the page cache costs.
void tune_allocator() {
#if defined(__GLIBC__)
    // glibc takes no larger blocks than this from its heaps (mallopt(3)).
    mallopt(M_MMAP_THRESHOLD, 32 * static_cast<int>(MiB));
    mallopt(M_TRIM_THRESHOLD, 64 * static_cast<int>(MiB));
#endif
}

/// Gives a closed descriptor 0, 1 or 2 a stand-in, so that no socket takes its number: no input,
/// and an output where writing fails.
void keep_standard_descriptors() {
    for (int fd = 0; fd <= 2; fd++) {
        if (::fcntl(fd, F_GETFD) < 0) {
            // Takes the lowest free number, which is fd; without /dev/null nothing can be done.
            static_cast<void>(::open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY));
        }
    }
}

void install_signals() {
    // A reader that went away is told by EPIPE, where the output can end cleanly.
    std::signal(SIGPIPE, SIG_IGN);
    struct sigaction action {};
    action.sa_handler = on_stop_signal;
    action.sa_flags = SA_RESETHAND; // the second one ends the process
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

void add_globals(CLI::App& root, Globals& globals) {
    root.add_option("-b,--brokers", globals.brokers,
                    "Brokers as HOST:PORT,... (default: $QTOOL_BROKERS, else localhost:9092)");
    root.add_option("-c,--context", globals.context,
                    "Brokers by a name from ~/.config/qtool/contexts");
    root.add_option("-o,--output", globals.output, "text, for people, or json, for programs")
        ->check(CLI::IsMember({"text", "json"}));
    root.add_option("--timeout", globals.timeout_s,
                    "Seconds to wait for an answer of the brokers (default: 10)");
}

/// Prints help or version to stdout, anything else as a usage error to stderr.
ExitCode report_parse_end(const CLI::App& root, const CLI::ParseError& end) {
    if (end.get_exit_code() != 0) {
        std::string text = "qtool: ";
        text.append(end.what()).append("\nTry --help after any command.\n");
        Writer err(2);
        err.buffer() = std::move(text);
        static_cast<void>(err.flush().has_value()); // stderr is where errors end
        return ExitCode::usage;
    }
    Writer out(1);
    if (dynamic_cast<const CLI::CallForHelp*>(&end) != nullptr) {
        out.buffer() = root.help();
    } else {
        out.buffer().append(end.what()).append("\n");
    }
    return out.flush() || out.is_closed() ? ExitCode::done : ExitCode::failed;
}

ExitCode run_main(int argc, char** argv) {
    tune_allocator();
    keep_standard_descriptors();
    CLI::App root("qtool: work with a qbroker or Kafka cluster", "qtool");
    Globals globals;
    Run run;
    root.set_help_flag("-h,--help", "Print this help and exit");
    root.set_version_flag("--version", "qtool " + std::string(kVersion));
    root.require_subcommand(1);
    root.fallthrough(); // global options may also stand after the command
    root.footer("Exit status: 0 all done, 1 failed wholly or in part, 2 usage, 3 no broker answers "
                "or time\nran out, 4 does not exist, 5 exists already, 6 not allowed, 7 data "
                "damaged, 8 check failed.\n\n"
                "Examples:\n"
                "  qtool topic create orders\n"
                "  echo hello | qtool produce -t orders\n"
                "  qtool consume -t orders --exit-at-end");
    add_globals(root, globals);
    add_topic(root, run);
    add_produce(root, run);
    add_consume(root, run);
    add_partition(root, run);
    add_offsets(root, run);
    add_bench(root, run);
    add_group(root, run);
    add_txn(root, run);
    add_config(root, run);
    add_quota(root, run);
    add_cluster(root, run);
    add_completion(root, run);
    try {
        root.parse(argc, argv);
    } catch (const CLI::ParseError& end) {
        return report_parse_end(root, end);
    }
    Result<Context> context = Context::create(globals);
    if (!context) {
        Writer err(2);
        err.buffer() = "qtool: " + to_string(context.error()) + "\n";
        static_cast<void>(err.flush().has_value()); // stderr is where errors end
        return exit_code(context.error().code);
    }
    install_signals();
    return run(*context);
}

} // namespace

} // namespace qtool::cli

int main(int argc, char** argv) {
    return static_cast<int>(qtool::cli::run_main(argc, argv));
}
