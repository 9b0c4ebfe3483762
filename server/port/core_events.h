// What the outside tells a core, and the ports a core is given. broker::Core and
// broker::MetadataCore implement CoreEvents; server/uv and tests/sim call it. All calls happen on
// the core's own thread.
#pragma once

#include "lib/base/error.h"
#include "lib/base/ids.h"
#include "server/port/clock.h"
#include "server/port/disk.h"
#include "server/port/mailbox.h"
#include "server/port/net.h"
#include "server/port/random.h"

namespace qtool::port {

class CoreEvents {
public:
    virtual ~CoreEvents() = default;

    /// A new connection; `peer` is its remote address.
    virtual void on_accept(Token connection, uint8_t listener, const SocketAddress& peer) = 0;
    /// A connection begun with Net::connect stands.
    virtual void on_connected(Token connection) = 0;
    /// It does not; the token is dead. connection_refused: a machine answered that nobody listens
    /// there; timed_out: nobody answered before the deadline; connection_failed: the rest (a name
    /// that is unknown, no route, out of descriptors).
    virtual void on_connect_failed(Token connection, Error error) = 0;
    /// Where the next bytes of the connection go: at least one byte. Asked right before reading.
    virtual ByteSpan receive_buffer(Token connection) = 0;
    /// `size` bytes (at least one) were put at the front of the last receive_buffer.
    virtual void on_received(Token connection, size_t size) = 0;
    /// The queue fell to `queued` bytes after having been longer.
    virtual void on_sent(Token connection, uint64_t queued) = 0;
    /// The peer closed or the stream broke; the token is dead. Not called after Net::close.
    virtual void on_closed(Token connection) = 0;

    virtual void on_synced(Token token, Result<void> result) = 0;
    /// Of Disk::read_in. Its tokens are no relation of those of syncs.
    virtual void on_read_in(Token token, Result<void> result) = 0;
    virtual void on_mail(std::unique_ptr<Mail> mail) = 0;
    virtual void on_timer() = 0;
    /// After each batch of events above: time to post mail, send replies, start flushes.
    virtual void on_turn_end() = 0;
};

struct CorePorts {
    CoreId id;
    Clock* clock = nullptr;
    Timer* timer = nullptr;
    Disk* disk = nullptr;
    Net* net = nullptr;
    Mailbox* mailbox = nullptr;
    Random* random = nullptr;
};

} // namespace qtool::port
