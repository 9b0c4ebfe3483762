// Connection: one blocking TCP connection with a deadline for each step, for commands that ask one
// question and leave. No loop and no threads behind it: that start-up would cost more than the
// request. Used by one thread at a time.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/config/option.h"

namespace qtool::admin {

class Connection {
public:
    Connection() = default;
    Connection(Connection&& other) noexcept;
    Connection& operator=(Connection&& other) noexcept;
    ~Connection();

    /// Tries each address of the name in turn. Name resolution itself is the system's and not
    /// bounded by the deadline. Errors: connection_failed, timed_out.
    static Result<Connection> open(const config::Endpoint& endpoint, MonoTime deadline);

    /// Sends all bytes. Errors: connection_failed, timed_out.
    Result<void> send(ByteView bytes, MonoTime deadline);
    /// At least one byte; 0 when the peer closed. Errors: connection_failed, timed_out.
    Result<size_t> receive(ByteSpan into, MonoTime deadline);

    [[nodiscard]] bool is_open() const { return fd_ >= 0; }
    void close();

private:
    int fd_ = -1;
};

} // namespace qtool::admin
