// ConnectionTable: the connections of one core: their receive buffers, doors, pending requests and
// backpressure. Lives on that core; owned by Core.
//
// A connection is read while its door wants bytes and its output queue is short; otherwise the
// socket is left alone and TCP slows the peer down.
#pragma once

#include "lib/base/slot_map.h"
#include "lib/base/time.h"
#include "server/broker/connection_home.h"
#include "server/port/core_events.h"
#include "server/request/door.h"

#include <memory>
#include <vector>

namespace qtool::broker {

struct ConnectionSlot {
    Token token; // of the net port; no generation: free
    uint8_t listener = 0;
    bool closing = false;
    bool is_read = true; // what the net port was told last
    port::SocketAddress peer;
    request::ReceiveBuffer in;
    std::unique_ptr<request::Door> door; // none before the first byte
    std::vector<Token> pending;          // requests without an answer
    MonoTime last_active{};
    MonoTime send_began{}; // of what waits to be sent, the oldest
    ConnectionHome home;

    /// Between two requests, with nothing that holds it here.
    [[nodiscard]] bool can_move() const {
        return !closing && is_read && pending.empty() && door && door->is_idle() &&
               door->wants_bytes();
    }
};

class ConnectionTable {
public:
    ConnectionSlot& open(Token token);
    /// Takes over what another core's table gave away.
    ConnectionSlot& put(Token token, std::unique_ptr<ConnectionSlot> connection);
    /// Gives the connection away.
    std::unique_ptr<ConnectionSlot> take(Token token);
    /// nullptr when the connection is gone.
    [[nodiscard]] ConnectionSlot* find(Token token);
    void erase(Token token);
    [[nodiscard]] size_t size() const { return size_; }

    template <class F>
    void for_each(F&& f) {
        for (auto& slot : slots_) {
            if (slot) {
                f(*slot);
            }
        }
    }

private:
    std::vector<std::unique_ptr<ConnectionSlot>> slots_; // by token slot
    size_t size_ = 0;
};

} // namespace qtool::broker
