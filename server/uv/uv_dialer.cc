#include "server/uv/uv_dialer.h"

#include "lib/base/assert.h"
#include "lib/net/local_path.h"
#include "server/uv/uv_timer.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace qtool::uv {

namespace {

MonoTime mono_now() {
    return MonoTime{std::chrono::nanoseconds(uv_hrtime())};
}

Error connect_error(const std::string& peer, int reason) {
    const Code code = reason == ECONNREFUSED ? Code::connection_refused : Code::connection_failed;
    Error error(code, "cannot connect to " + peer);
    error.sys_errno = reason;
    return error;
}

} // namespace

struct UvDialer::Resolving {
    uv_getaddrinfo_t request{};
    UvDialer* dialer = nullptr;
    Token token; // none: given up
};

UvDialer::UvDialer(CoreContext& context, OnDone on_done)
    : context_(context),
      on_done_(std::move(on_done)) {
    const int status =
        timer_.open(this, [&](uv_timer_t* timer) { return uv_timer_init(&context_.loop, timer); });
    QT_ASSERT(status == 0); // cannot fail
}

UvDialer::~UvDialer() {
    QT_ASSERT(attempts_.empty());
}

void UvDialer::dial(Token token, const std::string& host, uint16_t port, Duration patience) {
    Attempt& attempt = attempts_[token];
    QT_ASSERT(attempt.dialer == nullptr);
    attempt.dialer = this;
    attempt.token = token;
    attempt.peer = host + ":" + std::to_string(port);
    alarm_at(mono_now() + patience, token);
    Address address;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    if (uv_ip4_addr(host.c_str(), port, v4) == 0) {
        address.size = sizeof *v4;
    } else if (uv_ip6_addr(host.c_str(), port, v6) == 0) {
        address.size = sizeof *v6;
    } else {
        resolve(attempt, host, port);
        return;
    }
    attempt.addresses.push_back(address);
    try_next_address(attempt);
}

void UvDialer::resolve(Attempt& attempt, const std::string& host, uint16_t port) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    auto resolving = std::make_unique<Resolving>();
    resolving->dialer = this;
    resolving->token = attempt.token;
    resolving->request.data = resolving.get();
    const int status = uv_getaddrinfo(&context_.loop, &resolving->request, &on_resolved,
                                      host.c_str(), std::to_string(port).c_str(), &hints);
    if (status != 0) {
        fail_soon(attempt, Error(Code::connection_failed,
                                 "cannot resolve '" + host + "': " + uv_strerror(status)));
        return;
    }
    attempt.resolving = resolving.release(); // until on_resolved
}

void UvDialer::on_resolved(uv_getaddrinfo_t* request, int status, addrinfo* list) {
    const std::unique_ptr<Resolving> resolving(static_cast<Resolving*>(request->data));
    UvDialer& dialer = *resolving->dialer;
    const auto at =
        resolving->token ? dialer.attempts_.find(resolving->token) : dialer.attempts_.end();
    if (at != dialer.attempts_.end()) {
        Attempt& attempt = at->second;
        attempt.resolving = nullptr;
        for (const addrinfo* found = list; found != nullptr; found = found->ai_next) {
            Address address;
            QT_ASSERT(found->ai_addrlen <= sizeof address.storage);
            std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
            address.size = found->ai_addrlen;
            attempt.addresses.push_back(address);
        }
        if (attempt.addresses.empty()) {
            dialer.finish(attempt, Error(Code::connection_failed,
                                         "cannot resolve the host of " + attempt.peer + ": " +
                                             (status == 0 ? "no address" : uv_strerror(status))));
        } else {
            dialer.try_next_address(attempt);
        }
    }
    uv_freeaddrinfo(list);
}

void UvDialer::try_next_address(Attempt& attempt) {
    int reason = EADDRNOTAVAIL;
    while (attempt.next_address < attempt.addresses.size()) {
        const Address& address = attempt.addresses[attempt.next_address++];
        const int family = address.storage.ss_family;
        attempt.fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (attempt.fd < 0) {
            reason = errno;
            continue;
        }
        const int on = 1;
        ::setsockopt(attempt.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const auto& peer = reinterpret_cast<const sockaddr&>(address.storage);
        net::unpace_local(attempt.fd, peer);
        const int status = ::connect(attempt.fd, &peer, address.size);
        reason = status == 0 || errno == EINPROGRESS ? 0 : errno;
        if (reason == 0) { // connected already or not yet: the socket becomes writable
            reason = -attempt.poll.open(&attempt, [&](uv_poll_t* poll) {
                return uv_poll_init_socket(&context_.loop, poll, attempt.fd);
            });
        }
        if (reason == 0) {
            const int started =
                uv_poll_start(attempt.poll.get(), UV_WRITABLE, [](uv_poll_t* poll, int, int) {
                    auto& ready = *static_cast<Attempt*>(poll->data);
                    ready.dialer->on_ready(ready);
                });
            QT_ASSERT(started == 0); // fails only for handles that are closing
            return;
        }
        drop_socket(attempt);
    }
    fail_soon(attempt, connect_error(attempt.peer, reason));
}

void UvDialer::on_ready(Attempt& attempt) {
    int reason = 0;
    socklen_t size = sizeof reason;
    ::getsockopt(attempt.fd, SOL_SOCKET, SO_ERROR, &reason, &size);
    if (reason == 0) {
        attempt.poll.close();
        finish(attempt, std::exchange(attempt.fd, -1));
        return;
    }
    drop_socket(attempt);
    if (attempt.next_address < attempt.addresses.size()) {
        try_next_address(attempt);
        return;
    }
    finish(attempt, connect_error(attempt.peer, reason));
}

void UvDialer::fail_soon(Attempt& attempt, Error error) {
    attempt.failed = std::move(error);
    alarm_at(mono_now(), attempt.token);
}

void UvDialer::finish(Attempt& attempt, Result<int> result) {
    const Token token = attempt.token;
    give_up(token);
    on_done_(token, std::move(result));
}

void UvDialer::give_up(Token token) {
    const auto at = attempts_.find(token);
    if (at == attempts_.end()) {
        return;
    }
    if (Resolving* resolving = at->second.resolving) {
        resolving->token = Token{};
        uv_cancel(reinterpret_cast<uv_req_t*>(&resolving->request)); // too late: it ends alone
    }
    drop_socket(at->second);
    attempts_.erase(at);
}

void UvDialer::drop_socket(Attempt& attempt) {
    attempt.poll.close();
    if (attempt.fd >= 0) {
        ::close(std::exchange(attempt.fd, -1));
    }
}

void UvDialer::alarm_at(MonoTime due, Token token) {
    deadlines_.push(due, token);
    start_timer(timer_.get(), deadlines_.next_due(),
                [](uv_timer_t* timer) { static_cast<UvDialer*>(timer->data)->on_time(); });
}

void UvDialer::on_time() {
    while (const std::optional<Token> token = deadlines_.pop_due(mono_now())) {
        const auto at = attempts_.find(*token);
        if (at == attempts_.end()) {
            continue;
        }
        Attempt& attempt = at->second;
        Error error = attempt.failed ? *std::exchange(attempt.failed, std::nullopt)
                                     : Error(Code::timed_out, "no answer from " + attempt.peer +
                                                                  " within the time to connect");
        finish(attempt, std::move(error));
    }
    start_timer(timer_.get(), deadlines_.next_due(),
                [](uv_timer_t* timer) { static_cast<UvDialer*>(timer->data)->on_time(); });
}

void UvDialer::close() {
    while (!attempts_.empty()) {
        give_up(attempts_.begin()->first);
    }
    timer_.close();
}

} // namespace qtool::uv
