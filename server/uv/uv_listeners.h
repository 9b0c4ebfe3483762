// UvListeners: the listening sockets of one core and what comes in through them. Lives on its core.
//
//   listening --out of descriptors, and none could be freed--> paused --100 ms--> listening
#pragma once

#include "lib/net/handle.h"
#include "server/port/net.h"
#include "server/uv/core_context.h"

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <vector>

namespace qtool::uv {

/// An accepted socket on its way to the core that will own it.
struct AcceptedSocket {
    int fd = -1;
    uint8_t listener = 0;
    port::SocketAddress peer;
};

class UvListeners {
public:
    /// `deal` hands an accepted socket to some core; called from the loop.
    UvListeners(CoreContext& context, std::function<void(AcceptedSocket)> deal);
    ~UvListeners();
    UvListeners(const UvListeners&) = delete;
    UvListeners& operator=(const UvListeners&) = delete;

    /// Opens the socket now, so that clients may connect and wait; listen() with the same address
    /// takes it over. Before the core's thread runs. Errors: as listen.
    Result<void> reserve(const std::string& host, uint16_t port);
    /// As port::Net::listen.
    Result<port::SocketAddress> listen(const std::string& host, uint16_t port, uint8_t listener);
    /// Closes all; `deal` may call it.
    void stop();
    /// After stop: lets the loop's handle go.
    void close() { resume_timer_.close(); }

private:
    struct Listener {
        UvListeners* all = nullptr;
        int fd = -1;
        uint8_t tag = 0;
        net::Handle<uv_poll_t> poll;
    };

    struct Reserved {
        std::string host;
        uint16_t port = 0;
        int fd = -1;
    };

    static int start(Listener& listener);
    void on_ready(const Listener& listener);
    enum class Shed : uint8_t { refused, nobody_waits, failed };
    Shed shed_connection(const Listener& listener);
    void pause();
    void resume();
    void log_trouble(const char* event);

    CoreContext& context_;
    std::function<void(AcceptedSocket)> deal_;
    std::list<Listener> listeners_; // a list: polls point to their listener
    std::vector<Reserved> reserved_;
    net::Handle<uv_timer_t> resume_timer_;
    int reserve_fd_ = -1;  // given up to refuse a connection when descriptors ran out
    uint64_t refused_ = 0; // since the last line about it
    uint64_t log_due_ms_ = 0;
};

} // namespace qtool::uv
