// UvWorld: the threads, loops and ports of one process: N data cores and the metadata core.
// Made, started and stopped by the main thread; everything a core is given lives on that core.
//
//   create -> attach each core -> start -> (run_on) -> stop
#pragma once

#include "server/port/core_events.h"
#include "server/port/http.h"

#include <functional>
#include <memory>
#include <vector>

namespace qtool::uv {

/// Files, PEM; empty: not used. The server's certificate is always checked.
struct HttpTls {
    std::string ca_file;   // empty: the system's authorities
    std::string cert_file; // ours
    std::string key_file;
};

class UvWorld {
public:
    /// Cores 0..data_core_count-1, and the metadata core with the next number. Errors: internal
    /// (no loop could be made: out of descriptors or memory).
    static Result<std::unique_ptr<UvWorld>> create(uint16_t data_core_count);
    ~UvWorld();
    UvWorld(const UvWorld&) = delete;
    UvWorld& operator=(const UvWorld&) = delete;

    /// The core's ports. Before start, only its disk, clock and random bits may be used.
    [[nodiscard]] port::CorePorts ports(CoreId core);
    /// Before start: HTTP requests of that core, for one user; lives until stop(). Errors: internal
    /// (libcurl cannot be loaded).
    Result<port::Http*> open_http(CoreId core, HttpTls tls);
    /// `events` must outlive stop().
    void attach(CoreId core, port::CoreEvents* events);
    /// Before start: opens a socket that core 0 will listen on, so that a client that comes while
    /// the broker starts waits for its answer instead of being refused. Errors: as Net::listen.
    Result<void> reserve_listener(const std::string& host, uint16_t port);
    /// Starts the threads. Each calls `on_core_start` with its core before any event; the end of
    /// that first turn follows. Errors: internal; the world is then stopped.
    Result<void> start(std::function<void(CoreId)> on_core_start);
    /// Any thread, after start: runs `job` on that core's thread, then ends its turn.
    void run_on(CoreId core, std::function<void()> job);
    /// Ends the threads, then closes sockets and files without further events. Idempotent.
    void stop();

private:
    class UvCore;
    UvWorld();

    struct State;
    std::unique_ptr<State> state_;
};

} // namespace qtool::uv
