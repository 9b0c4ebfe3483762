// DriverUv: carries out what Cluster wants, on a libuv loop of its own, and tells it what happened.
// Lives on the thread of its owner, which turns it.
#pragma once

#include "lib/client/cluster.h"
#include "lib/net/handle.h"
#include "lib/net/loop.h"
#include "lib/net/tcp.h"
#include "lib/net/timer.h"

#include <map>
#include <memory>
#include <vector>

namespace qtool::client {

/// From the system's random source; for the machines' generators.
uint64_t random_seed();

class DriverUv {
public:
    explicit DriverUv(Cluster& cluster);
    ~DriverUv();

    /// Carries out the outbox and empties it.
    void apply(Outbox& out);
    /// Handles what is ready; waits for the first event, at most until `until`.
    void turn(MonoTime until);
    /// As turn, also ends when `fd` is readable. True: it is; files always are. The descriptor is
    /// to stay open until another one is given, or the driver ends.
    bool turn_readable(int fd, MonoTime until);

private:
    Cluster& cluster_;
    net::Loop loop_;
    net::Timer timer_;
    std::map<LinkId, std::unique_ptr<net::Tcp>> links_;
    std::vector<std::unique_ptr<net::Tcp>> gone_; // closed from within their own callbacks
    Outbox pending_;                              // what callbacks asked for
    // Kept from turn to turn: while a closed handle waits for its end, libuv does not wait for
    // events.
    net::Handle<uv_poll_t> watch_;
    int watched_ = -1; // the descriptor of it
};

} // namespace qtool::client
