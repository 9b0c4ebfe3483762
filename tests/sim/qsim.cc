// qsim: runs seeds of the simulator. What a seed does: scenario.h; what is checked: checker.h.
// Exit status: 0 all seeds passed and every kind of fault was hit, 1 not so, 2 usage.
#include "lib/base/log.h"
#include "tests/sim/scenario.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace qtool::sim {
namespace {

// Fewer need not hit every kind of fault.
constexpr uint64_t kSeedsForAllFaults = 200;

constexpr std::string_view kHelp =
    R"(Usage: qsim [--seed N | --seeds COUNT [--first N]] [OPTIONS]
Runs the broker in a simulated world, one world a seed.

  --seed N        this seed alone
  --seeds COUNT   that many seeds (default 100); 200 and more must hit every kind of fault
  --first N       the first of them (default 1)
  --trace         print what happens, with the broker's log lines
  --verify-trace  run each seed twice and compare the traces
  --plant NAME    with a bug: sync_lies, entries_lie, reordered or write_caching; in a program
                  qsim_NAME that of plants.py. Success means that a check caught it
  --help          this text
)";

struct Options {
    uint64_t first = 1;
    uint64_t count = 100;
    bool single = false;
    bool trace = false;
    bool verify_trace = false;
    Plant plant = Plant::none;
    std::string plant_name;
};

std::optional<uint64_t> read_number(std::string_view text) {
    uint64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::optional<Plant> read_plant(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, Plant>, 4> kPlants = {
        {{"sync_lies", Plant::sync_lies},
         {"entries_lie", Plant::entries_lie},
         {"reordered", Plant::reordered},
         {"write_caching", Plant::write_caching}}};
    for (const auto& [known, plant] : kPlants) {
        if (known == name) {
            return plant;
        }
    }
    return std::nullopt;
}

std::optional<Options> read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string_view name = argv[i];
        if (name == "--trace") {
            options.trace = true;
            continue;
        }
        if (name == "--verify-trace") {
            options.verify_trace = true;
            continue;
        }
        if (i + 1 == argc) {
            return std::nullopt;
        }
        const std::string_view value = argv[++i];
        if (name == "--plant") {
            std::optional<Plant> plant = read_plant(value);
            if (!plant && std::string_view(argv[0]).ends_with("qsim_" + std::string(value))) {
                plant = Plant::built_in;
            }
            if (!plant) {
                return std::nullopt;
            }
            options.plant = *plant;
            options.plant_name = value;
            continue;
        }
        const std::optional<uint64_t> number = read_number(value);
        if (!number) {
            return std::nullopt;
        }
        if (name == "--seed") {
            options.first = *number;
            options.count = 1;
            options.single = true;
        } else if (name == "--seeds") {
            options.count = *number;
        } else if (name == "--first") {
            options.first = *number;
        } else {
            return std::nullopt;
        }
    }
    return options;
}

// The seed that runs, as text, for the handler of SIGABRT: an assertion of the broker failed.
std::array<char, 160> running_text{};
size_t running_size = 0;

void note_running(uint64_t seed, const Options& options) {
    const int size = std::snprintf(
        running_text.data(), running_text.size(),
        "seed %" PRIu64 ": an assertion failed\n  replay: scripts/sim.sh --seed %" PRIu64 "%s%s\n",
        seed, seed, options.plant == Plant::none ? "" : " --plant ", options.plant_name.c_str());
    running_size = std::min(static_cast<size_t>(std::max(size, 0)), running_text.size() - 1);
}

void on_abort(int) {
    static_cast<void>(!::write(STDERR_FILENO, running_text.data(), running_size));
    ::_exit(1);
}

void print_log(LogLevel, std::string_view line) {
    const size_t blank = line.find(' '); // behind the real time, which means nothing here
    const std::string_view text = blank == std::string_view::npos ? line : line.substr(blank);
    std::fprintf(stderr, "            %.*s\n", static_cast<int>(text.size()), text.data());
}

void print_failure(uint64_t seed, const Options& options, const std::string& what) {
    std::fprintf(stderr, "seed %" PRIu64 ": %s\n  replay: scripts/sim.sh --seed %" PRIu64 "%s%s\n",
                 seed, what.c_str(), seed, options.plant == Plant::none ? "" : " --plant ",
                 options.plant_name.c_str());
}

int run(const Options& options) {
    set_log_level(options.trace ? LogLevel::debug : LogLevel::error);
    set_log_sink(options.trace ? print_log : [](LogLevel, std::string_view) {});
    std::signal(SIGABRT, on_abort);
    const auto start = std::chrono::steady_clock::now();
    RunResult total;
    uint64_t failed = 0;
    uint64_t run_count = 0;
    for (uint64_t seed = options.first; seed < options.first + options.count; seed++) {
        note_running(seed, options);
        const RunOptions run_options{options.trace, options.plant};
        RunResult result = run_seed(seed, run_options);
        run_count++;
        if (options.verify_trace && !result.violation) {
            const RunResult again = run_seed(seed, {false, options.plant});
            if (again.trace_hash != result.trace_hash) {
                result.violation = "two runs of the seed differ after " +
                                   std::to_string(result.events) + " and " +
                                   std::to_string(again.events) + " events";
            }
        }
        for (size_t i = 0; i < kFaultCount; i++) {
            total.faults[i] += result.faults[i];
        }
        total.events += result.events;
        total.records_acknowledged += result.records_acknowledged;
        total.records_read += result.records_read;
        total.simulated_seconds += result.simulated_seconds;
        if (result.violation) {
            failed++;
            print_failure(seed, options, *result.violation);
            if (options.plant != Plant::none) {
                break; // caught
            }
        }
        if (options.single) {
            std::printf("trace %016" PRIx64 "\n", result.trace_hash);
        }
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%" PRIu64 " seeds in %.1f s (%.1f ms each, %.0f simulated s): %" PRIu64
                " events, %" PRIu64 " records acknowledged, %" PRIu64 " read\n",
                run_count, seconds, 1000 * seconds / static_cast<double>(run_count),
                total.simulated_seconds, total.events, total.records_acknowledged,
                total.records_read);
    if (options.plant != Plant::none) {
        std::printf("plant %s: %s\n", options.plant_name.c_str(),
                    failed > 0 ? "caught" : "NOT CAUGHT");
        return failed > 0 ? 0 : 1;
    }
    bool all_hit = true;
    for (size_t i = 0; i < kFaultCount; i++) {
        std::printf("  %-20s %" PRIu64 "\n", kFaultNames[i].data(), total.faults[i]);
        all_hit = all_hit && total.faults[i] > 0;
    }
    if (options.count >= kSeedsForAllFaults && !all_hit) {
        std::printf("a kind of fault was never hit: see the 0 above\n");
        failed++;
    }
    std::printf("%" PRIu64 " seeds passed, %" PRIu64 " failed\n",
                run_count - std::min(failed, run_count), failed);
    return failed == 0 ? 0 : 1;
}

} // namespace
} // namespace qtool::sim

int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "--help") {
        std::fwrite(qtool::sim::kHelp.data(), 1, qtool::sim::kHelp.size(), stdout);
        return 0;
    }
    const std::optional<qtool::sim::Options> options = qtool::sim::read_options(argc, argv);
    if (!options) {
        std::fwrite(qtool::sim::kHelp.data(), 1, qtool::sim::kHelp.size(), stderr);
        return 2;
    }
    return qtool::sim::run(*options);
}
