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
#include <set>
#include <string>
#include <vector>

namespace qtool::sim {

using StreamId = uint64_t;

/// A client's end of a stream.
class StreamEvents {
public:
    virtual ~StreamEvents() = default;
    /// The server has accepted it. (A client that only sends needs not know.)
    virtual void on_open(StreamId) {}
    /// The network took bytes that were sent; may come from within send.
    virtual void on_written(StreamId) {}
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

class Network;
class Outgoing;

/// The machines that reach each other, by the host name they advertise.
class Fabric {
public:
    void add(const std::string& host, Network& network) { networks_[host] = &network; }
    [[nodiscard]] Network* find(const std::string& host) const {
        const auto at = networks_.find(host);
        return at == networks_.end() ? nullptr : at->second;
    }

private:
    std::map<std::string, Network*> networks_;
};

class Network {
public:
    /// `fabric`: where the machine's processes find others; null: they find nobody.
    explicit Network(World& world, const Fabric* fabric = nullptr);
    ~Network();
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;

    // Client side. Streams opened while nobody listens end soon.
    StreamId connect(StreamEvents* client);
    void send(StreamId stream, ByteView bytes);
    void close(StreamId stream);
    [[nodiscard]] uint64_t client_queued(StreamId stream); // bytes sent, not yet in flight
    void client_set_reading(StreamId stream, bool on);
    /// Ends the stream, as seen by both sides, when all that was sent has been read.
    void client_finish(StreamId stream);

    // Faults.
    /// Cuts some streams at once, as resets that both sides see.
    void reset_some();
    /// Each new stream ends at a random byte with this probability.
    void set_cut_percent(uint32_t percent) { cut_percent_ = percent; }
    /// Clients stop reading for a while.
    void stall_clients(Duration duration);

    // Machine.
    uint16_t begin_listening(ServerSide* server, uint16_t port, uint8_t listener);
    void stop_listening();
    /// The process is gone. `silently`: as with a power loss, nobody is told, and until something
    /// listens again the machine does not even refuse what other machines' cores connect.
    void drop_server(bool silently);
    [[nodiscard]] bool is_silent() const { return is_silent_; }
    [[nodiscard]] bool listens_on(uint16_t port) const;

    // The net port of a core.
    Token server_connect(ServerSide& process, CoreId core, const std::string& host, uint16_t port,
                         uint32_t deadline_ms);
    /// Called by an Outgoing that has ended.
    void forget_outgoing(CoreId core, Token token) { tokens_[core.value()].erase(token); }
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
        bool client_reading = true;
        bool client_finishing = false;
        MonoTime to_server_order{};
        MonoTime to_client_order{};
        std::optional<uint64_t> cut_after; // bytes, both directions
        uint32_t port = 0;
    };
    Stream* find(StreamId stream);
    /// What a token of a core names: a stream that was accepted, or one that the core opened.
    struct End {
        StreamId stream = 0;
        Outgoing* outgoing = nullptr;
    };
    Stream* find(CoreId core, Token token);
    Outgoing* find_outgoing(CoreId core, Token token);
    StreamId find_accepted(CoreId core, Token token); // 0: none
    void end_when_finished(StreamId id);
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
    const Fabric* fabric_;
    ServerSide* server_ = nullptr;
    std::set<uint16_t> ports_; // that are listened on
    uint8_t listener_ = 0;
    bool is_silent_ = false;
    uint16_t next_core_ = 0;
    uint32_t cut_percent_ = 0;
    MonoTime stalled_until_{};
    StreamId next_id_ = 1;
    std::map<StreamId, Stream> streams_;
    std::map<uint16_t, SlotMap<End>> tokens_;         // by core, of the process alive now
    std::vector<std::unique_ptr<Outgoing>> outgoing_; // also ended ones: events point to them
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
        return port::SocketAddress{host, network_.begin_listening(&server_, port, listener)};
    }
    void stop_listening() override { network_.stop_listening(); }
    Token connect(const std::string& host, uint16_t port, uint32_t deadline_ms) override {
        return network_.server_connect(server_, core_, host, port, deadline_ms);
    }
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
