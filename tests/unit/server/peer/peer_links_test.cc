// Proves that calls to other brokers are answered exactly once, whatever happens to connections:
// order, bounds, deadlines, back-off, refusals, a broker that comes back as another process.
#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/protocol/header.h"
#include "server/peer/peer_links.h"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <string>

using namespace qtool;
using namespace qtool::peer;
using namespace std::chrono_literals;

namespace {

constexpr int16_t kKey = 27; // WriteTxnMarkers: flexible from version 1 on
constexpr int16_t kVersion = 1;

class FakeNet final : public port::Net {
public:
    struct Connection {
        std::string host;
        uint16_t port = 0;
        std::string sent;
        bool is_closed = false;
    };
    std::vector<Connection> connections; // by slot

    Result<port::SocketAddress> listen(const std::string&, uint16_t, uint8_t) override {
        return Error(Code::internal);
    }
    void stop_listening() override {}
    Token connect(const std::string& host, uint16_t port, uint32_t) override {
        connections.push_back({host, port, {}, false});
        return Token{static_cast<uint32_t>(connections.size() - 1), 1};
    }
    void send(Token connection, std::vector<port::Piece> pieces) override {
        for (const port::Piece& piece : pieces) {
            connections.at(connection.slot).sent +=
                as_text(std::get<std::vector<std::byte>>(piece));
        }
    }
    [[nodiscard]] uint64_t queued_bytes(Token) const override { return 0; }
    void set_reading(Token, bool) override {}
    void close_when_sent(Token, uint32_t) override {}
    void close(Token connection) override { connections.at(connection.slot).is_closed = true; }
    // Links stay on the core that made them.
    std::unique_ptr<port::DetachedConnection> detach(Token) override { QT_UNREACHABLE(); }
    Token attach(std::unique_ptr<port::DetachedConnection>) override { QT_UNREACHABLE(); }
};

class FakeRandom final : public port::Random {
public:
    uint64_t next() override { return 12345; }
};

struct World {
    FakeNet net;
    FakeRandom random;
    std::unique_ptr<metrics::CoreCounters> counters = std::make_unique<metrics::CoreCounters>();
    metadata::Image image;
    PeerLinks links{{BrokerId(1), &net, &random, counters.get(), 1000}};
    MonoTime now{1000s};

    World() {
        for (int32_t id = 1; id <= 3; id++) {
            set_broker(id, static_cast<uint16_t>(9000 + id), 10 + id);
        }
        links.apply(image, now);
    }
    void set_broker(int32_t id, uint16_t port, int64_t epoch) {
        metadata::BrokerImage& broker = image.brokers[BrokerId(id)];
        broker.id = BrokerId(id);
        broker.host = "b" + std::to_string(id);
        broker.port = port;
        broker.epoch = Revision(epoch);
    }
    void call(int32_t to, uint32_t index, Duration patience = 10s,
              Purpose purpose = Purpose::calls) {
        Call made;
        made.to = BrokerId(to);
        made.purpose = purpose;
        made.api_key = kKey;
        made.version = kVersion;
        const ByteView body = as_bytes("body");
        made.body.assign(body.begin(), body.end());
        made.deadline = now + patience;
        made.token = Token{7, 7};
        made.index = index;
        links.call(std::move(made), now);
    }
    [[nodiscard]] Token last() const {
        return {static_cast<uint32_t>(net.connections.size() - 1), 1};
    }
    void connected() { links.on_connected(last(), now); }
    void refused() { links.on_connect_failed(last(), Error(Code::connection_refused), now); }
    /// Correlation ids of what was sent, in order.
    [[nodiscard]] std::vector<int32_t> sent(Token connection) const {
        std::vector<int32_t> ids;
        ByteView left = as_bytes(net.connections.at(connection.slot).sent);
        while (!left.empty()) {
            const auto size = static_cast<size_t>(load_be<int32_t>(left.data()));
            size_t body_at = 0;
            const auto header = protocol::decode_request_header(left.subspan(4, size), body_at);
            REQUIRE(header);
            CHECK(header->api_key == kKey);
            CHECK(header->api_version == kVersion);
            CHECK(header->client_id == "broker-1");
            CHECK(as_text(left.subspan(4 + body_at, size - body_at)) == "body");
            ids.push_back(header->correlation_id);
            left = left.subspan(4 + size);
        }
        return ids;
    }
    /// Bytes come in pieces of `step`.
    void receive(Token connection, ByteView bytes, size_t step = 3) {
        while (!bytes.empty() && links.owns(connection)) {
            const ByteSpan space = links.receive_buffer(connection);
            const size_t size = std::min({space.size(), bytes.size(), step});
            std::memcpy(space.data(), bytes.data(), size);
            links.on_received(connection, size, now);
            bytes = bytes.subspan(size);
        }
    }
    void reply(Token connection, int32_t correlation_id, std::string_view body = "answer") {
        ByteWriter out(64);
        out.be<int32_t>(0);
        protocol::encode_response_header(out, kKey, kVersion, correlation_id);
        out.bytes(as_bytes(body));
        out.patch_be<int32_t>(0, static_cast<int32_t>(out.size() - 4));
        receive(connection, out.view());
    }
    Answer one_answer() {
        std::vector<Answer> answers = links.take_answers();
        REQUIRE(answers.size() == 1);
        return std::move(answers[0]);
    }
    /// Time passes to the next alarm.
    void wait() {
        REQUIRE(links.next_due() != kMonoNever);
        now = std::max(now, links.next_due());
        links.on_time(now);
    }
};

} // namespace

TEST_CASE("peer links: a call connects, is sent, and its answer is the frame's own bytes") {
    World world;
    CHECK(world.links.next_due() == kMonoNever);
    CHECK(world.net.connections.empty()); // nobody is connected to without need
    world.call(2, 5);
    REQUIRE(world.net.connections.size() == 1);
    CHECK(world.net.connections[0].host == "b2");
    CHECK(world.net.connections[0].port == 9002);
    CHECK(world.net.connections[0].sent.empty());
    world.connected();
    const std::vector<int32_t> sent = world.sent(world.last());
    REQUIRE(sent.size() == 1);
    world.reply(world.last(), sent[0]);
    const Answer answer = world.one_answer();
    CHECK(answer.result.has_value());
    CHECK(answer.from == BrokerId(2));
    CHECK(answer.token == Token{7, 7});
    CHECK(answer.index == 5);
    CHECK(as_text(answer.body()) == "answer");
    CHECK(world.counters->peer_connections_open.value() == 1);
    // The connection is used again.
    world.call(2, 6);
    CHECK(world.net.connections.size() == 1);
    CHECK(world.sent(world.last()).size() == 2);
    CHECK(world.links.take_refused().empty());
}

TEST_CASE("peer links: a purpose has a connection of its own, and so has a broker") {
    World world;
    world.call(2, 0);
    world.call(2, 1, 10s, Purpose::fetch);
    world.call(3, 2);
    CHECK(world.net.connections.size() == 3);
    world.call(2, 3);
    world.call(2, 4, 10s, Purpose::fetch);
    CHECK(world.net.connections.size() == 3);
    CHECK_FALSE(world.links.has_answers());
}

TEST_CASE("peer links: calls are bounded in flight and in the queue, and keep their order") {
    World world;
    world.call(2, 0);
    world.connected();
    for (uint32_t i = 1; i < kInFlightMax + 10; i++) {
        world.call(2, i);
    }
    CHECK(world.sent(world.last()).size() == kInFlightMax);
    for (uint32_t i = 0; i < kInFlightMax + 10; i++) {
        world.reply(world.last(), world.sent(world.last())[i]);
        CHECK(world.one_answer().index == i);
    }
    for (size_t i = 0; i < kInFlightMax + kQueuedMax; i++) {
        world.call(2, 0);
    }
    CHECK_FALSE(world.links.has_answers());
    world.call(2, 9);
    const Answer answer = world.one_answer();
    CHECK(answer.result.error().code == Code::overloaded);
    CHECK(answer.index == 9);
}

TEST_CASE("peer links: nobody there is no_broker at once") {
    World world;
    world.call(4, 1);
    CHECK(world.one_answer().result.error().code == Code::no_broker);
    world.call(1, 2); // ourselves
    CHECK(world.one_answer().result.error().code == Code::no_broker);
    world.set_broker(3, 9003, 0); // registered, not live
    world.links.apply(world.image, world.now);
    world.call(3, 3);
    CHECK(world.one_answer().result.error().code == Code::no_broker);
    CHECK(world.net.connections.empty());
}

TEST_CASE(
    "peer links: a refusal is told with the epoch, fails who waits, and is tried again later") {
    World world;
    world.call(2, 1);
    world.refused();
    CHECK(world.one_answer().result.error().code == Code::connection_refused);
    const std::vector<Refused> refused = world.links.take_refused();
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].broker == BrokerId(2));
    CHECK(refused[0].epoch == Revision(12));
    Duration last{};
    for (int i = 0; i < 10; i++) {
        world.call(2, 2);
        CHECK(world.net.connections.size() == static_cast<size_t>(i + 1)); // not at once
        const MonoTime began = world.now;
        while (world.net.connections.size() == static_cast<size_t>(i + 1)) {
            world.wait();
        }
        CHECK(world.now - began <= kBackoffMax);
        CHECK(world.now - began >= last);
        last = world.now - began;
        world.links.on_connect_failed(world.last(), Error(Code::connection_failed), world.now);
        CHECK(world.one_answer().result.error().code == Code::connection_failed);
        CHECK(world.links.take_refused().empty()); // no refusal
    }
    CHECK(last >= kBackoffMax / 2);
}

TEST_CASE("peer links: a broken stream fails what is in flight and looks at once who is there") {
    World world;
    world.call(2, 1);
    world.connected();
    world.reply(world.last(), world.sent(world.last())[0]);
    static_cast<void>(world.one_answer());
    for (uint32_t i = 0; i < kInFlightMax + 2; i++) {
        world.call(2, i);
    }
    world.links.on_closed(world.last(), world.now);
    const std::vector<Answer> answers = world.links.take_answers();
    CHECK(answers.size() == kInFlightMax);
    for (const Answer& answer : answers) {
        CHECK(answer.result.error().code == Code::connection_failed);
    }
    CHECK(world.counters->peer_connections_open.value() == 0);
    REQUIRE(world.net.connections.size() == 2); // at once
    world.connected();
    CHECK(world.sent(world.last()).size() == 2); // those that had not been sent
    // Closed again without an answer: not at once this time.
    world.links.on_closed(world.last(), world.now);
    CHECK(world.links.take_answers().size() == 2);
    CHECK(world.net.connections.size() == 2);
}

TEST_CASE("peer links: a link that breaks idle is connected again, and a refusal is told") {
    World world;
    world.call(2, 1);
    world.connected();
    world.reply(world.last(), world.sent(world.last())[0]);
    static_cast<void>(world.one_answer());
    world.links.on_closed(world.last(), world.now);
    REQUIRE(world.net.connections.size() == 2);
    world.refused();
    CHECK(world.links.take_refused().size() == 1);
    CHECK_FALSE(world.links.has_answers());
    world.wait();
    CHECK(world.net.connections.size() == 2); // nothing to send: that is all there is to know
    CHECK(world.links.next_due() == kMonoNever);
    world.links.probe(BrokerId(2), world.now);
    CHECK(world.net.connections.size() == 3);
    world.links.probe(BrokerId(2), world.now); // is on its way
    CHECK(world.net.connections.size() == 3);
}

TEST_CASE("peer links: a call is answered at its deadline, sent or not") {
    World world;
    world.call(2, 1, 1s);
    world.call(2, 2, 2s);
    const MonoTime began = world.now;
    world.wait();
    CHECK(world.now == began + 1s);
    const Answer first = world.one_answer();
    CHECK(first.index == 1);
    CHECK(first.result.error().code == Code::timed_out);
    world.connected();
    CHECK(world.sent(world.last()).size() == 1); // the other one
    while (!world.links.has_answers()) {
        world.wait();
    }
    CHECK(world.now == began + 2s);
    CHECK(world.one_answer().index == 2);
    // Nothing came since it was sent: the connection is not trusted any more.
    CHECK(world.net.connections[0].is_closed);
}

TEST_CASE("peer links: a slow broker is kept, and its late answer thrown away") {
    World world;
    world.call(2, 1, 5s);
    world.call(2, 2, 1s);
    world.connected();
    const Token link = world.last();
    const std::vector<int32_t> sent = world.sent(link);
    world.now += 10ms;
    ByteWriter part(8); // half a length: it is alive
    part.be<int16_t>(0);
    world.receive(link, part.view());
    while (!world.links.has_answers()) {
        world.wait();
    }
    CHECK(world.one_answer().index == 2);
    CHECK_FALSE(world.net.connections[0].is_closed);
    ByteWriter rest(64);
    protocol::encode_response_header(rest, kKey, kVersion, sent[0]);
    ByteWriter length(8);
    length.be<int16_t>(static_cast<int16_t>(rest.size()));
    world.receive(link, length.view());
    world.receive(link, rest.view());
    CHECK(world.one_answer().index == 1);
    world.reply(link, sent[1]);
    CHECK_FALSE(world.links.has_answers());
    world.call(2, 3);
    world.reply(link, world.sent(link)[2]);
    CHECK(world.one_answer().index == 3);
}

TEST_CASE("peer links: nonsense breaks the connection") {
    World world;
    const auto broken_by = [&](const auto& act) {
        world.call(2, 1);
        const Token link = world.last();
        if (!world.sent(link).empty()) {
            FAIL("a new connection was expected");
        }
        world.links.on_connected(link, world.now);
        act(link);
        CHECK(world.net.connections.at(link.slot).is_closed);
        const Code code = world.one_answer().result.error().code;
        world.set_broker(2, 9002, world.image.brokers[BrokerId(2)].epoch.value() + 1);
        world.links.apply(world.image, world.now); // no back-off for the next one
        return code;
    };
    CHECK(broken_by([&](Token link) { world.reply(link, 999); }) == Code::malformed);
    CHECK(broken_by([&](Token link) {
              ByteWriter out(8);
              out.be<int32_t>(1001);
              world.receive(link, out.view());
          }) == Code::too_large);
    CHECK(broken_by([&](Token link) {
              ByteWriter out(8);
              out.be<int32_t>(-1);
              world.receive(link, out.view());
          }) == Code::malformed);
}

TEST_CASE("peer links: a broker that registered again is another process") {
    World world;
    world.call(2, 1);
    world.connected();
    world.set_broker(2, 9002, 50);
    world.links.apply(world.image, world.now);
    CHECK(world.net.connections[0].is_closed);
    CHECK(world.one_answer().result.error().code == Code::connection_failed);
    CHECK(world.net.connections.size() == 1); // on demand
    world.call(2, 2);
    REQUIRE(world.net.connections.size() == 2);
    // Another address while it connects: what waits goes there.
    world.set_broker(2, 9999, 51);
    world.links.apply(world.image, world.now);
    CHECK(world.net.connections[1].is_closed);
    CHECK_FALSE(world.links.has_answers());
    REQUIRE(world.net.connections.size() == 3);
    CHECK(world.net.connections[2].port == 9999);
    world.refused();
    CHECK(world.links.take_refused().at(0).epoch == Revision(51));
    static_cast<void>(world.one_answer());
    // Gone.
    world.set_broker(3, 9003, 60);
    world.links.apply(world.image, world.now);
    world.call(3, 3);
    world.set_broker(3, 9003, 0);
    world.links.apply(world.image, world.now);
    CHECK(world.one_answer().result.error().code == Code::no_broker);
    CHECK(world.net.connections.back().is_closed);
}

TEST_CASE("peer links: who watches is connected to all that live, until they do not") {
    World world;
    PeerLinks watch{{BrokerId(1), &world.net, &world.random, world.counters.get(), 1000, true}};
    watch.apply(world.image, world.now);
    REQUIRE(world.net.connections.size() == 2);
    watch.on_connected(Token{0, 1}, world.now);
    watch.on_connected(Token{1, 1}, world.now);
    CHECK(watch.next_due() == kMonoNever); // nothing ticks
    watch.on_closed(Token{1, 1}, world.now);
    CHECK(watch.next_due() <= world.now + kBackoffMin);
    size_t refusals = 0;
    while (refusals < 3) { // as often as it takes
        world.now = watch.next_due();
        watch.on_time(world.now);
        watch.on_connect_failed(world.last(), Error(Code::connection_refused), world.now);
        const std::vector<Refused> refused = watch.take_refused();
        REQUIRE(refused.size() == 1);
        CHECK(refused[0].broker == BrokerId(3));
        CHECK(refused[0].epoch == Revision(13));
        refusals++;
    }
    world.set_broker(3, 9003, 0);
    watch.apply(world.image, world.now);
    CHECK(world.net.connections.size() == 5);
    while (watch.next_due() != kMonoNever) {
        world.now = watch.next_due();
        watch.on_time(world.now);
    }
    CHECK(world.net.connections.size() == 5); // it is given up
    world.set_broker(3, 9003, 99);
    watch.apply(world.image, world.now);
    CHECK(world.net.connections.size() == 6);
}

TEST_CASE("peer links: closing answers all") {
    World world;
    world.call(2, 1);
    world.connected();
    world.call(3, 2);
    world.links.close();
    CHECK(world.links.take_answers().size() == 2);
    world.call(2, 3);
    CHECK(world.one_answer().result.error().code == Code::shutting_down);
    CHECK(world.net.connections[0].is_closed);
    CHECK(world.net.connections[1].is_closed);
    CHECK(world.links.next_due() == kMonoNever);
}
