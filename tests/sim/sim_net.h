// Network: byte streams between the machines of a world, through the socket buffers of both ends.
// Bytes arrive late and in pieces of any size; a stream may end at any byte.
//
//   sender -> [pieces] -> flight -> [arrived] -> receiver
//
// An end is a client (StreamEvents) or a connection of a broker's core. What an end may have in
// flight and unread is bounded by kWindowSize, so that a slow reader is felt by the writer.
//
// Each ordered pair of machines is a link. What arrives while its link is cut is kept, as by TCP's
// retransmission, and goes on when the link heals; nobody is told of a cut.
#pragma once

#include "lib/base/slot_map.h"
#include "server/port/core_events.h"
#include "tests/sim/sim_world.h"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qtool::sim {

using StreamId = uint64_t;
using HostId = uint16_t;
inline constexpr uint16_t kBrokerPort = 9092; // of every broker here
inline constexpr HostId kClientHost = 0;      // where the clients are

/// A client's end of a stream.
class StreamEvents {
public:
    virtual ~StreamEvents() = default;
    virtual void on_bytes(StreamId stream, ByteView bytes) = 0;
    /// Ended or never opened; nothing follows.
    virtual void on_end(StreamId stream) = 0;
};

/// A process on a machine: how to reach its cores.
struct ServerSide {
    std::shared_ptr<const bool> alive;
    HostId host = 0;
    uint16_t core_count = 0; // data cores
    bool is_paused = false;  // its cores read nothing
    /// Runs an action as an event of that core; later, when the process is paused.
    std::function<void(CoreId, std::function<void(port::CoreEvents&)>)> deliver;
};

class Network {
public:
    explicit Network(World& world);

    /// A machine, up and reachable from all; `address` is what others connect to.
    HostId add_host(const std::string& address);

    // Client side. Streams to where nobody listens end soon.
    StreamId connect(StreamEvents* client, const std::string& address, uint16_t port);
    void send(StreamId stream, ByteView bytes);
    void close(StreamId stream);

    // Faults.
    /// Cuts some streams at once, as resets that both sides see.
    void reset_some();
    /// Each new stream of a client ends at a random byte with this probability.
    void set_cut_percent(uint32_t percent) { cut_percent_ = percent; }
    /// Clients stop reading for a while.
    void stall_clients(Duration duration);
    /// What `from` sends to `to` does not arrive from now on, or goes on.
    void set_link(HostId from, HostId to, bool is_cut);
    /// All links carry.
    void heal_links();
    /// What arrives over that link takes so much longer.
    void set_delay(HostId from, HostId to, Duration delay) { links_[{from, to}].delay = delay; }

    // Machines.
    void begin_listening(ServerSide* server, uint16_t port, uint8_t listener);
    void stop_listening(const ServerSide& server);
    /// The process of that machine is gone. `silently`: as with a power loss, nobody is told.
    void drop_server(HostId host, bool silently);
    /// A machine without power answers nothing at all.
    void set_up(HostId host, bool is_up) { hosts_[host].is_up = is_up; }
    /// Unknown streams to this world's machines are answered with a reset, as real kernels do.
    void reset_strangers() { resets_strangers_ = true; }
    /// A paused process goes on: its cores read again.
    void wake(const ServerSide& server);

    // The net port of a core.
    Token server_connect(ServerSide& server, CoreId core, const std::string& address, uint16_t port,
                         uint32_t deadline_ms);
    void server_send(HostId host, CoreId core, Token token, std::vector<port::Piece> pieces);
    [[nodiscard]] uint64_t server_queued(HostId host, CoreId core, Token token);
    void server_set_reading(HostId host, CoreId core, Token token, bool on);
    void server_close_when_sent(HostId host, CoreId core, Token token, uint32_t deadline_ms);
    void server_close(HostId host, CoreId core, Token token);
    std::unique_ptr<port::DetachedConnection> server_detach(const ServerSide& server, CoreId core,
                                                            Token token);
    Token server_attach(ServerSide& server, CoreId core,
                        std::unique_ptr<port::DetachedConnection> connection);

private:
    class Detached;
    /// The two ends of a stream: who opened it, and who was asked.
    enum Side : uint8_t { opener, acceptor };
    struct End {
        HostId host = 0;
        StreamEvents* client = nullptr;
        ServerSide* server = nullptr;      // neither of them: not accepted, or gone
        std::shared_ptr<const bool> alive; // of the server's process
        CoreId core;
        Token token;                    // no generation: of no core, or on its way to another one
        std::deque<port::Piece> pieces; // to be sent
        uint64_t piece_done = 0;        // bytes of the first piece that left
        uint64_t queued = 0;
        uint64_t flight = 0; // sent and not arrived
        bool transmit_due = false;
        bool finishing = false;       // closes when all is sent
        MonoTime order{};             // when what was sent last arrives
        std::vector<std::byte> inbox; // arrived, unread; of a server
        bool reading = true;
        bool pump_due = false;
    };
    struct Stream {
        std::array<End, 2> ends;
        bool is_open = false;              // the acceptor has it, and the opener knows
        std::optional<uint64_t> cut_after; // bytes, both directions
        uint32_t port = 0;                 // the opener's
    };
    struct Place { // an end, as the net port of a core finds it
        StreamId stream = 0;
        Side side = opener;
    };
    struct Host {
        std::string address;
        bool is_up = true;
        struct Listener {
            ServerSide* server = nullptr;
            uint8_t tag = 0;
        };
        std::map<uint16_t, Listener> listeners; // by port
        uint16_t next_core = 0;
        std::map<uint16_t, SlotMap<Place>> tokens; // by core, of the process alive now
    };
    struct Link {
        bool is_cut = false;
        bool drain_due = false;
        Duration delay{};
        std::deque<World::Action> held; // in order of arrival
    };

    static Side other(Side side) { return side == opener ? acceptor : opener; }
    Stream* find(StreamId stream);
    const Place* find(HostId host, CoreId core, Token token);
    StreamId open(End end, const std::string& address, uint16_t port);
    void knock(StreamId id, uint16_t port, uint32_t attempt);
    void accept(StreamId id, const Host::Listener& listener);
    void refuse(StreamId id);
    void on_opened(StreamId id);
    void fail_open(StreamId id, const Error& error);
    void arrive(HostId from, HostId to, MonoTime due, World::Action action);
    void drain(HostId from, HostId to);
    void send_pieces(StreamId id, Side side, std::vector<port::Piece> pieces);
    void schedule_transmit(StreamId id, Side side, Duration delay);
    void transmit(StreamId id, Side side);
    void arrive_bytes(StreamId id, Side to, const std::vector<std::byte>& bytes);
    void schedule_pump(StreamId id, Side side);
    void pump(StreamId id, Side side);
    static std::optional<std::vector<std::byte>> take_out(End& end, size_t size);
    /// Bytes of these that still pass; the stream ends behind them when fewer.
    size_t pass(Stream& stream, size_t size);
    /// What `tell` says: whether the opener and the acceptor hear of it.
    struct Tell {
        bool opener = false;
        bool acceptor = false;
    };
    void end(StreamId id, Tell tell);
    void tell_end(const Stream& stream, StreamId id, Side side);
    static Tell tell_all() { return {true, true}; }
    static Tell tell_other(Side side) { return {side == acceptor, side == opener}; }
    /// Somebody is there.
    static bool is_attached(const End& end);
    static bool can_pump(const End& end);
    void forget_token(const End& end);
    size_t random_size(size_t size_max);
    Duration latency();

    World& world_;
    std::vector<Host> hosts_; // by HostId
    std::map<std::pair<HostId, HostId>, Link> links_;
    uint32_t cut_percent_ = 0;
    MonoTime stalled_until_{};
    bool resets_strangers_ = false;
    StreamId next_id_ = 1;
    std::map<StreamId, Stream> streams_;
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
        network_.begin_listening(&server_, port, listener);
        return port::SocketAddress{host, port};
    }
    void stop_listening() override { network_.stop_listening(server_); }
    // A process that died within its turn reaches nobody any more.
    Token connect(const std::string& host, uint16_t port, uint32_t deadline_ms) override {
        return *server_.alive ? network_.server_connect(server_, core_, host, port, deadline_ms)
                              : Token{};
    }
    void send(Token connection, std::vector<port::Piece> pieces) override {
        if (*server_.alive) {
            network_.server_send(server_.host, core_, connection, std::move(pieces));
        }
    }
    [[nodiscard]] uint64_t queued_bytes(Token connection) const override {
        return network_.server_queued(server_.host, core_, connection);
    }
    void set_reading(Token connection, bool on) override {
        if (*server_.alive) {
            network_.server_set_reading(server_.host, core_, connection, on);
        }
    }
    void close_when_sent(Token connection, uint32_t deadline_ms) override {
        if (*server_.alive) {
            network_.server_close_when_sent(server_.host, core_, connection, deadline_ms);
        }
    }
    void close(Token connection) override {
        if (*server_.alive) {
            network_.server_close(server_.host, core_, connection);
        }
    }
    std::unique_ptr<port::DetachedConnection> detach(Token connection) override {
        return *server_.alive ? network_.server_detach(server_, core_, connection) : nullptr;
    }
    Token attach(std::unique_ptr<port::DetachedConnection> connection) override {
        return *server_.alive ? network_.server_attach(server_, core_, std::move(connection))
                              : Token{};
    }

private:
    Network& network_;
    ServerSide& server_;
    CoreId core_;
};

} // namespace qtool::sim
