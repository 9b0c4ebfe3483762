#include "tests/sim/seed_process.h"

#include "lib/base/assert.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>

namespace qtool::sim {

namespace {

constexpr unsigned kSecondsMax = 300; // of real time: no seed takes a tenth of it

void put(std::string& out, const void* data, size_t size) {
    out.append(static_cast<const char*>(data), size);
}

void put_text(std::string& out, const std::string& text) {
    const uint64_t size = text.size();
    put(out, &size, sizeof size);
    out += text;
}

struct Cursor {
    const std::string& in;
    size_t at = 0;
    bool take(void* data, size_t size) {
        if (in.size() - at < size) {
            return false;
        }
        if (size > 0) { // an empty text has no place to copy to
            std::memcpy(data, in.data() + at, size);
        }
        at += size;
        return true;
    }
    bool take_text(std::string& text) {
        uint64_t size = 0;
        if (!take(&size, sizeof size) || in.size() - at < size) {
            return false;
        }
        text = in.substr(at, size);
        at += size;
        return true;
    }
};

/// What of a result has no pointers.
struct Numbers {
    bool failed = false;
    uint64_t trace_hash = 0;
    uint64_t events = 0;
    uint64_t acknowledged = 0;
    uint64_t read = 0;
    double simulated_seconds = 0;
    FaultCounts faults{};
    uint64_t plan_size = 0;
};
static_assert(std::is_trivially_copyable_v<Numbers> && std::is_trivially_copyable_v<PlannedFault>);

std::string to_bytes(const ClusterRunResult& result) {
    const RunResult& run = result.run;
    const Numbers numbers{
        run.violation.has_value(), run.trace_hash,        run.events, run.records_acknowledged,
        run.records_read,          run.simulated_seconds, run.faults, result.plan.size()};
    std::string out;
    put(out, &numbers, sizeof numbers);
    put_text(out, run.violation.value_or(""));
    put_text(out, result.setup);
    put(out, result.plan.data(), result.plan.size() * sizeof(PlannedFault));
    return out;
}

bool from_bytes(const std::string& bytes, ClusterRunResult& result) {
    Cursor cursor{bytes};
    Numbers numbers;
    std::string violation;
    if (!cursor.take(&numbers, sizeof numbers) || !cursor.take_text(violation) ||
        !cursor.take_text(result.setup)) {
        return false;
    }
    RunResult& run = result.run;
    if (numbers.failed) {
        run.violation = violation;
    }
    run.trace_hash = numbers.trace_hash;
    run.events = numbers.events;
    run.records_acknowledged = numbers.acknowledged;
    run.records_read = numbers.read;
    run.simulated_seconds = numbers.simulated_seconds;
    run.faults = numbers.faults;
    result.plan.resize(numbers.plan_size);
    return cursor.take(result.plan.data(), result.plan.size() * sizeof(PlannedFault));
}

[[noreturn]] void run_child(uint64_t seed, const ClusterRunOptions& options, bool quiet, int fd) {
    if (quiet) {
        const int null = ::open("/dev/null", O_WRONLY);
        ::dup2(null, STDERR_FILENO);
    }
    std::signal(SIGABRT, SIG_DFL);
    ::alarm(kSecondsMax);
    const std::string bytes = to_bytes(run_cluster_seed(seed, options));
    for (size_t done = 0; done < bytes.size();) {
        const ssize_t size = ::write(fd, bytes.data() + done, bytes.size() - done);
        if (size <= 0) {
            break;
        }
        done += static_cast<size_t>(size);
    }
    std::fflush(stderr);
    ::_exit(0);
}

} // namespace

SeedProcess::SeedProcess(uint64_t seed, const ClusterRunOptions& options, bool quiet)
    : seed_(seed) {
    int ends[2];
    std::fflush(stdout);
    std::fflush(stderr);
    QT_ASSERT(::pipe2(ends, O_CLOEXEC) == 0);
    pid_ = ::fork();
    QT_ASSERT(pid_ >= 0);
    if (pid_ == 0) {
        ::close(ends[0]);
        run_child(seed, options, quiet, ends[1]);
    }
    ::close(ends[1]);
    fd_ = ends[0];
}

SeedProcess::SeedProcess(SeedProcess&& from) noexcept
    : seed_(from.seed_),
      pid_(std::exchange(from.pid_, -1)),
      fd_(std::exchange(from.fd_, -1)) {}

SeedProcess::~SeedProcess() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        ::close(fd_);
    }
}

ClusterRunResult SeedProcess::result() {
    std::string bytes;
    char buffer[4096];
    for (ssize_t size = 0; (size = ::read(fd_, buffer, sizeof buffer)) > 0;) {
        bytes.append(buffer, static_cast<size_t>(size));
    }
    ::close(fd_);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    ClusterRunResult result;
    if (!from_bytes(bytes, result)) {
        const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        result.run.violation = signal == SIGABRT   ? "an assertion failed"
                               : signal == SIGALRM ? "it does not end"
                                                   : "it crashed: signal " + std::to_string(signal);
    }
    return result;
}

// Drops fault after fault for as long as the seed fails without it.
std::vector<size_t> shrink_seed(uint64_t seed, const RunOptions& options, size_t fault_count) {
    ClusterRunOptions run{options, std::nullopt};
    run.run.print_trace = false;
    std::vector<size_t> kept(fault_count);
    for (size_t i = 0; i < kept.size(); i++) {
        kept[i] = i;
    }
    for (size_t i = kept.size(); i-- > 0;) {
        std::vector<size_t> fewer = kept;
        fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(i));
        run.faults = fewer;
        if (SeedProcess(seed, run, true).result().run.violation) {
            kept = std::move(fewer);
        }
    }
    return kept;
}

} // namespace qtool::sim
