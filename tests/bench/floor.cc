// What this machine takes when nobody does anything with the bytes: the floor under figures of
// scripts/compare.sh. A sleep, and two processes on a loopback connection.
//
// One record in flight: each is asleep in epoll_wait until the other has sent; the one that answers
// may write what it got to a file, and sync that. End to end: a thread sends at a rate, a process
// writes each to a file, answers and hands it on, another thread receives; each is timed from when
// it was due. Produce: one receives and writes to a file. Consume: one sends a file from memory. Of
// the last two, the CPU time of the broker's side.
//   floor [FOLDER]     of the files (default: the system's temporary one)
#include "lib/base/assert.h"
#include "lib/base/units.h"
#include "lib/net/local_path.h"

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nlohmann/json.hpp>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace qtool;

// Of a produce with one record of 100 bytes, and of its answer.
constexpr size_t kRequestSize = 260;
constexpr size_t kReplySize = 80;
constexpr size_t kBatchSize = 180;

constexpr size_t kFileSize = 1 * GiB;
constexpr size_t kReadSize = 256 * KiB;

double seconds_since(std::chrono::steady_clock::time_point begun) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

/// Both ends of a loopback connection.
std::array<int, 2> connect_pair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    QT_ASSERT(::bind(listener, any, size) == 0 && ::listen(listener, 1) == 0);
    QT_ASSERT(::getsockname(listener, any, &size) == 0);
    std::array<int, 2> ends{};
    ends[0] = ::socket(AF_INET, SOCK_STREAM, 0);
    net::unpace_local(ends[0], *any);
    QT_ASSERT(::connect(ends[0], any, size) == 0);
    ends[1] = ::accept(listener, nullptr, nullptr);
    net::unpace_local(ends[1], *any);
    ::close(listener);
    return ends;
}

/// Runs `broker` with one end of a connection in a process of its own, `client` with the other in
/// this one. Returns the CPU seconds of the broker.
double converse(const std::function<void(int)>& broker, const std::function<void(int)>& client) {
    const std::array<int, 2> ends = connect_pair();
    const pid_t child = ::fork();
    QT_ASSERT(child >= 0);
    if (child == 0) {
        ::close(ends[0]);
        broker(ends[1]);
        ::_exit(0);
    }
    ::close(ends[1]);
    client(ends[0]);
    ::close(ends[0]);
    rusage used{};
    QT_ASSERT(::wait4(child, nullptr, 0, &used) == child);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/// What was measured, told when it is known: lines for people, or one JSON object of all at the
/// end.
class Report {
public:
    explicit Report(bool as_json) : as_json_(as_json) {}

    void add_latencies(const std::string& name, std::vector<double>& times_us) {
        std::sort(times_us.begin(), times_us.end());
        add(name, {{"p50_us", times_us[times_us.size() / 2]},
                   {"p99_us", times_us[times_us.size() * 99 / 100]},
                   {"p99.9_us", times_us[times_us.size() * 999 / 1000]}});
    }
    void add_stream(const std::string& name, double cpu_s, double elapsed_s) {
        constexpr double kGb = kFileSize / 1e9;
        add(name, {{"cpu_s_per_gb", cpu_s / kGb}, {"mb_per_s", 1e3 * kGb / elapsed_s}});
    }
    void end() const {
        if (as_json_) {
            std::printf("%s\n", all_.dump().c_str());
        }
    }

private:
    using Figures = std::vector<std::pair<const char*, double>>;

    void add(const std::string& name, const Figures& figures) {
        for (const auto& [unit, figure] : figures) {
            all_[name][unit] = figure;
        }
        if (as_json_) {
            return;
        }
        std::printf("%-32s", name.c_str());
        for (const auto& [unit, figure] : figures) {
            std::printf("  %s %8.2f", unit, figure);
        }
        std::printf("\n");
        std::fflush(stdout);
    }

    bool as_json_;
    nlohmann::json all_;
};

// ---- sleep --------------------------------------------------------------------------------------

/// How late a thread is that sleeps: each hand-over to somebody who sleeps has that in it.
void sleep(Report& report) {
    constexpr std::chrono::microseconds kSleepTime(250);
    std::vector<double> times_us(20'000);
    auto until = std::chrono::steady_clock::now();
    for (double& time : times_us) {
        until += kSleepTime;
        std::this_thread::sleep_until(until);
        time = 1e6 * seconds_since(until);
    }
    report.add_latencies("a sleep of 250 us, late by", times_us);
}

// ---- one record in flight -----------------------------------------------------------------------

enum class Work { none, write, sync };

/// A connected socket and its epoll descriptor.
struct Peer {
    int fd;
    int epoll;

    explicit Peer(int connected) : fd(connected), epoll(::epoll_create1(EPOLL_CLOEXEC)) {
        const int on = 1;
        QT_ASSERT(epoll >= 0);
        QT_ASSERT(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
        epoll_event event{};
        event.events = EPOLLIN;
        QT_ASSERT(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    }
    ~Peer() { ::close(epoll); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    void send(size_t size) const {
        const std::array<char, kRequestSize> bytes{};
        QT_ASSERT(::send(fd, bytes.data(), size, MSG_NOSIGNAL) == static_cast<ssize_t>(size));
    }
    /// False: the other one is gone.
    [[nodiscard]] bool receive(size_t size) const {
        std::array<char, kRequestSize> bytes{};
        epoll_event event{};
        while (::epoll_wait(epoll, &event, 1, -1) < 1) {
        }
        const ssize_t got = ::recv(fd, bytes.data(), bytes.size(), 0);
        QT_ASSERT(got <= 0 || got == static_cast<ssize_t>(size)); // loopback cuts nothing so small
        return got > 0;
    }
};

/// An empty file without a name.
int open_scratch(const std::string& path) {
    const int file = ::open(path.c_str(), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    QT_ASSERT(file >= 0);
    static_cast<void>(::unlink(path.c_str()));
    return file;
}

void answer(int connected, Work work, const std::string& path) {
    const Peer peer(connected);
    const int file = open_scratch(path);
    const std::array<char, kBatchSize> batch{};
    for (off_t at = 0; peer.receive(kRequestSize); at += kBatchSize) {
        if (work != Work::none) {
            QT_ASSERT(::pwrite(file, batch.data(), batch.size(), at) == kBatchSize);
        }
        if (work == Work::sync) {
            QT_ASSERT(::fdatasync(file) == 0);
        }
        peer.send(kReplySize);
    }
}

void one_in_flight(Report& report, const char* name, Work work, const std::string& path) {
    std::vector<double> times_us(work == Work::sync ? 5000 : 20'000);
    converse([&](int connected) { answer(connected, work, path); },
             [&](int connected) {
                 const Peer peer(connected);
                 for (double& time : times_us) {
                     const auto begun = std::chrono::steady_clock::now();
                     peer.send(kRequestSize);
                     QT_ASSERT(peer.receive(kReplySize));
                     time = seconds_since(begun) * 1e6;
                 }
             });
    report.add_latencies(name, times_us);
}

// ---- end to end ---------------------------------------------------------------------------------

/// Waits for messages of one size; returns how many came whole. 0: the other one is gone.
size_t receive_some(const Peer& peer, size_t size, size_t& left_over) {
    std::array<char, 64 * kRequestSize> bytes{};
    do {
        epoll_event event{};
        while (::epoll_wait(peer.epoll, &event, 1, -1) < 1) {
        }
        const ssize_t got = ::recv(peer.fd, bytes.data(), bytes.size(), 0);
        if (got <= 0) {
            return 0;
        }
        left_over += static_cast<size_t>(got);
    } while (left_over < size);
    const size_t count = left_over / size;
    left_over %= size;
    return count;
}

/// With `work` sync, what came together is synced once.
void hand_on(int producer, int consumer, int file, Work work) {
    const Peer from(producer);
    const Peer to(consumer);
    const std::array<char, kBatchSize> batch{};
    size_t left_over = 0;
    for (off_t at = 0; const size_t count = receive_some(from, kRequestSize, left_over);) {
        for (size_t i = 0; i < count; i++, at += kBatchSize) {
            QT_ASSERT(::pwrite(file, batch.data(), batch.size(), at) == kBatchSize);
        }
        if (work == Work::sync) {
            QT_ASSERT(::fdatasync(file) == 0);
        }
        for (size_t i = 0; i < count; i++) {
            from.send(kReplySize);
            to.send(kRequestSize);
        }
    }
}

void end_to_end(Report& report, Work work, const std::string& path, size_t rate, size_t seconds) {
    std::vector<double> times_us(rate * seconds);
    const int file = open_scratch(path);
    const std::array<int, 2> produced = connect_pair();
    const std::array<int, 2> consumed = connect_pair();
    const pid_t child = ::fork();
    QT_ASSERT(child >= 0);
    if (child == 0) {
        ::close(produced[0]);
        ::close(consumed[0]);
        hand_on(produced[1], consumed[1], file, work);
        ::_exit(0);
    }
    ::close(produced[1]);
    ::close(consumed[1]);
    const auto begun = std::chrono::steady_clock::now() + std::chrono::milliseconds(10);
    const auto due = [&](size_t i) {
        return begun + std::chrono::nanoseconds(std::chrono::seconds(1)) * i / rate;
    };
    std::thread consumer([&] {
        const Peer peer(consumed[0]);
        size_t left_over = 0;
        for (size_t i = 0; i < times_us.size();) {
            size_t count = receive_some(peer, kRequestSize, left_over);
            QT_ASSERT(count > 0);
            for (; count > 0; count--, i++) {
                times_us[i] = 1e6 * seconds_since(due(i));
            }
        }
    });
    const Peer producer(produced[0]);
    std::array<char, 64 * kReplySize> answers{};
    for (size_t i = 0; i < times_us.size(); i++) {
        std::this_thread::sleep_until(due(i));
        producer.send(kRequestSize);
        while (::recv(producer.fd, answers.data(), answers.size(), MSG_DONTWAIT) > 0) {
        }
    }
    consumer.join();
    ::close(produced[0]);
    ::close(consumed[0]);
    ::close(file);
    QT_ASSERT(::waitpid(child, nullptr, 0) == child);
    report.add_latencies("end to end at " + std::to_string(rate) + "/s" +
                             (work == Work::sync ? ", fdatasync" : ""),
                         times_us);
}

// ---- produce, consume ---------------------------------------------------------------------------

void stream(Report& report, const char* name, const std::function<void(int)>& broker,
            const std::function<void(int)>& client) {
    const auto begun = std::chrono::steady_clock::now();
    const double cpu_s = converse(broker, client);
    report.add_stream(name, cpu_s, seconds_since(begun));
}

void receive_and_write(int connected, int file) {
    std::vector<char> bytes(kReadSize);
    for (ssize_t got = 0; (got = ::recv(connected, bytes.data(), bytes.size(), 0)) > 0;) {
        QT_ASSERT(::write(file, bytes.data(), static_cast<size_t>(got)) == got);
    }
}

void send_all(int connected) {
    const std::vector<char> bytes(kReadSize);
    for (size_t left = kFileSize; left > 0; left -= bytes.size()) {
        for (size_t sent = 0; sent < bytes.size();) {
            const ssize_t now =
                ::send(connected, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
            QT_ASSERT(now > 0);
            sent += static_cast<size_t>(now);
        }
    }
}

void send_file(int connected, int file, size_t part) {
    for (off_t at = 0; static_cast<size_t>(at) < kFileSize;) {
        QT_ASSERT(::sendfile(connected, file, &at, std::min(part, kFileSize - at)) > 0);
    }
    ::shutdown(connected, SHUT_WR);
}

void receive_all(int connected) {
    std::vector<char> bytes(kReadSize);
    while (::recv(connected, bytes.data(), bytes.size(), 0) > 0) {
    }
}

} // namespace

int main(int count, char** arguments) {
    CLI::App app("What this machine takes when nobody does anything with the bytes.", "floor");
    bool as_json = false;
    size_t seconds = 4;
    std::filesystem::path folder = std::filesystem::temp_directory_path();
    app.add_flag("--json", as_json, "One JSON object instead of lines.");
    app.add_option("--seconds", seconds, "Of each rate.")->check(CLI::Range(1, 3600));
    app.add_option("folder", folder, "Of the files.")->check(CLI::ExistingDirectory);
    CLI11_PARSE(app, count, arguments);

    const std::string path = folder / ("floor-" + std::to_string(::getpid()));
    Report report(as_json);
    sleep(report);
    one_in_flight(report, "there and back", Work::none, path);
    one_in_flight(report, "with a write", Work::write, path);
    one_in_flight(report, "with a write and fdatasync", Work::sync, path);
    for (const size_t rate : {2000, 4000, 10'000}) {
        end_to_end(report, Work::write, path, rate, seconds);
    }
    for (const size_t rate : {2000, 4000}) {
        end_to_end(report, Work::sync, path, rate, seconds);
    }
    const int file = open_scratch(path);
    stream(
        report, "receive and write", [&](int connected) { receive_and_write(connected, file); },
        send_all);
    for (const size_t part : {128 * KiB, 1 * MiB}) {
        stream(
            report, part == 1 * MiB ? "send a file, by 1 MiB" : "send a file, by 128 KiB",
            [&](int connected) { send_file(connected, file, part); }, receive_all);
    }
    ::close(file);
    report.end();
    return 0;
}
