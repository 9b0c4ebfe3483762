#include "lib/admin/connection.h"

#include "lib/net/loop.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

namespace qtool::admin {

namespace {

/// Waits until the descriptor is ready for `events`.
Result<void> wait_for(int fd, short events, MonoTime deadline) {
    while (true) {
        const Duration left = deadline - net::Loop::now();
        if (left <= Duration::zero()) {
            return Error(Code::timed_out, "no answer in time");
        }
        // Rounded up, so that the last fraction of a millisecond is not spent spinning.
        const auto left_ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
        pollfd entry{fd, events, 0};
        const int n = ::poll(&entry, 1, static_cast<int>(std::min<int64_t>(left_ms, 60'000)));
        if (n > 0) {
            return {};
        }
        if (n < 0 && errno != EINTR) {
            return Error(Code::connection_failed, "poll", errno);
        }
    }
}

} // namespace

Connection::Connection(Connection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Connection& Connection::operator=(Connection&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

Connection::~Connection() {
    close();
}

void Connection::close() {
    if (fd_ >= 0) {
        ::close(fd_);
        fd_ = -1;
    }
}

Result<Connection> Connection::open(const config::Endpoint& endpoint, MonoTime deadline) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const std::string port = std::to_string(endpoint.port);
    if (const int status = ::getaddrinfo(endpoint.host.c_str(), port.c_str(), &hints, &found);
        status != 0) {
        return Error(Code::connection_failed,
                     "cannot resolve '" + endpoint.host + "': " + ::gai_strerror(status));
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, &::freeaddrinfo);
    Error last(Code::connection_failed, "no address for '" + endpoint.host + "'");
    for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
        Connection connection;
        connection.fd_ = ::socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connection.fd_ < 0) {
            last = Error(Code::connection_failed, "socket", errno);
            continue;
        }
        if (::connect(connection.fd_, at->ai_addr, at->ai_addrlen) != 0) {
            if (errno != EINPROGRESS) {
                last = Error(Code::connection_failed, "cannot connect", errno);
                continue;
            }
            QT_TRY(wait_for(connection.fd_, POLLOUT, deadline));
            int problem = 0;
            socklen_t size = sizeof problem;
            ::getsockopt(connection.fd_, SOL_SOCKET, SO_ERROR, &problem, &size);
            if (problem != 0) {
                last = Error(Code::connection_failed, "cannot connect", problem);
                continue;
            }
        }
        const int on = 1;
        ::setsockopt(connection.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return connection;
    }
    return last;
}

Result<void> Connection::send(ByteView bytes, MonoTime deadline) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n >= 0) {
            bytes = bytes.subspan(static_cast<size_t>(n));
        } else if (errno == EAGAIN) {
            QT_TRY(wait_for(fd_, POLLOUT, deadline));
        } else if (errno != EINTR) {
            return Error(Code::connection_failed, "cannot send", errno);
        }
    }
    return {};
}

Result<size_t> Connection::receive(ByteSpan into, MonoTime deadline) {
    while (true) {
        const ssize_t n = ::recv(fd_, into.data(), into.size(), 0);
        if (n >= 0) {
            return static_cast<size_t>(n);
        }
        if (errno == EAGAIN) {
            QT_TRY(wait_for(fd_, POLLIN, deadline));
        } else if (errno != EINTR) {
            return Error(Code::connection_failed, "cannot receive", errno);
        }
    }
}

} // namespace qtool::admin
