// Resolve: names to addresses, off the loop (libuv's thread pool). Lives on the loop's thread.
#pragma once

#include "lib/base/result.h"
#include "lib/net/loop.h"

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace qtool::net {

/// One address to connect to, as the system wants it.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

/// "127.0.0.1:9092", "[::1]:9092".
std::string to_string(const Address& address);

class Resolve {
public:
    using OnDone = std::function<void(Result<std::vector<Address>>)>;

    /// Calls on_done later, on the loop's thread, with at least one address in the system's order
    /// of preference, or connection_failed naming host and reason. Destroying the Resolve cancels
    /// the call. on_done may destroy it.
    Resolve(Loop& loop, const std::string& host, uint16_t port, OnDone on_done);
    ~Resolve();
    Resolve(const Resolve&) = delete;
    Resolve& operator=(const Resolve&) = delete;

private:
    struct State;
    std::shared_ptr<State> state_; // shared with the request under way
};

} // namespace qtool::net
