#include "server/uv/uv_listeners.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/net/local_path.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

namespace qtool::uv {

namespace {

constexpr int kAcceptsPerTurnMax = 64; // so that a rush of clients does not starve those served
constexpr uint64_t kPauseMs = 100;
constexpr uint64_t kLogIntervalMs = 1000;

port::SocketAddress to_address(const sockaddr_storage& storage, socklen_t size) {
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> service{};
    const int status =
        ::getnameinfo(reinterpret_cast<const sockaddr*>(&storage), size, host.data(), host.size(),
                      service.data(), service.size(), NI_NUMERICHOST | NI_NUMERICSERV);
    if (status != 0) {
        return {"unknown", 0};
    }
    return {host.data(), static_cast<uint16_t>(std::stoi(service.data()))};
}

/// A listening socket, or the errno as a negative number.
int open_listener(const addrinfo& address) {
    const int fd = ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.ai_family == AF_INET6) {
        // So that 0.0.0.0 and :: may be listened on side by side, whatever the system's default.
        ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (::bind(fd, address.ai_addr, address.ai_addrlen) != 0 || ::listen(fd, SOMAXCONN) != 0) {
        const int reason = errno;
        ::close(fd);
        return -reason;
    }
    return fd;
}

/// Errors: invalid_argument, connection_failed.
Result<int> open_listener(const std::string& host, uint16_t port) {
    const std::string where = host + ":" + std::to_string(port);
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int status = ::getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                     std::to_string(port).c_str(), &hints, &found);
    if (status != 0) {
        return Error(Code::invalid_argument,
                     "cannot listen on " + where + ": " + ::gai_strerror(status));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
    const int fd = open_listener(*addresses);
    if (fd < 0) {
        return Error(Code::connection_failed, "cannot listen on " + where, -fd);
    }
    return fd;
}

bool is_out_of_resources(int sys_errno) {
    return sys_errno == EMFILE || sys_errno == ENFILE || sys_errno == ENOBUFS ||
           sys_errno == ENOMEM;
}

} // namespace

UvListeners::UvListeners(CoreContext& context, std::function<void(AcceptedSocket)> deal)
    : context_(context),
      deal_(std::move(deal)) {
    const int status = resume_timer_.open(
        this, [&](uv_timer_t* timer) { return uv_timer_init(&context_.loop, timer); });
    QT_ASSERT(status == 0); // cannot fail
}

UvListeners::~UvListeners() {
    QT_ASSERT(listeners_.empty());
}

Result<void> UvListeners::reserve(const std::string& host, uint16_t port) {
    QT_TRY_ASSIGN(const int fd, open_listener(host, port));
    reserved_.push_back({host, port, fd});
    return {};
}

Result<port::SocketAddress> UvListeners::listen(const std::string& host, uint16_t port,
                                                uint8_t listener) {
    const std::string where = host + ":" + std::to_string(port);
    const auto reserved =
        std::find_if(reserved_.begin(), reserved_.end(),
                     [&](const Reserved& one) { return one.host == host && one.port == port; });
    int fd = -1;
    if (reserved != reserved_.end()) {
        fd = reserved->fd;
        reserved_.erase(reserved);
    } else {
        QT_TRY_ASSIGN(fd, open_listener(host, port));
    }
    if (reserve_fd_ < 0) {
        reserve_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    Listener& added = listeners_.emplace_back();
    added.all = this;
    added.fd = fd;
    added.tag = listener;
    int opened = added.poll.open(
        &added, [&](uv_poll_t* poll) { return uv_poll_init_socket(&context_.loop, poll, fd); });
    if (opened == 0) {
        opened = start(added);
    }
    if (opened != 0) {
        listeners_.pop_back();
        ::close(fd);
        return Error(Code::connection_failed,
                     "cannot listen on " + where + ": " + uv_strerror(opened));
    }
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
    return to_address(bound, size);
}

int UvListeners::start(Listener& listener) {
    return uv_poll_start(listener.poll.get(), UV_READABLE, [](uv_poll_t* poll, int, int) {
        const auto& ready = *static_cast<Listener*>(poll->data);
        ready.all->on_ready(ready);
    });
}

void UvListeners::stop() {
    for (const Reserved& unused : std::exchange(reserved_, {})) {
        ::close(unused.fd);
    }
    for (Listener& listener : listeners_) {
        listener.poll.close();
        ::close(listener.fd);
    }
    listeners_.clear();
    uv_timer_stop(resume_timer_.get());
    if (reserve_fd_ >= 0) {
        ::close(std::exchange(reserve_fd_, -1));
    }
}

void UvListeners::on_ready(const Listener& listener) {
    for (int i = 0; i < kAcceptsPerTurnMax; i++) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        const int fd = ::accept4(listener.fd, reinterpret_cast<sockaddr*>(&peer), &size,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            const int on = 1;
            ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            net::unpace_local(fd, reinterpret_cast<const sockaddr&>(peer));
            deal_(AcceptedSocket{fd, listener.tag, to_address(peer, size)});
            if (listeners_.empty()) {
                return; // stopped from within; `listener` is gone
            }
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (is_out_of_resources(errno)) {
            const Shed shed = shed_connection(listener);
            if (shed == Shed::failed) {
                pause();
            }
            if (shed != Shed::refused) {
                return;
            }
        }
        // Else that one connection failed on its way in (ECONNABORTED, EPROTO, ...): the next one.
    }
}

// Out of descriptors: left alone, the waiting connection would keep the loop spinning. The reserve
// makes room to take it and drop it. (The system says so before it looks whether anybody waits.)
UvListeners::Shed UvListeners::shed_connection(const Listener& listener) {
    if (reserve_fd_ >= 0) {
        ::close(std::exchange(reserve_fd_, -1));
    }
    const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
    const int reason = errno;
    if (fd >= 0) {
        ::close(fd);
    }
    reserve_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        refused_++;
        log_trouble("connections_refused");
        return Shed::refused;
    }
    return is_out_of_resources(reason) ? Shed::failed : Shed::nobody_waits;
}

void UvListeners::log_trouble(const char* event) {
    const uint64_t now_ms = uv_now(&context_.loop);
    if (now_ms < log_due_ms_) {
        return;
    }
    log_due_ms_ = now_ms + kLogIntervalMs;
    log_line(LogLevel::error, event,
             {{"why", "out of file descriptors or memory: raise the limit (ulimit -n)"},
              {"refused", std::exchange(refused_, 0)}});
}

void UvListeners::pause() {
    log_trouble("listening_paused");
    for (Listener& listener : listeners_) {
        uv_poll_stop(listener.poll.get());
    }
    uv_timer_start(
        resume_timer_.get(),
        [](uv_timer_t* timer) { static_cast<UvListeners*>(timer->data)->resume(); }, kPauseMs, 0);
}

void UvListeners::resume() {
    if (reserve_fd_ < 0) {
        reserve_fd_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    for (Listener& listener : listeners_) {
        const int status = start(listener);
        QT_ASSERT(status == 0); // fails only for handles that are closing
    }
}

} // namespace qtool::uv
