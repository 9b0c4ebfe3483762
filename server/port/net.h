// Byte streams as a core sees them. A connection belongs to one core; another one may take it over.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/chunk.h"
#include "lib/base/result.h"
#include "lib/base/slot_map.h"
#include "server/port/disk.h"

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace qtool::port {

/// Part of a received chunk that is sent or written as it is.
struct ChunkPiece {
    ChunkRef chunk; // keeps `bytes` alive
    ByteView bytes;
};

/// The unit of sending: bytes of our own, bytes of a chunk, or a range of a file.
using Piece = std::variant<std::vector<std::byte>, ChunkPiece, FileRange>;

uint64_t piece_size(const Piece& piece);

struct SocketAddress {
    std::string host; // numeric
    uint16_t port = 0;

    bool operator==(const SocketAddress&) const = default;
};

/// A connection that has left its core and is not with the next one yet. Destroyed before that, it
/// closes.
class DetachedConnection {
public:
    DetachedConnection() = default;
    virtual ~DetachedConnection() = default;
    DetachedConnection(const DetachedConnection&) = delete;
    DetachedConnection& operator=(const DetachedConnection&) = delete;
};

class Net {
public:
    virtual ~Net() = default;

    /// Starts to accept on host:port (port 0: any free one); `listener` comes back in on_accept.
    /// Called on core 0 only; accepted connections are dealt to the cores in turn.
    /// Returns the bound address. Errors: invalid_argument, connection_failed (address in use).
    virtual Result<SocketAddress> listen(const std::string& host, uint16_t port,
                                         uint8_t listener) = 0;
    /// Closes all listeners.
    virtual void stop_listening() = 0;

    /// Begins to connect; `host` is a name or numeric. Exactly one event follows, later:
    /// on_connected (a connection as any other from then on, reading is on) or on_connect_failed.
    /// What is sent before that is queued; close(token) gives up, and no event follows. On any
    /// core.
    virtual Token connect(const std::string& host, uint16_t port, uint32_t deadline_ms) = 0;

    /// Queues pieces behind what is queued already; never fails, on_closed tells when the peer is
    /// gone. The caller bounds the queue by looking at queued_bytes.
    virtual void send(Token connection, std::vector<Piece> pieces) = 0;
    [[nodiscard]] virtual uint64_t queued_bytes(Token connection) const = 0;
    /// Stops or resumes reading: backpressure reaches the peer through TCP. Reading is on after
    /// on_accept.
    virtual void set_reading(Token connection, bool on) = 0;
    /// No more reading; closes when the queue is sent, or after `deadline_ms`, whichever is first.
    virtual void close_when_sent(Token connection, uint32_t deadline_ms) = 0;
    /// Closes now and drops the queue. No on_closed follows. The token is dead at once.
    virtual void close(Token connection) = 0;

    /// Takes an open connection with an empty queue out of this core, also from within on_received.
    /// The token is dead at once, no event follows; what the peer sends waits.
    virtual std::unique_ptr<DetachedConnection> detach(Token connection) = 0;
    /// Takes over what a core of the same world detached; reading is on. That the peer is gone
    /// meanwhile comes as on_closed. Token{}: this core takes no more, and the connection is
    /// closed.
    virtual Token attach(std::unique_ptr<DetachedConnection> connection) = 0;
};

} // namespace qtool::port
