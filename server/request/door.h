// Door: one connection's protocol, sans-IO: bytes in, answers out in request order. Kafka frames
// and HTTP are the two kinds; the first byte decides. Lives on the core of its connection, owned by
// it.
#pragma once

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "server/metrics/counters.h"
#include "server/port/net.h"
#include "server/request/pending.h"
#include "server/request/receive_buffer.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

namespace qtool::request {

/// What a door may ask of its core while it handles bytes.
class DoorHost {
public:
    virtual ~DoorHost() = default;
    virtual Services& services() = 0;
    virtual metrics::CoreCounters& counters() = 0;
    [[nodiscard]] virtual const port::SocketAddress& peer() const = 0;
    /// Keeps `pending` and starts it; its answer comes back as Door::on_answer(slot, ...).
    virtual void add_pending(std::unique_ptr<Pending> pending, uint64_t slot) = 0;
    /// Queues bytes to the peer.
    virtual void send(std::vector<port::Piece> pieces) = 0;
    /// False: more waits to be sent than connection.output.bytes.max, or the connection is closing;
    /// no further request is handled now. The core comes back with the bytes left over.
    [[nodiscard]] virtual bool wants_requests() const = 0;
    /// Door::on_tick at this time at the latest; then the socket is read if the door wants bytes.
    virtual void wake_at(MonoTime at) = 0;
    /// Closes after what was sent has left; no more bytes are handed in. Logged at debug.
    virtual void close(std::string_view reason) = 0;
};

class Door {
public:
    virtual ~Door() = default;
    /// Parses what `in` holds and handles requests, until it needs more bytes, wants_bytes() turns
    /// false or so does the host's wants_requests(). Ends with in.settle().
    virtual void on_bytes(ReceiveBuffer& in, DoorHost& host) = 0;
    /// The answer to the request of this slot; empty pieces: none is owed.
    virtual void on_answer(uint64_t slot, std::vector<port::Piece> pieces, DoorHost& host) = 0;
    /// Every few seconds, and when wake_at asked for it: a door with time limits checks them here.
    virtual void on_tick(MonoTime, DoorHost&) {}
    /// False while too many requests are unanswered: the core then stops reading the socket.
    [[nodiscard]] virtual bool wants_bytes() const = 0;
    /// True when no request is unanswered.
    [[nodiscard]] virtual bool is_idle() const = 0;
};

/// Answers that become ready in any order and leave in request order.
class ReplyQueue {
public:
    /// The slot of the next request.
    uint64_t open();
    /// Fills a slot; returns what may leave now, in order.
    std::vector<port::Piece> fill(uint64_t slot, std::vector<port::Piece> pieces);
    [[nodiscard]] size_t unanswered() const { return slots_.size(); }

private:
    struct Slot {
        bool ready = false;
        std::vector<port::Piece> pieces;
    };
    std::deque<Slot> slots_;
    uint64_t first_ = 0; // number of slots_.front()
};

} // namespace qtool::request
