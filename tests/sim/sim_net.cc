#include "tests/sim/sim_net.h"

#include "lib/base/assert.h"
#include "tests/sim/sim_outgoing.h"

#include <algorithm>
#include <cstring>

namespace qtool::sim {

namespace {

constexpr uint64_t kWindowSize = 64 * 1024; // in flight and unread, one direction of a stream
constexpr size_t kSegmentSizeMax = 16 * 1024;
constexpr uint64_t kCutAfterMax = 200'000; // bytes of a stream before it is cut

constexpr uint16_t kFirstFreePort = 20'000;

} // namespace

Network::Network(World& world, const Fabric* fabric) : world_(world), fabric_(fabric) {}

Network::~Network() = default;

Network::Stream* Network::find(StreamId stream) {
    const auto at = streams_.find(stream);
    return at == streams_.end() ? nullptr : &at->second;
}

Network::Stream* Network::find(CoreId core, Token token) {
    return find(find_accepted(core, token));
}

StreamId Network::find_accepted(CoreId core, Token token) {
    const End* end = tokens_[core.value()].find(token);
    return end == nullptr ? 0 : end->stream;
}

Outgoing* Network::find_outgoing(CoreId core, Token token) {
    const End* end = tokens_[core.value()].find(token);
    return end == nullptr ? nullptr : end->outgoing;
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

// ---- opening and ending -------------------------------------------------------------------------

StreamId Network::connect(StreamEvents* client) {
    const StreamId id = next_id_++;
    Stream& stream = streams_[id];
    stream.client = client;
    stream.port = static_cast<uint32_t>(1024 + id % 60'000);
    if (world_.chance_percent(cut_percent_)) {
        stream.cut_after = world_.random().below(kCutAfterMax);
    }
    world_.after(latency(), [this, id] { accept(id); });
    return id;
}

void Network::accept(StreamId id) {
    Stream* stream = find(id);
    if (stream == nullptr) {
        return;
    }
    if (server_ == nullptr || !*server_->alive) {
        end(id, false, true);
        return;
    }
    stream->server = server_;
    stream->core = CoreId(static_cast<uint16_t>(next_core_++ % server_->core_count));
    stream->token = tokens_[stream->core.value()].emplace(End{id, nullptr});
    world_.trace("accept", id, stream->core.value());
    const port::SocketAddress peer{"10.0.0.1", static_cast<uint16_t>(stream->port)};
    server_->deliver(stream->core,
                     [token = stream->token, listener = listener_, peer](port::CoreEvents& core) {
                         core.on_accept(token, listener, peer);
                     });
    stream = find(id);
    if (stream == nullptr) {
        return; // closed at once
    }
    stream->client->on_open(id);
    transmit_to_server(id);
}

void Network::forget_token(const Stream& stream) {
    if (stream.token) {
        tokens_[stream.core.value()].erase(stream.token);
    }
}

void Network::end(StreamId id, bool tell_server, bool tell_client) {
    const auto at = streams_.find(id);
    if (at == streams_.end()) {
        return;
    }
    const Stream stream = std::move(at->second);
    streams_.erase(at);
    world_.trace("stream_end", id);
    forget_token(stream);
    if (tell_server && stream.server != nullptr && *stream.server->alive) {
        stream.server->deliver(
            stream.core, [token = stream.token](port::CoreEvents& core) { core.on_closed(token); });
    }
    if (tell_client) {
        const MonoTime due = std::max(stream.to_client_order, world_.now() + latency());
        world_.at(due, [client = stream.client, id] { client->on_end(id); });
    }
}

void Network::close(StreamId stream) {
    end(stream, true, false);
}

uint16_t Network::begin_listening(ServerSide* server, uint16_t port, uint8_t listener) {
    server_ = server;
    listener_ = listener;
    is_silent_ = false;
    if (port == 0) {
        port = static_cast<uint16_t>(kFirstFreePort + ports_.size());
    }
    ports_.insert(port);
    return port;
}

void Network::stop_listening() {
    server_ = nullptr;
    ports_.clear();
}

bool Network::listens_on(uint16_t port) const {
    return server_ != nullptr && *server_->alive && ports_.count(port) > 0;
}

void Network::drop_server(bool silently) {
    stop_listening();
    is_silent_ = silently;
    for (const std::unique_ptr<Outgoing>& outgoing : outgoing_) {
        outgoing->drop(silently);
    }
    std::vector<StreamId> dropped;
    for (auto& [id, stream] : streams_) {
        if (stream.server != nullptr) {
            dropped.push_back(id);
        }
    }
    for (const StreamId id : dropped) {
        Stream& stream = streams_[id];
        if (silently) {
            world_.hit(Fault::peer_silent);
            forget_token(stream);
            stream.server = nullptr;
            stream.token = Token{};
            stream.pieces.clear();
            stream.queued = 0;
        } else {
            end(id, false, true);
        }
    }
    tokens_.clear();
}

void Network::reset_some() {
    std::vector<StreamId> chosen;
    for (auto& [id, stream] : streams_) {
        if (stream.token && world_.chance_percent(50)) {
            chosen.push_back(id);
        }
    }
    for (const StreamId id : chosen) {
        world_.hit(Fault::stream_reset);
        end(id, true, true);
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

// ---- client to server ---------------------------------------------------------------------------

void Network::send(StreamId id, ByteView bytes) {
    Stream* stream = find(id);
    if (stream == nullptr) {
        return;
    }
    stream->out.insert(stream->out.end(), bytes.begin(), bytes.end());
    transmit_to_server(id);
}

void Network::transmit_to_server(StreamId id) {
    Stream* stream = find(id);
    if (stream == nullptr || !stream->token) {
        return;
    }
    while (!stream->out.empty() &&
           stream->to_server_flight + stream->arrived.size() < kWindowSize) {
        const size_t size = random_size(stream->out.size());
        const auto end_of = stream->out.begin() + static_cast<ptrdiff_t>(size);
        std::vector<std::byte> segment(stream->out.begin(), end_of);
        stream->out.erase(stream->out.begin(), end_of);
        stream->to_server_flight += size;
        stream->to_server_order = std::max(stream->to_server_order, world_.now() + latency());
        world_.at(stream->to_server_order,
                  [this, id, segment = std::move(segment)] { arrive_at_server(id, segment); });
        stream->client->on_written(id);
    }
}

uint64_t Network::client_queued(StreamId id) {
    const Stream* stream = find(id);
    return stream == nullptr ? 0 : stream->out.size();
}

void Network::client_set_reading(StreamId id, bool on) {
    Stream* stream = find(id);
    if (stream != nullptr && stream->client_reading != on) {
        stream->client_reading = on;
        if (on && stream->token) {
            schedule_transmit(id, 1us);
        }
    }
}

void Network::client_finish(StreamId id) {
    if (Stream* stream = find(id)) {
        stream->client_finishing = true;
        world_.after(1us, [this, id] { end_when_finished(id); });
    }
}

void Network::end_when_finished(StreamId id) {
    const Stream* stream = find(id);
    if (stream != nullptr && stream->client_finishing && stream->out.empty() &&
        stream->to_server_flight == 0 && stream->arrived.empty()) {
        end(id, true, true);
    }
}

void Network::arrive_at_server(StreamId id, const std::vector<std::byte>& bytes) {
    Stream* stream = find(id);
    if (stream == nullptr || !stream->token) {
        return;
    }
    stream->to_server_flight -= bytes.size();
    const size_t size = pass(*stream, bytes.size());
    world_.trace("to_server", id, size);
    stream->arrived.insert(stream->arrived.end(), bytes.begin(),
                           bytes.begin() + static_cast<ptrdiff_t>(size));
    if (size < bytes.size()) {
        // The bytes before the cut are read before the end is seen.
        world_.hit(Fault::stream_cut);
        while (find(id) != nullptr && find(id)->reading && !find(id)->arrived.empty()) {
            pump(id);
        }
        end(id, true, true);
        return;
    }
    schedule_pump(id);
}

void Network::schedule_pump(StreamId id) {
    Stream* stream = find(id);
    if (stream->pump_due || !stream->reading || stream->arrived.empty()) {
        return;
    }
    stream->pump_due = true;
    world_.after(world_.between(0us, 20us), [this, id] {
        if (Stream* due = find(id)) {
            due->pump_due = false;
            pump(id);
        }
    });
}

// One read of the server's core.
void Network::pump(StreamId id) {
    Stream* stream = find(id);
    if (stream == nullptr || !stream->token || !stream->reading || stream->arrived.empty()) {
        return;
    }
    stream->server->deliver(stream->core, [&](port::CoreEvents& core) {
        const ByteSpan into = core.receive_buffer(stream->token);
        QT_ASSERT(!into.empty());
        const size_t size = std::min(into.size(), stream->arrived.size());
        std::memcpy(into.data(), stream->arrived.data(), size);
        stream->arrived.erase(stream->arrived.begin(),
                              stream->arrived.begin() + static_cast<ptrdiff_t>(size));
        core.on_received(stream->token, size); // may close the stream
    });
    if (find(id) != nullptr) {
        transmit_to_server(id);
        schedule_pump(id);
        end_when_finished(id);
    }
}

// ---- server to client ---------------------------------------------------------------------------

void Network::schedule_transmit(StreamId id, Duration delay) {
    Stream* stream = find(id);
    if (stream->transmit_due) {
        return;
    }
    stream->transmit_due = true;
    world_.after(delay, [this, id] {
        if (Stream* due = find(id)) {
            due->transmit_due = false;
            transmit_to_client(id);
        }
    });
}

// Nothing: a file is shorter than was promised, so the stream cannot go on.
std::optional<std::vector<std::byte>> Network::take_out(Stream& stream, size_t size) {
    std::vector<std::byte> bytes;
    while (bytes.size() < size && !stream.pieces.empty()) {
        port::Piece& piece = stream.pieces.front();
        const uint64_t left = port::piece_size(piece) - stream.piece_done;
        const size_t take = std::min<uint64_t>(left, size - bytes.size());
        if (const auto* own = std::get_if<std::vector<std::byte>>(&piece)) {
            const auto from = own->begin() + static_cast<ptrdiff_t>(stream.piece_done);
            bytes.insert(bytes.end(), from, from + static_cast<ptrdiff_t>(take));
        } else if (const auto* chunk = std::get_if<port::ChunkPiece>(&piece)) {
            const ByteView view = chunk->bytes.subspan(stream.piece_done, take);
            bytes.insert(bytes.end(), view.begin(), view.end());
        } else {
            const auto& range = std::get<port::FileRange>(piece);
            const size_t at = bytes.size();
            bytes.resize(at + take);
            const Result<size_t> got = range.file->read_at(ByteSpan(bytes).subspan(at),
                                                           range.position + stream.piece_done);
            if (!got || *got < take) {
                return std::nullopt;
            }
        }
        stream.piece_done += take;
        if (take == left) {
            stream.pieces.pop_front();
            stream.piece_done = 0;
        }
    }
    return bytes;
}

void Network::transmit_to_client(StreamId id) {
    Stream* stream = find(id);
    if (stream == nullptr || !stream->token) {
        return;
    }
    if (!stream->client_reading && !stream->finishing) {
        return;
    }
    if (world_.now() < stalled_until_) {
        schedule_transmit(id, stalled_until_ - world_.now() + 1us);
        return;
    }
    const uint64_t before = stream->queued;
    while (stream->queued > 0 && stream->to_client_flight < kWindowSize) {
        const size_t size = random_size(stream->queued);
        std::optional<std::vector<std::byte>> segment = take_out(*stream, size);
        if (!segment) {
            end(id, true, true);
            return;
        }
        stream->queued -= size;
        stream->to_client_flight += size;
        stream->to_client_order = std::max(stream->to_client_order, world_.now() + latency());
        world_.at(stream->to_client_order,
                  [this, id, bytes = *std::move(segment)] { arrive_at_client(id, bytes); });
    }
    if (stream->finishing && stream->queued == 0 && stream->to_client_flight == 0) {
        end(id, true, true);
        return;
    }
    if (stream->queued < before) {
        stream->server->deliver(
            stream->core, [token = stream->token, queued = stream->queued](port::CoreEvents& core) {
                core.on_sent(token, queued);
            });
    }
}

void Network::arrive_at_client(StreamId id, const std::vector<std::byte>& bytes) {
    Stream* stream = find(id);
    if (stream == nullptr) {
        return;
    }
    stream->to_client_flight -= bytes.size();
    const size_t size = pass(*stream, bytes.size());
    world_.trace("to_client", id, size);
    StreamEvents* client = stream->client;
    if (stream->token && (stream->queued > 0 || stream->finishing)) {
        schedule_transmit(id, 5us);
    }
    if (size < bytes.size()) {
        world_.hit(Fault::stream_cut);
        end(id, true, true);
    }
    if (size > 0) {
        client->on_bytes(id, ByteView(bytes).first(size));
    }
}

// ---- the net port -------------------------------------------------------------------------------

Token Network::server_connect(ServerSide& process, CoreId core, const std::string& host,
                              uint16_t port, uint32_t deadline_ms) {
    const Token token = tokens_[core.value()].emplace(End{});
    outgoing_.push_back(
        std::make_unique<Outgoing>(Outgoing::Setup{&world_, this, &process, core, token}));
    tokens_[core.value()].find(token)->outgoing = outgoing_.back().get();
    // A process that died within its turn reaches nobody any more.
    Network* far = fabric_ == nullptr || !*process.alive ? nullptr : fabric_->find(host);
    outgoing_.back()->connect(far, host + ":" + std::to_string(port), port,
                              std::chrono::milliseconds(deadline_ms));
    return token;
}

void Network::server_send(CoreId core, Token token, std::vector<port::Piece> pieces) {
    if (Outgoing* outgoing = find_outgoing(core, token)) {
        outgoing->send(std::move(pieces));
        return;
    }
    const StreamId id = find_accepted(core, token);
    if (id == 0) {
        return;
    }
    Stream& stream = *find(id);
    for (port::Piece& piece : pieces) {
        const uint64_t size = port::piece_size(piece);
        if (size > 0) {
            stream.queued += size;
            stream.pieces.push_back(std::move(piece));
        }
    }
    schedule_transmit(id, world_.between(0us, 50us));
}

uint64_t Network::server_queued(CoreId core, Token token) {
    if (const Outgoing* outgoing = find_outgoing(core, token)) {
        return outgoing->queued();
    }
    const Stream* stream = find(core, token);
    return stream == nullptr ? 0 : stream->queued;
}

void Network::server_set_reading(CoreId core, Token token, bool on) {
    if (Outgoing* outgoing = find_outgoing(core, token)) {
        outgoing->set_reading(on);
    } else if (const StreamId id = find_accepted(core, token)) {
        Stream& stream = *find(id);
        stream.reading = on && !stream.finishing;
        schedule_pump(id);
    }
}

void Network::server_close_when_sent(CoreId core, Token token, uint32_t deadline_ms) {
    if (Outgoing* outgoing = find_outgoing(core, token)) {
        outgoing->close_when_sent(std::chrono::milliseconds(deadline_ms));
        return;
    }
    const StreamId id = find_accepted(core, token);
    if (id == 0) {
        return;
    }
    Stream& stream = *find(id);
    stream.finishing = true;
    stream.reading = false;
    schedule_transmit(id, 1us);
    world_.after(std::chrono::milliseconds(deadline_ms), [this, id] { end(id, true, true); });
}

void Network::server_close(CoreId core, Token token) {
    if (Outgoing* outgoing = find_outgoing(core, token)) {
        outgoing->close();
    } else if (const StreamId id = find_accepted(core, token)) {
        end(id, false, true);
    }
}

} // namespace qtool::sim
