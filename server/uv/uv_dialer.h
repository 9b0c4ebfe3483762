// UvDialer: connections a core makes: the name is resolved off the loop, then its addresses are
// tried one after the other until one answers. Lives on its core; owned by UvNet.
//
//   resolving --addresses--> trying --connected--> given to on_done
//   any --deadline, no address left--> told to on_done; --give_up--> nothing is told
//
// Numeric addresses need no resolver, so a cluster that advertises such starts no thread for it.
#pragma once

#include "lib/base/result.h"
#include "lib/base/slot_map.h"
#include "lib/base/timer_heap.h"
#include "lib/net/handle.h"
#include "server/uv/core_context.h"

#include <sys/socket.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtool::uv {

class UvDialer {
public:
    /// A connected socket, non-blocking, which is the callee's; or why there is none: see
    /// CoreEvents::on_connect_failed. Called from the loop.
    using OnDone = std::function<void(Token, Result<int>)>;

    UvDialer(CoreContext& context, OnDone on_done);
    ~UvDialer();
    UvDialer(const UvDialer&) = delete;
    UvDialer& operator=(const UvDialer&) = delete;

    /// `token` is the caller's name for it, not in use here.
    void dial(Token token, const std::string& host, uint16_t port, Duration patience);
    /// No on_done follows; unknown tokens do nothing.
    void give_up(Token token);
    /// Gives all up and lets the loop's handles go.
    void close();

private:
    struct Address {
        sockaddr_storage storage{};
        socklen_t size = 0;
    };
    struct Resolving; // what libuv holds until it has called back
    struct Attempt {
        UvDialer* dialer = nullptr;
        Token token;
        std::string peer; // host:port, for messages
        std::vector<Address> addresses;
        size_t next_address = 0;
        int fd = -1;
        net::Handle<uv_poll_t> poll;
        Resolving* resolving = nullptr;
        std::optional<Error> failed; // told by the timer: never from within dial
    };

    void resolve(Attempt& attempt, const std::string& host, uint16_t port);
    static void on_resolved(uv_getaddrinfo_t* request, int status, addrinfo* list);
    void try_next_address(Attempt& attempt);
    void on_ready(Attempt& attempt);
    void fail_soon(Attempt& attempt, Error error);
    void finish(Attempt& attempt, Result<int> result);
    static void drop_socket(Attempt& attempt);
    void alarm_at(MonoTime due, Token token);
    void on_time();

    CoreContext& context_;
    OnDone on_done_;
    std::map<Token, Attempt> attempts_; // a map: polls point to their attempt
    TimerHeap<Token> deadlines_;
    net::Handle<uv_timer_t> timer_;
};

} // namespace qtool::uv
