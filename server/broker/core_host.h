// Core::Host: the DoorHost of one connection. For the files of Core alone.
#pragma once

#include "server/broker/core.h"

namespace qtool::broker {

// What a door sees of its core and connection while it handles bytes. Short-lived, on the stack.
class Core::Host final : public request::DoorHost {
public:
    Host(Core& core, ConnectionSlot& connection) : core_(core), connection_(connection) {}

    request::Services& services() override { return core_; }
    metrics::CoreCounters& counters() override { return core_.counters_; }
    [[nodiscard]] const port::SocketAddress& peer() const override { return connection_.peer; }
    void add_pending(std::unique_ptr<request::Pending> pending, uint64_t slot) override {
        core_.add_pending(connection_, std::move(pending), slot);
    }
    void send(std::vector<port::Piece> pieces) override {
        for (const port::Piece& piece : pieces) {
            core_.counters_.bytes_sent.add(port::piece_size(piece));
            connection_.home.on_bytes(port::piece_size(piece));
        }
        if (core_.ports_.net->queued_bytes(connection_.token) == 0) {
            connection_.send_began = core_.now();
        }
        core_.ports_.net->send(connection_.token, std::move(pieces));
    }
    [[nodiscard]] bool wants_requests() const override {
        return !connection_.closing && !core_.is_output_full(connection_.token);
    }
    void wake_at(MonoTime at) override { core_.door_wakes_.push(at, connection_.token); }
    void close(std::string_view reason) override {
        core_.close_connection(connection_.token, reason);
    }

private:
    Core& core_;
    ConnectionSlot& connection_;
};

} // namespace qtool::broker
