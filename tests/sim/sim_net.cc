#include "tests/sim/sim_net.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <cstring>

namespace qtool::sim {

namespace {

constexpr uint64_t kWindowSize = 64 * 1024; // in flight and unread, one direction of a stream
constexpr size_t kSegmentSizeMax = 16 * 1024;
constexpr uint64_t kCutAfterMax = 200'000; // bytes of a stream before it is cut
constexpr uint32_t kKnocksMax = 5;         // at a machine without power: 1, 2, 4, ... s apart
constexpr Duration kProbeInterval = 500ms; // bytes for a machine that is not there
constexpr Duration kRetransmitMax = 300ms; // after a link has healed

} // namespace

Network::Network(World& world) : world_(world) {
    add_host("10.0.0.1"); // kClientHost
}

HostId Network::add_host(const std::string& address) {
    hosts_.emplace_back().address = address;
    return static_cast<HostId>(hosts_.size() - 1);
}

Network::Stream* Network::find(StreamId stream) {
    const auto at = streams_.find(stream);
    return at == streams_.end() ? nullptr : &at->second;
}

const Network::Place* Network::find(HostId host, CoreId core, Token token) {
    const Place* place = hosts_[host].tokens[core.value()].find(token);
    return place != nullptr && find(place->stream) != nullptr ? place : nullptr;
}

Duration Network::latency() {
    return world_.between(10us, 400us);
}

// Mostly what there is, often few bytes, sometimes one.
size_t Network::random_size(size_t size_max) {
    size_max = std::min(size_max, kSegmentSizeMax);
    switch (world_.random().below(8)) {
    case 0:
        return std::min<size_t>(size_max, 1 + world_.random().below(8));
    case 1:
    case 2:
        return 1 + world_.random().below(size_max);
    default:
        return size_max;
    }
}

// ---- links --------------------------------------------------------------------------------------

// Runs `action` at `due`, or when the link carries again, behind all that waits for that.
void Network::arrive(HostId from, HostId to, MonoTime due, World::Action action) {
    Link& link = links_[{from, to}];
    world_.at(due + link.delay, [this, from, to, &link, action = std::move(action)]() mutable {
        if (!link.is_cut && link.held.empty()) {
            action();
            return;
        }
        link.held.push_back(std::move(action));
    });
}

void Network::set_link(HostId from, HostId to, bool is_cut) {
    Link& link = links_[{from, to}];
    link.is_cut = is_cut;
    if (!is_cut && !link.held.empty() && !link.drain_due) {
        link.drain_due = true;
        world_.after(world_.between(1ms, kRetransmitMax), [this, from, to] { drain(from, to); });
    }
}

void Network::drain(HostId from, HostId to) {
    Link& link = links_[{from, to}];
    link.drain_due = false;
    while (!link.is_cut && !link.held.empty()) {
        const World::Action action = std::move(link.held.front());
        link.held.pop_front();
        action();
    }
}

void Network::heal_links() {
    for (auto& [hosts, link] : links_) {
        link.delay = {};
        set_link(hosts.first, hosts.second, false);
    }
}

// ---- opening ------------------------------------------------------------------------------------

StreamId Network::open(End end, const std::string& address, uint16_t port) {
    const StreamId id = next_id_++;
    Stream& stream = streams_[id];
    stream.port = static_cast<uint32_t>(1024 + id % 60'000);
    if (end.client != nullptr && world_.chance_percent(cut_percent_)) {
        stream.cut_after = world_.random().below(kCutAfterMax);
    }
    stream.ends[opener] = std::move(end);
    End& asked = stream.ends[acceptor];
    const auto host = std::find_if(hosts_.begin(), hosts_.end(),
                                   [&](const Host& h) { return h.address == address; });
    if (host == hosts_.end()) {
        asked.host = stream.ends[opener].host;
        world_.after(latency(), [this, id, address] {
            fail_open(id, Error(Code::connection_failed, "unknown host " + address));
        });
        return id;
    }
    asked.host = static_cast<HostId>(host - hosts_.begin());
    arrive(stream.ends[opener].host, asked.host, world_.now() + latency(),
           [this, id, port] { knock(id, port, 0); });
    return id;
}

StreamId Network::connect(StreamEvents* client, const std::string& address, uint16_t port) {
    End end;
    end.host = kClientHost;
    end.client = client;
    return open(std::move(end), address, port);
}

void Network::knock(StreamId id, uint16_t port, uint32_t attempt) {
    Stream* stream = find(id);
    if (stream == nullptr) {
        return;
    }
    const HostId from = stream->ends[opener].host;
    const HostId to = stream->ends[acceptor].host;
    const Host& host = hosts_[to];
    if (!host.is_up) {
        if (attempt < kKnocksMax) {
            arrive(from, to, world_.now() + 1s * (1 << attempt),
                   [this, id, port, attempt] { knock(id, port, attempt + 1); });
        } else {
            fail_open(id, Error(Code::connection_failed, "no answer"));
        }
        return;
    }
    const auto listener = host.listeners.find(port);
    if (listener == host.listeners.end() || !*listener->second.server->alive) {
        refuse(id);
        return;
    }
    accept(id, listener->second);
}

void Network::refuse(StreamId id) {
    const Stream& stream = *find(id);
    if (stream.ends[opener].client != nullptr) {
        end(id, {.opener = true});
        return;
    }
    arrive(stream.ends[acceptor].host, stream.ends[opener].host, world_.now() + latency(),
           [this, id, text = hosts_[stream.ends[acceptor].host].address] {
               fail_open(id, Error(Code::connection_refused, text + " refuses"));
           });
}

void Network::accept(StreamId id, const Host::Listener& listener) {
    Stream& stream = *find(id);
    End& asked = stream.ends[acceptor];
    const End& asking = stream.ends[opener];
    Host& host = hosts_[asked.host];
    asked.server = listener.server;
    asked.alive = listener.server->alive;
    asked.core = CoreId(static_cast<uint16_t>(host.next_core++ % asked.server->core_count));
    asked.token = host.tokens[asked.core.value()].emplace(Place{id, acceptor});
    world_.trace("accept", id, asked.core.value());
    const port::SocketAddress peer{hosts_[asking.host].address, static_cast<uint16_t>(stream.port)};
    asked.server->deliver(asked.core,
                          [token = asked.token, tag = listener.tag, peer](port::CoreEvents& core) {
                              core.on_accept(token, tag, peer);
                          });
    Stream* const left = find(id);
    if (left == nullptr) {
        return; // closed as soon as it was accepted
    }
    const End& opened = left->ends[opener];
    if (opened.client != nullptr) {
        left->is_open = true;
        transmit(id, opener);
    } else {
        arrive(left->ends[acceptor].host, opened.host, world_.now() + latency(),
               [this, id] { on_opened(id); });
    }
}

void Network::on_opened(StreamId id) {
    Stream* stream = find(id);
    if (stream == nullptr || !is_attached(stream->ends[opener])) {
        return;
    }
    stream->is_open = true;
    const End& asking = stream->ends[opener];
    asking.server->deliver(
        asking.core, [token = asking.token](port::CoreEvents& core) { core.on_connected(token); });
    transmit(id, opener);
    transmit(id, acceptor);
}

void Network::fail_open(StreamId id, const Error& error) {
    const Stream* found = find(id);
    if (found == nullptr) {
        return;
    }
    const End asking = found->ends[opener];
    if (asking.client != nullptr) {
        end(id, {.opener = true});
        return;
    }
    end(id, {.acceptor = true}); // accepted, perhaps, but nobody knows here
    if (is_attached(asking)) {
        asking.server->deliver(asking.core, [token = asking.token, error](port::CoreEvents& core) {
            core.on_connect_failed(token, error);
        });
    }
}

// ---- ending -------------------------------------------------------------------------------------

bool Network::is_attached(const End& end) {
    return end.client != nullptr || (end.server != nullptr && *end.alive);
}

void Network::forget_token(const End& end) {
    if (end.token && end.server != nullptr && *end.alive) {
        hosts_[end.host].tokens[end.core.value()].erase(end.token);
    }
}

// The stream is gone at once; an end that is told may hear of it later.
void Network::end(StreamId id, Tell tell) {
    const auto at = streams_.find(id);
    if (at == streams_.end()) {
        return;
    }
    const Stream stream = std::move(at->second);
    streams_.erase(at);
    world_.trace("stream_end", id);
    for (const Side side : {acceptor, opener}) {
        if (side == opener ? tell.opener : tell.acceptor) {
            tell_end(stream, id, side);
        } else {
            forget_token(stream.ends[side]);
        }
    }
}

void Network::tell_end(const Stream& stream, StreamId id, Side side) {
    const End& told = stream.ends[side];
    const End& far = stream.ends[other(side)];
    if (told.client != nullptr) {
        arrive(far.host, told.host, std::max(far.order, world_.now() + latency()),
               [client = told.client, id] { client->on_end(id); });
        return;
    }
    if (!is_attached(told) || !told.token) { // who is on his way to a core hears when he is there
        return;
    }
    auto hear = [this, core = told.core, token = told.token, server = told.server,
                 alive = told.alive, host = told.host] {
        if (*alive && hosts_[host].tokens[core.value()].find(token) != nullptr) {
            hosts_[host].tokens[core.value()].erase(token);
            server->deliver(core, [token](port::CoreEvents& events) { events.on_closed(token); });
        }
    };
    const Link& link = links_[{far.host, told.host}];
    if (far.client != nullptr && !link.is_cut && link.held.empty()) {
        hear();
    } else {
        arrive(far.host, told.host, std::max(far.order, world_.now() + latency()), hear);
    }
}

void Network::close(StreamId stream) {
    end(stream, {.acceptor = true});
}

void Network::begin_listening(ServerSide* server, uint16_t port, uint8_t listener) {
    hosts_[server->host].listeners[port] = {server, listener};
}

void Network::stop_listening(const ServerSide& server) {
    std::erase_if(hosts_[server.host].listeners,
                  [&](const auto& listener) { return listener.second.server == &server; });
}

void Network::drop_server(HostId host, bool silently) {
    hosts_[host].listeners.clear();
    std::vector<Place> dropped;
    for (auto& [id, stream] : streams_) {
        for (const Side side : {opener, acceptor}) {
            if (stream.ends[side].host == host && stream.ends[side].server != nullptr) {
                dropped.push_back({id, side});
            }
        }
    }
    for (const Place& place : dropped) {
        Stream* stream = find(place.stream);
        if (stream == nullptr) {
            continue;
        }
        End& gone = stream->ends[place.side];
        if (silently && is_attached(stream->ends[other(place.side)])) {
            world_.hit(Fault::peer_silent);
            gone.server = nullptr;
            gone.token = Token{};
            gone.pieces.clear();
            gone.queued = 0;
        } else {
            end(place.stream, tell_other(place.side));
        }
    }
    hosts_[host].tokens.clear();
}

void Network::reset_some() {
    std::vector<StreamId> chosen;
    for (auto& [id, stream] : streams_) {
        if (stream.ends[acceptor].server != nullptr && world_.chance_percent(50)) {
            chosen.push_back(id);
        }
    }
    for (const StreamId id : chosen) {
        world_.hit(Fault::stream_reset);
        end(id, tell_all());
    }
}

void Network::stall_clients(Duration duration) {
    world_.hit(Fault::reader_slow);
    stalled_until_ = std::max(stalled_until_, world_.now() + duration);
}

size_t Network::pass(Stream& stream, size_t size) {
    if (!stream.cut_after) {
        return size;
    }
    const size_t passing = std::min<uint64_t>(size, *stream.cut_after);
    *stream.cut_after -= passing;
    return passing;
}

// ---- sending ------------------------------------------------------------------------------------

void Network::send(StreamId id, ByteView bytes) {
    Stream* stream = find(id);
    if (stream == nullptr || bytes.empty()) {
        return;
    }
    End& client = stream->ends[opener];
    client.queued += bytes.size();
    client.pieces.emplace_back(std::vector<std::byte>(bytes.begin(), bytes.end()));
    transmit(id, opener);
}

void Network::schedule_transmit(StreamId id, Side side, Duration delay) {
    End& from = find(id)->ends[side];
    if (from.transmit_due) {
        return;
    }
    from.transmit_due = true;
    world_.after(delay, [this, id, side] {
        if (Stream* due = find(id)) {
            due->ends[side].transmit_due = false;
            transmit(id, side);
        }
    });
}

// Nothing: a file is shorter than was promised, so the stream cannot go on.
std::optional<std::vector<std::byte>> Network::take_out(End& end, size_t size) {
    std::vector<std::byte> bytes;
    bytes.reserve(size);
    while (bytes.size() < size && !end.pieces.empty()) {
        port::Piece& piece = end.pieces.front();
        const uint64_t left = port::piece_size(piece) - end.piece_done;
        const size_t take = std::min<uint64_t>(left, size - bytes.size());
        if (const auto* own = std::get_if<std::vector<std::byte>>(&piece)) {
            const auto from = own->begin() + static_cast<ptrdiff_t>(end.piece_done);
            bytes.insert(bytes.end(), from, from + static_cast<ptrdiff_t>(take));
        } else if (const auto* chunk = std::get_if<port::ChunkPiece>(&piece)) {
            const ByteView view = chunk->bytes.subspan(end.piece_done, take);
            bytes.insert(bytes.end(), view.begin(), view.end());
        } else {
            const auto& range = std::get<port::FileRange>(piece);
            const size_t at = bytes.size();
            bytes.resize(at + take);
            const Result<size_t> got =
                range.file->read_at(ByteSpan(bytes).subspan(at), range.position + end.piece_done);
            if (!got || *got < take) {
                return std::nullopt;
            }
        }
        end.piece_done += take;
        if (take == left) {
            end.pieces.pop_front();
            end.piece_done = 0;
        }
    }
    return bytes;
}

void Network::transmit(StreamId id, Side side) {
    Stream* stream = find(id);
    if (stream == nullptr || !stream->is_open) {
        return;
    }
    End& from = stream->ends[side];
    const End& to = stream->ends[other(side)];
    if (!is_attached(to)) {
        if (resets_strangers_ && from.queued > 0) {
            if (hosts_[to.host].is_up) {
                end(id, tell_other(other(side)));
            } else {
                schedule_transmit(id, side, kProbeInterval);
            }
        }
        return;
    }
    if (to.client != nullptr && world_.now() < stalled_until_) {
        schedule_transmit(id, side, stalled_until_ - world_.now() + 1us);
        return;
    }
    const uint64_t before = from.queued;
    while (from.queued > 0 && from.flight + to.inbox.size() < kWindowSize) {
        const size_t size = random_size(from.queued);
        std::optional<std::vector<std::byte>> segment = take_out(from, size);
        if (!segment) {
            end(id, tell_all());
            return;
        }
        from.queued -= size;
        from.flight += size;
        from.order = std::max(from.order, world_.now() + latency());
        arrive(from.host, to.host, from.order,
               [this, id, to_side = other(side), bytes = *std::move(segment)] {
                   arrive_bytes(id, to_side, bytes);
               });
    }
    if (from.finishing && from.queued == 0 && from.flight == 0) {
        end(id, tell_all());
        return;
    }
    if (from.server != nullptr && from.queued < before) {
        from.server->deliver(from.core,
                             [token = from.token, queued = from.queued](port::CoreEvents& core) {
                                 core.on_sent(token, queued);
                             });
    }
}

// ---- arriving -----------------------------------------------------------------------------------

void Network::arrive_bytes(StreamId id, Side side, const std::vector<std::byte>& bytes) {
    Stream* stream = find(id);
    if (stream == nullptr || !is_attached(stream->ends[side])) {
        return;
    }
    End& to = stream->ends[side];
    End& from = stream->ends[other(side)];
    from.flight -= bytes.size();
    const size_t size = pass(*stream, bytes.size());
    const bool is_whole = size == bytes.size();
    world_.trace(to.client != nullptr     ? "to_client"
                 : from.client != nullptr ? "to_server"
                                          : "to_peer",
                 id, size);
    if (from.server != nullptr && (from.queued > 0 || from.finishing)) {
        schedule_transmit(id, other(side), 5us);
    }
    if (StreamEvents* client = to.client) {
        if (!is_whole) {
            world_.hit(Fault::stream_cut);
            end(id, tell_all());
        }
        if (size > 0) {
            client->on_bytes(id, ByteView(bytes).first(size));
        }
        return;
    }
    to.inbox.insert(to.inbox.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
    if (!is_whole) {
        // The bytes before the cut are read before the end is seen.
        world_.hit(Fault::stream_cut);
        while (find(id) != nullptr && can_pump(find(id)->ends[side])) {
            pump(id, side);
        }
        end(id, tell_all());
        return;
    }
    schedule_pump(id, side);
}

bool Network::can_pump(const End& end) {
    return end.reading && !end.inbox.empty() && is_attached(end) && end.token &&
           !end.server->is_paused;
}

void Network::schedule_pump(StreamId id, Side side) {
    End& end = find(id)->ends[side];
    if (end.pump_due || !can_pump(end)) {
        return;
    }
    end.pump_due = true;
    world_.after(world_.between(0us, 20us), [this, id, side] {
        if (Stream* due = find(id)) {
            due->ends[side].pump_due = false;
            pump(id, side);
        }
    });
}

// One read of a core.
void Network::pump(StreamId id, Side side) {
    Stream* stream = find(id);
    if (stream == nullptr || !can_pump(stream->ends[side])) {
        return;
    }
    End& end = stream->ends[side];
    end.server->deliver(end.core, [&](port::CoreEvents& core) {
        const ByteSpan into = core.receive_buffer(end.token);
        QT_ASSERT(!into.empty());
        const size_t size = std::min(into.size(), end.inbox.size());
        std::memcpy(into.data(), end.inbox.data(), size);
        end.inbox.erase(end.inbox.begin(), end.inbox.begin() + static_cast<ptrdiff_t>(size));
        core.on_received(end.token, size); // may close the stream
    });
    if (find(id) != nullptr) {
        transmit(id, other(side));
    }
    if (find(id) != nullptr) {
        schedule_pump(id, side);
    }
}

void Network::wake(const ServerSide& server) {
    for (auto& [id, stream] : streams_) {
        for (const Side side : {opener, acceptor}) {
            if (stream.ends[side].server == &server) {
                schedule_pump(id, side);
            }
        }
    }
}

// ---- the net port -------------------------------------------------------------------------------

Token Network::server_connect(ServerSide& server, CoreId core, const std::string& address,
                              uint16_t port, uint32_t deadline_ms) {
    const Token token = hosts_[server.host].tokens[core.value()].emplace(Place{next_id_, opener});
    End end;
    end.host = server.host;
    end.server = &server;
    end.alive = server.alive;
    end.core = core;
    end.token = token;
    const StreamId id = open(std::move(end), address, port);
    world_.after(std::chrono::milliseconds(deadline_ms), [this, id] {
        if (const Stream* stream = find(id); stream != nullptr && !stream->is_open) {
            fail_open(id, Error(Code::timed_out, "no connection"));
        }
    });
    return token;
}

void Network::server_send(HostId host, CoreId core, Token token, std::vector<port::Piece> pieces) {
    const Place* place = find(host, core, token);
    if (place == nullptr) {
        return;
    }
    End& from = find(place->stream)->ends[place->side];
    for (port::Piece& piece : pieces) {
        const uint64_t size = port::piece_size(piece);
        if (size > 0) {
            from.queued += size;
            from.pieces.push_back(std::move(piece));
        }
    }
    schedule_transmit(place->stream, place->side, world_.between(0us, 50us));
}

uint64_t Network::server_queued(HostId host, CoreId core, Token token) {
    const Place* place = find(host, core, token);
    return place == nullptr ? 0 : find(place->stream)->ends[place->side].queued;
}

void Network::server_set_reading(HostId host, CoreId core, Token token, bool on) {
    if (const Place* place = find(host, core, token)) {
        End& end = find(place->stream)->ends[place->side];
        end.reading = on && !end.finishing;
        schedule_pump(place->stream, place->side);
    }
}

void Network::server_close_when_sent(HostId host, CoreId core, Token token, uint32_t deadline_ms) {
    const Place* place = find(host, core, token);
    if (place == nullptr) {
        return;
    }
    const StreamId id = place->stream;
    if (!find(id)->is_open) {
        end(id, tell_other(place->side)); // given up
        return;
    }
    End& closing = find(id)->ends[place->side];
    closing.finishing = true;
    closing.reading = false;
    schedule_transmit(id, place->side, 1us);
    world_.after(std::chrono::milliseconds(deadline_ms), [this, id] { end(id, tell_all()); });
}

void Network::server_close(HostId host, CoreId core, Token token) {
    if (const Place* place = find(host, core, token)) {
        end(place->stream, tell_other(place->side));
    }
}

class Network::Detached final : public port::DetachedConnection {
public:
    Detached(Network& network, Place place, std::shared_ptr<const bool> alive)
        : network_(network),
          place_(place),
          alive_(std::move(alive)) {}
    ~Detached() override {
        if (!is_taken_ && *alive_) {
            network_.end(place_.stream, tell_other(place_.side));
        }
    }
    Place take() {
        is_taken_ = true;
        return place_;
    }

private:
    Network& network_;
    Place place_;
    std::shared_ptr<const bool> alive_;
    bool is_taken_ = false;
};

std::unique_ptr<port::DetachedConnection> Network::server_detach(const ServerSide& server,
                                                                 CoreId core, Token token) {
    SlotMap<Place>& tokens = hosts_[server.host].tokens[core.value()];
    QT_ASSERT(tokens.find(token) != nullptr);
    const Place place = *tokens.find(token);
    tokens.erase(token);
    world_.trace("detach", place.stream, core.value());
    world_.hit(Fault::connection_moved);
    if (Stream* stream = find(place.stream)) { // else it ended, and nobody has heard of that yet
        End& leaving = stream->ends[place.side];
        QT_ASSERT(stream->is_open && leaving.queued == 0 && !leaving.finishing);
        leaving.token = Token{};
    }
    return std::make_unique<Detached>(*this, place, server.alive);
}

Token Network::server_attach(ServerSide& server, CoreId core,
                             std::unique_ptr<port::DetachedConnection> connection) {
    const Place place = static_cast<Detached&>(*connection).take();
    SlotMap<Place>& tokens = hosts_[server.host].tokens[core.value()];
    const Token token = tokens.emplace(place);
    world_.trace("attach", place.stream, core.value());
    if (find(place.stream) == nullptr) { // ended on the way
        world_.after(latency(), [this, &server, alive = server.alive, core, token] {
            if (*alive) {
                hosts_[server.host].tokens[core.value()].erase(token);
                server.deliver(core,
                               [token](port::CoreEvents& events) { events.on_closed(token); });
            }
        });
        return token;
    }
    End& arriving = find(place.stream)->ends[place.side];
    arriving.core = core;
    arriving.token = token;
    arriving.reading = true;
    schedule_pump(place.stream, place.side);
    return token;
}

} // namespace qtool::sim
