// What one request and its reply take on this machine when nobody does anything with them: the
// floor under 'one record in flight'. Two processes on a loopback connection, each asleep in
// epoll_wait until the other has sent; the one that answers may write what it got to a file, and
// sync that.
//   floor [FOLDER]     of the file (default: the system's temporary one)
#include "lib/base/assert.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

namespace {

// Of a produce with one record of 100 bytes, and of its answer.
constexpr size_t kRequestSize = 260;
constexpr size_t kReplySize = 80;
constexpr size_t kBatchSize = 180;

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

void answer(int listener, Work work, const std::string& path) {
    const Peer peer(::accept(listener, nullptr, nullptr));
    const int file = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    QT_ASSERT(file >= 0);
    static_cast<void>(::unlink(path.c_str()));
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

void measure(const char* name, Work work, const std::string& path) {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    QT_ASSERT(::bind(listener, any, size) == 0 && ::listen(listener, 1) == 0);
    QT_ASSERT(::getsockname(listener, any, &size) == 0);
    const pid_t child = ::fork();
    QT_ASSERT(child >= 0);
    if (child == 0) {
        answer(listener, work, path);
        ::_exit(0);
    }
    const int connected = ::socket(AF_INET, SOCK_STREAM, 0);
    QT_ASSERT(::connect(connected, any, size) == 0);
    const Peer peer(connected);
    std::vector<double> times_us(work == Work::sync ? 5000 : 20'000);
    for (double& time : times_us) {
        const auto begun = std::chrono::steady_clock::now();
        peer.send(kRequestSize);
        QT_ASSERT(peer.receive(kReplySize));
        time = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begun)
                   .count();
    }
    ::close(connected);
    QT_ASSERT(::waitpid(child, nullptr, 0) == child);
    ::close(listener);
    ::close(peer.epoll);
    std::sort(times_us.begin(), times_us.end());
    std::printf("%-28s p50 %6.1f us, p99 %6.1f us\n", name, times_us[times_us.size() / 2],
                times_us[times_us.size() * 99 / 100]);
    std::fflush(stdout);
}

} // namespace

int main(int count, char** arguments) {
    const std::filesystem::path folder =
        count > 1 ? arguments[1] : std::filesystem::temp_directory_path();
    const std::string path = folder / ("floor-" + std::to_string(::getpid()));
    measure("there and back", Work::none, path);
    measure("with a write", Work::write, path);
    measure("with a write and fdatasync", Work::sync, path);
    return 0;
}
