// Tcp: one outgoing byte stream on a loop. Lives on the loop's thread. All callbacks come from the
// loop, never from within a call, and none after the Tcp is destroyed; each may destroy it.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/net/loop.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace qtool::net {

struct TcpCallbacks {
    std::function<void()> on_connected;
    /// At least one byte; the view is valid within the call.
    std::function<void(ByteView)> on_read;
    /// Could not connect, the peer closed (detail says so) or the stream broke. The last callback.
    std::function<void(Error)> on_closed;
    /// Optional. The queue fell to `queued` bytes: time to write more when writing was held back.
    std::function<void(uint64_t queued)> on_written;
    /// Optional. Where the next bytes go (at least one byte); without it a buffer of the Tcp's own.
    std::function<ByteSpan()> receive_buffer;
};

class Tcp {
public:
    Tcp(Loop& loop, TcpCallbacks callbacks);
    /// Closes; what is queued but not sent is dropped.
    ~Tcp();
    Tcp(const Tcp&) = delete;
    Tcp& operator=(const Tcp&) = delete;

    /// Resolves the host and tries its addresses in order until one answers. Called once. How long
    /// it may take is for the caller's own timer.
    void connect(const std::string& host, uint16_t port);
    /// Sends the buffers one after the other, behind what is queued already. Before on_connected it
    /// is queued; after on_closed it is dropped.
    void write(std::vector<std::vector<std::byte>> buffers);
    void write(std::vector<std::byte> bytes);
    /// Bytes given to write and not yet taken by the system. The caller bounds it.
    [[nodiscard]] uint64_t queued_bytes() const;
    /// Reading is on once connected; off reaches the peer as backpressure.
    void set_reading(bool on);

private:
    class Stream;
    std::shared_ptr<Stream> stream_; // shared with requests and handles that libuv still holds
};

} // namespace qtool::net
