// qsim: runs seeds of the simulator. What a seed does: scenario.h; what is checked: checker.h.
// Exit status: 0 all seeds passed and every kind of fault was hit, 1 not so, 2 usage.
#include "lib/base/log.h"
#include "tests/sim/cluster_scenario.h"
#include "tests/sim/restart_watch.h"
#include "tests/sim/scenario.h"
#include "tests/sim/seed_process.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
  --cluster       worlds of one to seven brokers; a seed that fails is shrunk to a short plan
  --faults I,J    of a cluster's seed, these faults of its plan only; none: -
  --jobs N        cluster seeds at the same time (default 1)
  --minutes N     cluster seeds until so much time has passed, instead of --seeds
  --trace         print what happens, with the broker's log lines
  --verify-trace  run each seed twice and compare the traces
  --plant NAME    with a bug: sync_lies, entries_lie, reordered or write_caching; of a cluster
                  lost_txn_answer; in a program qsim_NAME that of plants.py. Success means that a check caught it
  --help          this text
)";

struct Options {
    uint64_t first = 1;
    uint64_t count = 100;
    bool single = false;
    bool trace = false;
    bool verify_trace = false;
    bool is_cluster = false;
    std::optional<std::vector<size_t>> faults;
    uint64_t minutes = 0; // 0: no limit
    uint64_t jobs = 1;
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

// "1,4,5"; "-": none.
std::optional<std::vector<size_t>> read_faults(std::string_view text) {
    std::vector<size_t> faults;
    while (text != "-" && !text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        const std::optional<uint64_t> number = read_number(text.substr(0, comma));
        if (!number) {
            return std::nullopt;
        }
        faults.push_back(*number);
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return faults;
}

std::optional<Plant> read_plant(std::string_view name) {
    constexpr std::array<std::pair<std::string_view, Plant>, 5> kPlants = {
        {{"sync_lies", Plant::sync_lies},
         {"entries_lie", Plant::entries_lie},
         {"reordered", Plant::reordered},
         {"write_caching", Plant::write_caching},
         {"lost_txn_answer", Plant::lost_answer}}};
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
        if (name == "--cluster") {
            options.is_cluster = true;
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
        if (name == "--faults") {
            options.faults = read_faults(value);
            if (!options.faults) {
                return std::nullopt;
            }
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
        } else if (name == "--jobs" && *number > 0) {
            options.jobs = *number;
        } else if (name == "--minutes") {
            options.minutes = *number;
            options.count = std::numeric_limits<uint32_t>::max();
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
    const int size =
        std::snprintf(running_text.data(), running_text.size(),
                      "seed %" PRIu64
                      ": an assertion failed\n  replay: scripts/sim.sh%s --seed %" PRIu64 "%s%s\n",
                      seed, options.is_cluster ? " --cluster" : "", seed,
                      options.plant == Plant::none ? "" : " --plant ", options.plant_name.c_str());
    running_size = std::min(static_cast<size_t>(std::max(size, 0)), running_text.size() - 1);
}

void on_abort(int) {
    static_cast<void>(!::write(STDERR_FILENO, running_text.data(), running_size));
    ::_exit(1);
}

void print_failure(uint64_t seed, const Options& options, const std::string& what) {
    std::fprintf(stderr,
                 "seed %" PRIu64 ": %s\n  replay: scripts/sim.sh%s --seed %" PRIu64 "%s%s\n", seed,
                 what.c_str(), options.is_cluster ? " --cluster" : "", seed,
                 options.plant == Plant::none ? "" : " --plant ", options.plant_name.c_str());
}

// The short plan without which the seed would pass, as people tell it.
void print_story(uint64_t seed, const Options& options) {
    const RunOptions run{false, options.plant};
    const ClusterRunResult whole = describe_cluster_seed(seed);
    const std::vector<size_t> kept =
        options.faults ? *options.faults : shrink_seed(seed, run, whole.plan.size());
    const ClusterRunResult again = SeedProcess(seed, {run, kept}, false).result();
    std::string list;
    std::fprintf(stderr, "  %s\n", whole.setup.c_str());
    for (const size_t index : kept) {
        list += (list.empty() ? "" : ",") + std::to_string(index);
        if (index < whole.plan.size()) {
            std::fprintf(stderr, "  %s\n", to_text(whole.plan[index]).c_str());
        }
    }
    std::fprintf(stderr,
                 "  then: %s\n  replay: scripts/sim.sh --cluster --seed %" PRIu64 " --faults %s\n",
                 again.run.violation ? again.run.violation->c_str() : "(passes)", seed,
                 list.empty() ? "-" : list.c_str());
}

/// Runs the seeds one by one, those of clusters in processes of their own.
class Runs {
public:
    explicit Runs(const Options& options) : options_(options), next_(options.first) {}

    /// The next seed that is done; nothing: there is no more.
    struct Done {
        uint64_t seed = 0;
        RunResult result;
    };
    std::optional<Done> take() {
        const bool forks = options_.is_cluster && !options_.trace;
        while (forks && ahead_.size() < options_.jobs && has_next()) {
            ahead_.emplace_back(next_, ClusterRunOptions{{false, options_.plant}, options_.faults},
                                options_.plant != Plant::none);
            next_++;
        }
        if (forks) {
            if (ahead_.empty()) {
                return std::nullopt;
            }
            Done done{ahead_.front().seed(), ahead_.front().result().run};
            ahead_.pop_front();
            return done;
        }
        if (!has_next()) {
            return std::nullopt;
        }
        const uint64_t seed = next_++;
        note_running(seed, options_);
        return Done{seed, run_here(seed, options_.trace)};
    }
    /// Without a process.
    [[nodiscard]] RunResult run_here(uint64_t seed, bool print_trace) const {
        const RunOptions run{print_trace, options_.plant};
        return options_.is_cluster ? run_cluster_seed(seed, {run, options_.faults}).run
                                   : run_seed(seed, run);
    }

private:
    [[nodiscard]] bool has_next() const {
        return next_ < options_.first + options_.count &&
               (options_.minutes == 0 ||
                std::chrono::steady_clock::now() - start_ < std::chrono::minutes(options_.minutes));
    }

    const Options& options_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    uint64_t next_;
    std::deque<SeedProcess> ahead_;
};

int run(const Options& options) {
    set_log_level(options.trace ? LogLevel::debug : LogLevel::error);
    set_log_sink(options.trace ? [](LogLevel, std::string_view line) { print_log_line(line); }
                               : [](LogLevel, std::string_view) {});
    std::signal(SIGABRT, on_abort);
    const auto start = std::chrono::steady_clock::now();
    RunResult total;
    uint64_t failed = 0;
    uint64_t run_count = 0;
    Runs runs(options);
    while (std::optional<Runs::Done> done = runs.take()) {
        const uint64_t seed = done->seed;
        RunResult& result = done->result;
        run_count++;
        if (options.verify_trace && !result.violation) {
            const RunResult again = runs.run_here(seed, false);
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
            if (options.is_cluster && options.plant == Plant::none && !options.trace) {
                print_story(seed, options);
            }
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
    const size_t kinds = options.is_cluster ? kFaultCount : kOneBrokerFaultCount;
    for (size_t i = 0; i < kinds; i++) {
        if (options.is_cluster && static_cast<Fault>(i) == Fault::move_interrupted) {
            continue; // between log directories: nobody asks for it there
        }
        std::printf("  %-20s %" PRIu64 "\n", kFaultNames[i].data(), total.faults[i]);
        all_hit = all_hit && total.faults[i] > 0;
    }
    if (run_count >= kSeedsForAllFaults && !all_hit) {
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
