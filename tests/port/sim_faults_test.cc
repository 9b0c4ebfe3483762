// What the simulated world does that no contract asks for and cluster scenarios live by: cut links
// keep bytes back, machines without power do not answer, sessions end by time, by force and not
// while the store is down, answers wait for a store that cannot be reached, and a watch that fell
// behind loads again.
#include "tests/port/store_contract.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_store.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::sim;

namespace {

constexpr HostId kOne = 1;
constexpr HostId kTwo = 2;

/// The store port of a process on a machine, with the truth it shares with others.
struct StoreUser {
    StoreUser(World& world, StoreTruth& truth, HostId host)
        : store(world, truth, host, alive, [](const std::function<void()>& action) { action(); }) {
        store.set_events(&events);
        store.load();
        world.run_until(world.now() + 1s, [&] { return !events.loads.empty(); });
    }
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
    test::StoreRecorder events;
    SimStore store;
};

struct StoreWorld {
    World world{7};
    StoreTruth truth{world, StoreTruth::Kind::shared};
    StoreUser one{world, truth, kOne};
    StoreUser two{world, truth, kTwo};

    void wait(Duration duration) {
        world.run_until(world.now() + duration, [] { return false; });
    }
    void go_live(StoreUser& user, const std::string& key) {
        user.store.open_session(2s);
        REQUIRE(world.run_until(world.now() + 1s, [&] { return !user.events.renewals.empty(); }));
        user.store.commit({{}, {{key, "here", true}}}, Token{1, 1});
        REQUIRE(world.run_until(world.now() + 5s, [&] { return !user.events.commits.empty(); }));
        REQUIRE(user.events.commits.begin()->second);
    }
    [[nodiscard]] bool has(const std::string& key) const { return truth.entries().count(key) > 0; }
};

struct Listener final : port::CoreEvents {
    std::string received;
    int connected = 0;
    std::optional<Error> failed;
    std::vector<std::byte> buffer = std::vector<std::byte>(1024);

    void on_accept(Token, uint8_t, const port::SocketAddress&) override {}
    void on_connected(Token) override { connected++; }
    void on_connect_failed(Token, Error error) override { failed = std::move(error); }
    ByteSpan receive_buffer(Token) override { return buffer; }
    void on_received(Token, size_t size) override {
        received += as_text(ByteView(buffer).first(size));
    }
    void on_sent(Token, uint64_t) override {}
    void on_closed(Token) override {}
    void on_synced(Token, Result<void>) override {}
    void on_read_in(Token, Result<void>) override {}
    void on_mail(std::unique_ptr<port::Mail>) override {}
    void on_timer() override {}
    void on_turn_end() override {}
};

/// A machine with a process of one core.
struct Peer {
    Peer(Network& to, const std::string& address) : network(to) {
        side.alive = std::make_shared<bool>(true);
        side.core_count = 1;
        side.host = network.add_host(address);
        side.deliver = [this](CoreId, const std::function<void(port::CoreEvents&)>& action) {
            action(core);
        };
        network.begin_listening(&side, kBrokerPort, 0);
    }
    Network& network;
    ServerSide side;
    Listener core;
};

struct NetWorld {
    World world{7};
    Network network{world};
    Peer one{network, "one"};
    Peer two{network, "two"};
    SimNet net{network, one.side, CoreId(0)};

    bool until(const std::function<bool()>& done) {
        return world.run_until(world.now() + 10s, done);
    }
    void send(Token token, std::string_view text) {
        std::vector<port::Piece> pieces;
        pieces.emplace_back(std::vector<std::byte>(as_bytes(text).begin(), as_bytes(text).end()));
        net.send(token, std::move(pieces));
    }
};

} // namespace

TEST_CASE("sim net: a cut link keeps bytes back and brings them in order when it heals") {
    NetWorld world;
    const Token token = world.net.connect("two", kBrokerPort, 60'000);
    REQUIRE(world.until([&] { return world.one.core.connected == 1; }));
    world.send(token, "a");
    REQUIRE(world.until([&] { return world.two.core.received == "a"; }));
    world.network.set_link(world.one.side.host, world.two.side.host, true);
    world.send(token, "b");
    CHECK_FALSE(world.until([&] { return world.two.core.received != "a"; }));
    world.network.set_link(world.one.side.host, world.two.side.host, false);
    world.send(token, "c");
    CHECK(world.until([&] { return world.two.core.received == "abc"; }));
}

TEST_CASE("sim net: a machine without power does not answer, one without a broker refuses") {
    NetWorld world;
    world.network.drop_server(world.two.side.host, true);
    world.network.set_up(world.two.side.host, false);
    static_cast<void>(world.net.connect("two", kBrokerPort, 2'000));
    REQUIRE(world.until([&] { return world.one.core.failed.has_value(); }));
    CHECK(world.one.core.failed->code == Code::timed_out);
    world.one.core.failed.reset();
    world.network.set_up(world.two.side.host, true);
    static_cast<void>(world.net.connect("two", kBrokerPort, 2'000));
    REQUIRE(world.until([&] { return world.one.core.failed.has_value(); }));
    CHECK(world.one.core.failed->code == Code::connection_refused);
}

TEST_CASE("sim store: a session that is not renewed ends, and others are told") {
    StoreWorld world;
    world.go_live(world.one, "live/1");
    world.wait(10s);
    CHECK(world.has("live/1")); // renewed all the time
    *world.one.alive = false;
    world.wait(1s);
    CHECK(world.has("live/1"));
    world.wait(4s);
    CHECK_FALSE(world.has("live/1"));
    CHECK(world.two.events.changes.back().writes ==
          std::vector<port::StoreWrite>{{"live/1", std::nullopt}});
}

TEST_CASE("sim store: whoever is cut off loses the session by its own clock, not later") {
    StoreWorld world;
    world.go_live(world.one, "live/1");
    world.truth.set_reachable(kOne, false);
    const MonoTime valid_until = world.one.events.renewals.back();
    REQUIRE(world.world.run_until(world.world.now() + 10s,
                                  [&] { return world.one.events.sessions_lost == 1; }));
    CHECK(world.world.now() <= valid_until + 1ms);
    CHECK(world.has("live/1")); // the store gives it a little longer
    world.wait(5s);
    CHECK_FALSE(world.has("live/1"));
}

TEST_CASE("sim store: while the store is down no session ends there") {
    StoreWorld world;
    world.go_live(world.one, "live/1");
    world.truth.set_down(true);
    world.wait(20s);
    CHECK(world.has("live/1"));
    CHECK(world.one.events.sessions_lost == 1);
    world.truth.set_down(false);
    world.wait(3s);
    CHECK_FALSE(world.has("live/1"));
}

TEST_CASE("sim store: a commit that cannot be answered is answered when the store is back") {
    StoreWorld world;
    world.truth.set_reachable(kOne, false);
    for (uint32_t i = 0; i < 20; i++) {
        world.one.store.commit({{}, {{"k" + std::to_string(i), "1"}}}, Token{i, 1});
    }
    world.wait(20s);
    CHECK(world.one.events.commits.empty());
    world.truth.set_reachable(kOne, true);
    world.wait(20s);
    REQUIRE(world.one.events.commits.size() == 20);
    for (const auto& [token, answer] : world.one.events.commits) {
        CHECK(answer.has_value() == world.has("k" + std::to_string(token.slot))); // certain
    }
}

TEST_CASE("sim store: a watch that fell behind loads again and goes on") {
    StoreWorld world;
    world.truth.set_reachable(kTwo, false);
    for (uint32_t i = 0; i < 100; i++) {
        world.one.store.commit({{}, {{"k", std::to_string(i)}}}, Token{i, 1});
    }
    world.wait(20s);
    const size_t told = world.two.events.changes.size();
    world.truth.set_reachable(kTwo, true);
    world.wait(5s);
    REQUIRE(world.two.events.reloads.size() == 1);
    CHECK(world.two.events.reloads[0].entries.at(0).value == "99");
    CHECK(world.two.events.changes.size() == told);
    world.one.store.commit({{}, {{"k", "last"}}}, Token{100, 1});
    world.wait(5s);
    CHECK(world.two.events.changes.back().writes[0].value == "last");
}
