// Outgoing: the near end of a stream that a core opened to another machine: Net::connect in the
// simulator. The far end is a stream of that machine's Network like any client's, with the same
// latency, pieces, cuts and resets.
//
//   connecting --accepted--> open --either side ends--> gone
//   connecting --nobody listens, unknown host, deadline--> gone
#pragma once

#include "tests/sim/sim_net.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qtool::sim {

class Outgoing final : public StreamEvents {
public:
    struct Setup {
        World* world = nullptr;
        Network* near = nullptr;
        ServerSide* process = nullptr;
        CoreId core;
        Token token;
    };

    explicit Outgoing(Setup setup) : setup_(std::move(setup)), alive_(setup_.process->alive) {}
    Outgoing(const Outgoing&) = delete;
    Outgoing& operator=(const Outgoing&) = delete;

    /// `far` null: no such host.
    void connect(Network* far, std::string peer, uint16_t port, Duration patience);
    // As the net port's.
    void send(std::vector<port::Piece> pieces);
    [[nodiscard]] uint64_t queued() const;
    void set_reading(bool on);
    void close_when_sent(Duration patience);
    /// No event follows.
    void close();
    /// The process is gone. `silently`: the far side is not told.
    void drop(bool silently);

    // StreamEvents
    void on_open(StreamId stream) override;
    void on_bytes(StreamId stream, ByteView bytes) override;
    void on_written(StreamId stream) override;
    void on_end(StreamId stream) override;

private:
    enum class State : uint8_t { connecting, open, gone };

    void deliver(const std::function<void(port::CoreEvents&)>& action);
    void fail(Error error);
    void lose();
    void forget();
    void schedule_pump();
    void pump();
    /// The far machine's own, while the stream is there; null else.
    [[nodiscard]] bool has_stream() const { return far_ != nullptr && stream_ != 0; }

    Setup setup_;
    std::shared_ptr<const bool> alive_;
    State state_ = State::connecting;
    Network* far_ = nullptr;
    StreamId stream_ = 0;
    std::string peer_;
    std::vector<std::byte> early_;   // sent before there was a stream
    std::vector<std::byte> arrived_; // unread
    bool is_read_ = true;
    bool pump_due_ = false;
    bool written_due_ = false;
    bool finishing_ = false;
    bool has_ended_ = false; // the far side closed; arrived_ is still to be read
};

} // namespace qtool::sim
