// What every net keeps to. `World` is a PortWorld made with a number of data cores; kLargeSize is
// what it moves in reasonable time.
#pragma once

#include "lib/base/units.h"
#include "tests/port/disk_contract.h"
#include "tests/port/port_world.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace qtool::test {

inline port::SocketAddress listen_on(PortWorld& world, const std::string& host = "127.0.0.1",
                                     uint8_t listener = 0) {
    Result<port::SocketAddress> bound = Error(Code::internal);
    world.on_core(0, [&] { bound = world.core(0).ports().net->listen(host, 0, listener); });
    if (!bound) {
        FAIL(to_string(bound.error()));
    }
    return *bound;
}

struct Conversation {
    std::unique_ptr<Client> client;
    Token token;
};

template <class World>
Conversation converse(World& world, const port::SocketAddress& address) {
    TestCore& core = world.core(0);
    const size_t before = core.tokens.size();
    Conversation made;
    made.client = world.connect(address);
    REQUIRE(world.wait_until([&] { return core.tokens.size() > before; }));
    made.token = core.tokens.back();
    return made;
}

inline port::Net& net_of(PortWorld& world, size_t core = 0) {
    return *world.core(core).ports().net;
}

inline std::vector<port::Piece> one_piece(port::Piece piece) {
    std::vector<port::Piece> pieces;
    pieces.push_back(std::move(piece));
    return pieces;
}

/// A file of the world's disk with that content.
inline port::FileRef file_with(PortWorld& world, const std::string& name, std::string_view text) {
    port::FileRef file = open_file(*world.core(0).ports().disk, world.directory() + "/" + name,
                                   port::OpenMode::create);
    write_text(*file, text);
    return file;
}

TEST_CASE_TEMPLATE_DEFINE("net: bytes go there and back in order", World, net_echo) {
    World world(1);
    TestCore& core = world.core(0);
    core.received = [&](Token token, std::string_view bytes) {
        core.ports().net->send(token, one_piece(own_bytes(bytes)));
    };
    const port::SocketAddress address = listen_on(world, "127.0.0.1", 7);
    Conversation talk = converse(world, address);
    const std::string text = pattern(1 * MiB);
    talk.client->send(text);
    CHECK(world.wait_until([&] { return talk.client->received().size() >= text.size(); }));
    CHECK(talk.client->received() == text);
    CHECK(core.connections[talk.token].received == text);
    CHECK(core.connections[talk.token].listener == 7);
    CHECK(core.connections[talk.token].peer.port != 0);
    talk.client->close();
    CHECK(world.wait_until(
        [&] { return core.connections[talk.token].closed == 1 && !core.turn_open; }));
    world.stop();
    CHECK(core.connections[talk.token].closed == 1);
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: connections are dealt to the data cores in turn", World,
                          net_dealing) {
    constexpr size_t kDataCores = 3;
    World world(kDataCores);
    for (size_t i = 0; i < kDataCores; i++) {
        TestCore& core = world.core(i);
        core.received = [&core, i](Token token, std::string_view bytes) {
            core.ports().net->send(token, one_piece(own_bytes(std::to_string(i))));
            core.ports().net->send(token, one_piece(own_bytes(bytes)));
        };
    }
    const port::SocketAddress address = listen_on(world);
    std::vector<std::unique_ptr<Client>> clients;
    for (size_t i = 0; i < 4 * kDataCores; i++) {
        clients.push_back(world.connect(address));
        clients.back()->send("x");
    }
    CHECK(world.wait_until([&] {
        return std::all_of(clients.begin(), clients.end(),
                           [](const auto& client) { return client->received().size() == 2; });
    }));
    for (size_t i = 0; i < kDataCores; i++) {
        CHECK(world.core(i).tokens.size() == 4);
    }
    CHECK(world.core(kDataCores).tokens.empty()); // the metadata core
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: who does not read holds the peer back", World, net_backpressure) {
    World world(1);
    TestCore& core = world.core(0);
    core.accepted = [&](Token token) { core.ports().net->set_reading(token, false); };
    const port::SocketAddress address = listen_on(world);
    Conversation talk = converse(world, address);
    const std::string text = pattern(World::kLargeSize);
    talk.client->send(text);
    world.wait_for(30ms);
    CHECK(world.wait_until([&] { return core.connections[talk.token].received.empty(); }));
    // Off again after the first bytes.
    core.received = [&](Token token, std::string_view) {
        core.ports().net->set_reading(token, false);
    };
    world.on_core(0, [&] { net_of(world).set_reading(talk.token, true); });
    CHECK(world.wait_until([&] { return !core.connections[talk.token].received.empty(); }));
    const size_t first = core.connections[talk.token].received.size();
    world.wait_for(30ms);
    CHECK(world.wait_until([&] { return core.connections[talk.token].received.size() == first; }));
    core.received = nullptr;
    world.on_core(0, [&] { net_of(world).set_reading(talk.token, true); });
    CHECK(world.wait_until(
        [&] { return core.connections[talk.token].received.size() == text.size(); }));
    CHECK(core.connections[talk.token].received == text);
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: pieces of every kind keep their order", World, net_pieces) {
    World world(1);
    const port::SocketAddress address = listen_on(world);
    const std::string text = pattern(400 * KiB);
    const port::FileRef file = file_with(world, "f", text);
    Conversation talk = converse(world, address);
    std::string expected;
    world.on_core(0, [&] {
        ChunkRef chunk = Chunk::allocate(10 * KiB);
        std::copy_n(as_bytes(text).begin(), chunk->size(), chunk->data());
        std::vector<port::Piece> pieces;
        for (size_t i = 0; i < 300; i++) {
            const size_t at = i * 100;
            switch (i % 6) {
            case 0:
                pieces.emplace_back(own_bytes(std::to_string(i)));
                expected += std::to_string(i);
                break;
            case 1: // small: read into memory
                pieces.emplace_back(port::FileRange{file, at, 1 + i});
                expected += text.substr(at, 1 + i);
                break;
            case 2:
                pieces.emplace_back(port::ChunkPiece{chunk, chunk->span().subspan(i, 1000)});
                expected += text.substr(i, 1000);
                break;
            case 3: // large: straight from the file
                pieces.emplace_back(port::FileRange{file, at, 30'000 + i});
                expected += text.substr(at, 30'000 + i);
                break;
            case 4:
                pieces.emplace_back(std::vector<std::byte>{});
                break;
            default:
                pieces.emplace_back(port::FileRange{file, at, 0});
                break;
            }
        }
        net_of(world).send(talk.token, std::move(pieces));
        CHECK(net_of(world).queued_bytes(talk.token) == expected.size());
        chunk.reset();
    });
    CHECK(world.wait_until([&] { return talk.client->received().size() >= expected.size(); }));
    CHECK(talk.client->received() == expected);
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: a large file waits for a slow peer, and on_sent tells", World,
                          net_large_file) {
    World world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    const std::string text = pattern(World::kLargeSize);
    port::FileRef file = file_with(world, "f", text);
    Conversation talk = converse(world, address);
    talk.client->set_reading(false);
    world.on_core(0, [&] {
        net_of(world).send(talk.token, one_piece(own_bytes("head")));
        net_of(world).send(talk.token, one_piece(port::FileRange{file, 0, text.size()}));
        net_of(world).send(talk.token, one_piece(own_bytes("tail")));
        file.reset(); // the queue holds it
        CHECK(net_of(world).queued_bytes(talk.token) == text.size() + 8);
    });
    uint64_t queued = 0;
    world.wait_for(30ms);
    world.on_core(0, [&] { queued = net_of(world).queued_bytes(talk.token); });
    CHECK(queued > 0);
    CHECK(queued <= text.size() + 8);
    talk.client->set_reading(true);
    CHECK(world.wait_until([&] {
        const std::vector<uint64_t>& sent = core.connections[talk.token].sent;
        return talk.client->received().size() == text.size() + 8 && !sent.empty() &&
               sent.back() == 0;
    }));
    CHECK(talk.client->received() == "head" + text + "tail");
    const std::vector<uint64_t>& sent = core.connections[talk.token].sent;
    CHECK(std::is_sorted(sent.rbegin(), sent.rend()));
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: close_when_sent delivers all, whatever the peer still sends", World,
                          net_close_when_sent) {
    World world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    const std::string text = pattern(World::kLargeSize / 2);
    Conversation talk = converse(world, address);
    world.on_core(0, [&] {
        net_of(world).set_reading(talk.token, false);
        net_of(world).send(talk.token, one_piece(own_bytes(text)));
        net_of(world).close_when_sent(talk.token, 60'000);
    });
    talk.client->send(pattern(20'000)); // never read by the core
    CHECK(world.wait_until([&] { return talk.client->has_ended(); }));
    CHECK(talk.client->received() == text);
    talk.client->close();
    CHECK(world.wait_until([&] { return core.connections[talk.token].closed == 1; }));
    CHECK(core.connections[talk.token].received.empty());
    world.stop();
    CHECK(core.connections[talk.token].closed == 1);
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: close_when_sent gives up at its deadline", World,
                          net_close_deadline) {
    World world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    Conversation talk = converse(world, address);
    talk.client->set_reading(false);
    MonoTime begun{};
    world.on_core(0, [&] {
        begun = core.ports().clock->mono();
        net_of(world).send(talk.token, one_piece(own_bytes(pattern(World::kLargeSize))));
        net_of(world).close_when_sent(talk.token, 50);
    });
    CHECK(world.wait_until([&] { return core.connections[talk.token].closed == 1; }));
    CHECK(core.ports().clock->mono() >= begun + 50ms);
    world.on_core(0, [&] {
        CHECK(net_of(world).queued_bytes(talk.token) == 0);
        net_of(world).close(talk.token); // dead: nothing happens
    });
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: a peer that goes is told once, and its token is dead", World,
                          net_peer_gone) {
    World world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    for (int i = 0; i < 20; i++) {
        Conversation talk = converse(world, address);
        if (i % 3 == 0) { // with a queue
            talk.client->set_reading(false);
            world.on_core(0, [&] {
                net_of(world).send(talk.token, one_piece(own_bytes(pattern(World::kLargeSize))));
            });
        }
        if (i % 2 == 0) {
            talk.client->close();
        } else {
            talk.client->reset();
        }
        CHECK(world.wait_until([&] { return core.connections[talk.token].closed == 1; }));
        world.on_core(0, [&] {
            port::Net& net = net_of(world);
            CHECK(net.queued_bytes(talk.token) == 0);
            net.send(talk.token, one_piece(own_bytes("late")));
            net.set_reading(talk.token, false);
            net.close_when_sent(talk.token, 10);
            net.close(talk.token);
            CHECK(net.queued_bytes(talk.token) == 0);
        });
    }
    world.stop();
    for (const auto& [token, connection] : core.connections) {
        CHECK(connection.closed == 1);
    }
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: close is at once, and no on_closed follows", World, net_close) {
    World world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    std::unique_ptr<Client> client;
    SUBCASE("by an action") {
        Conversation talk = converse(world, address);
        world.on_core(0, [&] {
            net_of(world).send(talk.token, one_piece(own_bytes("dropped")));
            net_of(world).close(talk.token);
            CHECK(net_of(world).queued_bytes(talk.token) == 0);
        });
        client = std::move(talk.client);
    }
    SUBCASE("in on_accept") {
        core.accepted = [&](Token token) { core.ports().net->close(token); };
        client = world.connect(address);
    }
    SUBCASE("in on_received") {
        core.received = [&](Token token, std::string_view) { core.ports().net->close(token); };
        client = world.connect(address);
        client->send(pattern(100 * KiB));
    }
    CHECK(world.wait_until([&] { return client->has_ended(); }));
    CHECK(client->received() == "");
    world.wait_for(10ms);
    world.stop();
    REQUIRE(core.connections.size() == 1);
    CHECK(core.connections.begin()->second.closed == 0);
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: a file that ends before its range ends the stream", World,
                          net_short_file) {
    World world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    const std::string text = pattern(300 * KiB);
    const port::FileRef file = file_with(world, "f", text);
    for (const uint64_t size : {uint64_t{1000}, uint64_t{200 * KiB}}) { // read, and sent
        REQUIRE(file->truncate(0));
        write_text(*file, text);
        Conversation talk = converse(world, address);
        world.on_core(0, [&] {
            net_of(world).send(talk.token, one_piece(own_bytes("head")));
            net_of(world).send(talk.token, one_piece(port::FileRange{file, 0, size}));
            net_of(world).send(talk.token, one_piece(own_bytes("tail")));
            CHECK(file->truncate(size / 2));
        });
        CHECK(world.wait_until([&] { return core.connections[talk.token].closed == 1; }));
        CHECK(world.wait_until([&] { return talk.client->has_ended(); }));
        const std::string all = "head" + text.substr(0, size / 2);
        CHECK(all.substr(0, talk.client->received().size()) == talk.client->received());
        CHECK(talk.client->received().size() <= all.size());
    }
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: stop_listening keeps who is there", World, net_stop_listening) {
    World world(1);
    TestCore& core = world.core(0);
    core.received = [&](Token token, std::string_view bytes) {
        core.ports().net->send(token, one_piece(own_bytes(bytes)));
    };
    const port::SocketAddress address = listen_on(world);
    Conversation talk = converse(world, address);
    world.on_core(0, [&] { net_of(world).stop_listening(); });
    const std::unique_ptr<Client> late = world.connect(address);
    CHECK(world.wait_until([&] { return late->has_ended(); }));
    talk.client->send("still here");
    CHECK(world.wait_until([&] { return talk.client->received() == "still here"; }));
    CHECK(core.tokens.size() == 1);
    world.on_core(0, [&] { net_of(world).stop_listening(); }); // again: nothing happens
    CHECK(world.violation() == "");
}

inline Token take_over(PortWorld& world, size_t core,
                       std::unique_ptr<port::DetachedConnection> detached) {
    Token token;
    world.on_core(core, [&] {
        token = net_of(world, core).attach(std::move(detached));
        world.core(core).connections[token]; // known from here on
    });
    REQUIRE(token);
    return token;
}

TEST_CASE_TEMPLATE_DEFINE("net: a core takes a connection over from another one", World,
                          net_detach) {
    constexpr size_t kMoves = 50;
    World world(2);
    const port::SocketAddress address = listen_on(world);
    Conversation talk = converse(world, address); // on core 0
    TestCore* here = &world.core(0);
    std::string expected;
    for (size_t i = 0; i < kMoves; i++) {
        TestCore& there = world.core((i + 1) % 2);
        const std::string text = pattern(1 + 700 * i, static_cast<uint32_t>(i));
        expected += text;
        std::unique_ptr<port::DetachedConnection> detached;
        if (i % 2 == 0) { // while it is with no core
            world.on_core(i % 2, [&] { detached = here->ports().net->detach(talk.token); });
            talk.client->send(text);
            world.wait_for(1ms);
        } else { // with the first bytes, as soon as they are there
            here->received = [&](Token token, std::string_view) {
                if (!detached) {
                    detached = here->ports().net->detach(token);
                }
            };
            talk.client->send(text);
            CHECK(world.wait_until([&] { return detached != nullptr; }));
        }
        const std::string before = here->connections[talk.token].received;
        const Token token = take_over(world, (i + 1) % 2, std::move(detached));
        CHECK(world.wait_until([&] {
            return before.size() + there.connections[token].received.size() >= text.size();
        }));
        CHECK(before + there.connections[token].received == text);
        CHECK(here->connections[talk.token].closed == 0);
        world.on_core((i + 1) % 2,
                      [&] { there.ports().net->send(token, one_piece(own_bytes(text))); });
        CHECK(world.wait_until([&] { return talk.client->received().size() >= expected.size(); }));
        CHECK(world.wait_until([&] { return !there.turn_open; }));
        here->received = nullptr;
        here->connections[talk.token].received.clear();
        there.connections[token].received.clear();
        here = &there;
        talk.token = token;
    }
    CHECK(talk.client->received() == expected);
    talk.client->close();
    CHECK(world.wait_until([&] { return here->connections[talk.token].closed == 1; }));
    world.stop();
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: a connection that ends between two cores", World,
                          net_detached_end) {
    World world(2);
    const port::SocketAddress address = listen_on(world);
    Conversation talk = converse(world, address); // on core 0
    std::unique_ptr<port::DetachedConnection> detached;
    world.on_core(0, [&] { detached = net_of(world).detach(talk.token); });
    SUBCASE("is told to the one that takes it over") {
        bool is_reset = false;
        SUBCASE("closed") {
            talk.client->close();
        }
        SUBCASE("reset") {
            is_reset = true;
            talk.client->reset();
        }
        CAPTURE(is_reset);
        world.wait_for(5ms);
        const Token token = take_over(world, 1, std::move(detached));
        CHECK(world.wait_until([&] { return world.core(1).connections[token].closed == 1; }));
    }
    SUBCASE("because nobody takes it over") {
        world.on_core(0, [&] { detached.reset(); });
        CHECK(world.wait_until([&] { return talk.client->has_ended(); }));
    }
    world.stop();
    CHECK(world.core(0).connections[talk.token].closed == 0);
    CHECK(world.violation() == "");
}

/// Both ends of a connection that `from` opens to what core 0 listens on.
struct Link {
    Token near;
    Token far; // on core 0
};

template <class World>
Link link(World& world, size_t from, const port::SocketAddress& address) {
    TestCore& core = world.core(0);
    const size_t before = core.tokens.size();
    Link made;
    world.on_core(
        from, [&] { made.near = net_of(world, from).connect(address.host, address.port, 60'000); });
    REQUIRE(world.wait_until([&] {
        return core.tokens.size() > before && world.core(from).connections[made.near].connected;
    }));
    made.far = core.tokens.back();
    return made;
}

TEST_CASE_TEMPLATE_DEFINE("net: a core connects, and it is a connection as any other", World,
                          net_connect) {
    World world(1);
    TestCore& core = world.core(0);
    TestCore& other = world.core(1); // the metadata core may connect too
    const port::SocketAddress address = listen_on(world, "127.0.0.1", 5);
    core.received = [&](Token token, std::string_view bytes) {
        if (core.connections[token].connected == 0) {
            core.ports().net->send(token, one_piece(own_bytes(bytes)));
        }
    };
    const std::string text = pattern(1 * MiB);
    for (const size_t from : {size_t{0}, size_t{1}}) {
        const Link made = link(world, from, address);
        CHECK(core.connections[made.far].listener == 5);
        TestCore& near = from == 0 ? core : other;
        world.on_core(from, [&] {
            for (size_t at = 0; at < text.size(); at += 10'000) {
                net_of(world, from).send(made.near, one_piece(own_bytes(text.substr(at, 10'000))));
            }
            CHECK(net_of(world, from).queued_bytes(made.near) > 0);
        });
        CHECK(world.wait_until(
            [&] { return near.connections[made.near].received.size() >= text.size(); }));
        CHECK(near.connections[made.near].received == text);
        CHECK(near.connections[made.near].connected == 1);
        if (from == 0) { // either side may end it
            world.on_core(0, [&] { net_of(world).close(made.far); });
            CHECK(world.wait_until([&] { return near.connections[made.near].closed == 1; }));
        } else {
            world.on_core(from, [&] { net_of(world, from).close(made.near); });
            CHECK(world.wait_until([&] { return core.connections[made.far].closed == 1; }));
            CHECK(near.connections[made.near].closed == 0);
        }
    }
    world.stop();
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: what is sent before the connection stands arrives first", World,
                          net_connect_early) {
    World world(1);
    TestCore& core = world.core(0);
    const port::SocketAddress address = listen_on(world);
    Token near;
    world.on_core(1, [&] {
        near = net_of(world, 1).connect(address.host, address.port, 60'000);
        net_of(world, 1).send(near, one_piece(own_bytes("early,")));
        net_of(world, 1).send(near, one_piece(own_bytes("and ")));
        CHECK(net_of(world, 1).queued_bytes(near) == 10);
    });
    REQUIRE(world.wait_until([&] { return world.core(1).connections[near].connected == 1; }));
    world.on_core(1, [&] { net_of(world, 1).send(near, one_piece(own_bytes("later"))); });
    CHECK(world.wait_until([&] {
        return core.tokens.size() == 1 &&
               core.connections[core.tokens[0]].received == "early,and later";
    }));
    world.on_core(1, [&] { net_of(world, 1).close_when_sent(near, 60'000); });
    CHECK(world.wait_until([&] { return core.connections[core.tokens[0]].closed == 1; }));
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: who connected holds the peer back by not reading", World,
                          net_connect_backpressure) {
    World world(1);
    TestCore& near = world.core(1);
    const port::SocketAddress address = listen_on(world);
    const Link made = link(world, 1, address);
    const std::string text = pattern(World::kLargeSize);
    world.on_core(1, [&] { net_of(world, 1).set_reading(made.near, false); });
    world.on_core(0, [&] { net_of(world).send(made.far, one_piece(own_bytes(text))); });
    world.wait_for(30ms);
    uint64_t queued = 0;
    world.on_core(0, [&] { queued = net_of(world).queued_bytes(made.far); });
    CHECK(queued > 0);
    CHECK(near.connections[made.near].received.empty());
    world.on_core(1, [&] { net_of(world, 1).set_reading(made.near, true); });
    CHECK(world.wait_until(
        [&] { return near.connections[made.near].received.size() == text.size(); }));
    CHECK(near.connections[made.near].received == text);
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: a port where nobody listens refuses", World, net_connect_refused) {
    World world(1);
    TestCore& near = world.core(1);
    const port::SocketAddress address = listen_on(world);
    world.on_core(0, [&] { net_of(world).stop_listening(); });
    Token token;
    world.on_core(1, [&] {
        token = net_of(world, 1).connect(address.host, address.port, 60'000);
        net_of(world, 1).send(token, one_piece(own_bytes("lost")));
    });
    REQUIRE(world.wait_until([&] { return near.connections[token].not_opened.has_value(); }));
    CHECK(near.connections[token].not_opened->code == Code::connection_refused);
    CHECK(near.connections[token].not_opened->detail.find(address.host) != std::string::npos);
    world.on_core(1, [&] {
        port::Net& net = net_of(world, 1);
        CHECK(net.queued_bytes(token) == 0); // dead: nothing happens
        net.send(token, one_piece(own_bytes("late")));
        net.set_reading(token, false);
        net.close_when_sent(token, 10);
        net.close(token);
    });
    CHECK(near.connections[token].closed == 0);
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: whoever gives up connecting hears no more of it", World,
                          net_connect_given_up) {
    World world(1);
    TestCore& near = world.core(1);
    const port::SocketAddress address = listen_on(world);
    std::vector<Token> given_up;
    world.on_core(1, [&] {
        for (const char* host : {"127.0.0.1", "no-such-host.invalid"}) {
            given_up.push_back(net_of(world, 1).connect(host, address.port, 60'000));
            net_of(world, 1).close(given_up.back());
            given_up.push_back(net_of(world, 1).connect(host, address.port, 60'000));
            net_of(world, 1).close_when_sent(given_up.back(), 1);
        }
    });
    world.wait_for(30ms);
    world.stop();
    for (const Token token : given_up) {
        CHECK(near.connections.count(token) == 0);
    }
    CHECK(world.violation() == "");
}

TEST_CASE_TEMPLATE_DEFINE("net: a host that is unknown is no refusal", World, net_connect_unknown) {
    World world(1);
    TestCore& near = world.core(1);
    Token token;
    world.on_core(1, [&] { token = net_of(world, 1).connect("no-such-host.invalid", 9, 60'000); });
    REQUIRE(world.wait_until([&] { return near.connections[token].not_opened.has_value(); }));
    CHECK(near.connections[token].not_opened->code == Code::connection_failed);
    CHECK(near.connections[token].not_opened->detail.find("no-such-host") != std::string::npos);
    CHECK(world.violation() == "");
}

} // namespace qtool::test
