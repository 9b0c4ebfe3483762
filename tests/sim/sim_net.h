// Network: byte streams between client machines and the broker's cores, through both sides' socket
// buffers. Bytes arrive late and in pieces of any size; a stream may end at any byte.
//
//   client -> [out] -> flight -> [arrived] -> core        core -> [pieces] -> flight -> client
//
// What a side holds is bounded by kWindowSize, so that a slow reader is felt by the writer.
#pragma once

#include "lib/base/slot_map.h"
#include "server/port/core_events.h"
#include "tests/sim/sim_world.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace qtool::sim {

using StreamId = uint64_t;

/// A client's end of a stream.
class StreamEvents {
public:
    virtual ~StreamEvents() = default;
    virtual void on_bytes(StreamId stream, ByteView bytes) = 0;
    /// Ended or never opened; nothing follows.
    virtual void on_end(StreamId stream) = 0;
};

/// The process that listens now: how to reach its cores.
struct ServerSide {
    std::shared_ptr<const bool> alive;
    uint16_t core_count = 0; // data cores
    /// Runs an action as an event of that core.
    std::function<void(CoreId, std::function<void(port::CoreEvents&)>)> deliver;
};

class Network {
public:
    explicit Network(World& world) : world_(world) {}

    // Client side. Streams opened while nobody listens end soon.
    StreamId connect(StreamEvents* client);
    void send(StreamId stream, ByteView bytes);
    void close(StreamId stream);

    // Faults.
    /// Cuts some streams at once, as resets that both sides see.
    void reset_some();
    /// Each new stream ends at a random byte with this probability.
    void set_cut_percent(uint32_t percent) { cut_percent_ = percent; }
    /// Clients stop reading for a while.
    void stall_clients(Duration duration);

    // Machine.
    void begin_listening(ServerSide* server, uint8_t listener);
    void stop_listening() { server_ = nullptr; }
    /// The process is gone. `silently`: as with a power loss, clients are not told.
    void drop_server(bool silently);

    // The net port of a core.
    void server_send(CoreId core, Token token, std::vector<port::Piece> pieces);
    [[nodiscard]] uint64_t server_queued(CoreId core, Token token);
    void server_set_reading(CoreId core, Token token, bool on);
    void server_close_when_sent(CoreId core, Token token, uint32_t deadline_ms);
    void server_close(CoreId core, Token token);

private:
    struct Stream {
        StreamEvents* client = nullptr;
        ServerSide* server = nullptr; // null: not accepted, or gone
        CoreId core;
        Token token;
        std::deque<std::byte> out; // of the client
        uint64_t to_server_flight = 0;
        std::vector<std::byte> arrived; // at the server, unread
        bool reading = true;
        bool pump_due = false;
        std::deque<port::Piece> pieces; // of the server
        uint64_t piece_done = 0;        // bytes of the first piece that left
        uint64_t queued = 0;
        uint64_t to_client_flight = 0;
        bool transmit_due = false;
        bool finishing = false; // the server closes when all is sent
        MonoTime to_server_order{};
        MonoTime to_client_order{};
        std::optional<uint64_t> cut_after; // bytes, both directions
        uint32_t port = 0;
    };
    Stream* find(StreamId stream);
    Stream* find(CoreId core, Token token);
    void accept(StreamId id);
    void transmit_to_server(StreamId id);
    void arrive_at_server(StreamId id, const std::vector<std::byte>& bytes);
    void schedule_pump(StreamId id);
    void pump(StreamId id);
    void schedule_transmit(StreamId id, Duration delay);
    void transmit_to_client(StreamId id);
    void arrive_at_client(StreamId id, const std::vector<std::byte>& bytes);
    std::optional<std::vector<std::byte>> take_out(Stream& stream, size_t size);
    /// Bytes of these that still pass; the stream ends behind them when fewer.
    size_t pass(Stream& stream, size_t size);
    void end(StreamId id, bool tell_server, bool tell_client);
    void forget_token(const Stream& stream);
    size_t random_size(size_t size_max);
    Duration latency();

    World& world_;
    ServerSide* server_ = nullptr;
    uint8_t listener_ = 0;
    uint16_t next_core_ = 0;
    uint32_t cut_percent_ = 0;
    MonoTime stalled_until_{};
    StreamId next_id_ = 1;
    std::map<StreamId, Stream> streams_;
    std::map<uint16_t, SlotMap<StreamId>> tokens_; // by core, of the process alive now
};

/// The net port of one core.
class SimNet final : public port::Net {
public:
    SimNet(Network& network, ServerSide& server, CoreId core)
        : network_(network),
          server_(server),
          core_(core) {}

    Result<port::SocketAddress> listen(const std::string& host, uint16_t port,
                                       uint8_t listener) override {
        network_.begin_listening(&server_, listener);
        return port::SocketAddress{host, port};
    }
    void stop_listening() override { network_.stop_listening(); }
    // A process that died within its turn reaches nobody any more.
    void send(Token connection, std::vector<port::Piece> pieces) override {
        if (*server_.alive) {
            network_.server_send(core_, connection, std::move(pieces));
        }
    }
    [[nodiscard]] uint64_t queued_bytes(Token connection) const override {
        return network_.server_queued(core_, connection);
    }
    void set_reading(Token connection, bool on) override {
        if (*server_.alive) {
            network_.server_set_reading(core_, connection, on);
        }
    }
    void close_when_sent(Token connection, uint32_t deadline_ms) override {
        if (*server_.alive) {
            network_.server_close_when_sent(core_, connection, deadline_ms);
        }
    }
    void close(Token connection) override {
        if (*server_.alive) {
            network_.server_close(core_, connection);
        }
    }

private:
    Network& network_;
    ServerSide& server_;
    CoreId core_;
};

} // namespace qtool::sim
