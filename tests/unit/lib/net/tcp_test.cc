// Proves the stream and the resolver against a plain socket of the test's own: order, errors with a
// name, backpressure, and that every callback may destroy what calls it.
#include "lib/net/resolve.h"
#include "lib/net/tcp.h"
#include "lib/net/timer.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace qtool;
using namespace qtool::net;

namespace {

/// A listening socket and at most one connection; moved by the test.
class Server {
public:
    Server() {
        listen_fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* any = reinterpret_cast<sockaddr*>(&address);
        REQUIRE(::bind(listen_fd_, any, size) == 0);
        REQUIRE(::listen(listen_fd_, 8) == 0);
        REQUIRE(::getsockname(listen_fd_, any, &size) == 0);
        port_ = ntohs(address.sin_port);
    }
    ~Server() {
        close();
        stop_listening();
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    [[nodiscard]] uint16_t port() const { return port_; }
    [[nodiscard]] bool is_connected() const { return fd_ >= 0; }
    void stop_listening() {
        if (listen_fd_ >= 0) {
            ::close(std::exchange(listen_fd_, -1));
        }
    }
    /// Accepts; receives what is there.
    void move(bool read = true) {
        if (fd_ < 0) {
            fd_ = ::accept4(listen_fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        }
        std::array<char, 65536> buffer;
        while (fd_ >= 0 && read) {
            const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
            if (got <= 0) {
                has_ended = has_ended || got == 0;
                return;
            }
            received.append(buffer.data(), static_cast<size_t>(got));
        }
    }
    void send(const std::string& bytes) const {
        REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(bytes.size()));
    }
    void close() {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }
    void reset() {
        const linger at_once{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }

    std::string received;
    bool has_ended = false;

private:
    int listen_fd_ = -1;
    int fd_ = -1;
    uint16_t port_ = 0;
};

struct Fixture {
    /// Runs loop and server until `done`; fails after a generous time.
    template <class Done>
    void run_until(Done&& done, bool server_reads = true) {
        const MonoTime limit = Loop::now() + 20s;
        while (!done()) {
            REQUIRE(Loop::now() < limit);
            ticker.set(Loop::now() + 1ms); // the server has no handle on the loop
            loop.run_once(Loop::Wait::yes);
            server.move(server_reads);
        }
        ticker.set(kMonoNever);
    }
    TcpCallbacks callbacks() {
        return {.on_connected = [this] { connected++; },
                .on_read = [this](ByteView bytes) { received += as_text(bytes); },
                .on_closed =
                    [this](Error error) {
                        CHECK_FALSE(closed);
                        closed = std::move(error);
                    },
                .on_written = [this](uint64_t left) { queued = left; },
                .receive_buffer = nullptr};
    }

    Loop loop;
    Timer ticker{loop, [] {}};
    Server server;
    int connected = 0;
    std::string received;
    std::optional<Error> closed;
    std::optional<uint64_t> queued;
};

std::vector<std::byte> to_vector(std::string_view text) {
    const ByteView bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

} // namespace

TEST_CASE_FIXTURE(Fixture, "tcp: bytes in order, those written early first") {
    Tcp tcp(loop, callbacks());
    tcp.connect("127.0.0.1", server.port());
    tcp.write(to_vector("early "));
    CHECK(tcp.queued_bytes() == 6);
    run_until([&] { return connected == 1 && server.is_connected(); });
    std::vector<std::vector<std::byte>> parts;
    for (const char* part : {"one ", "", "two ", "three"}) {
        parts.push_back(to_vector(part));
    }
    tcp.write(std::move(parts));
    run_until([&] { return server.received == "early one two three" && tcp.queued_bytes() == 0; });
    CHECK(queued == 0);
    server.send("answer");
    run_until([&] { return received == "answer"; });
    server.close();
    run_until([&] { return closed.has_value(); });
    CHECK(closed->code == Code::connection_failed);
    CHECK(closed->detail.find("127.0.0.1:" + std::to_string(server.port())) != std::string::npos);
    tcp.write(to_vector("dropped"));
    CHECK(tcp.queued_bytes() == 0);
    CHECK(connected == 1);
}

TEST_CASE_FIXTURE(Fixture, "tcp: nobody listens") {
    server.stop_listening();
    Tcp tcp(loop, callbacks());
    tcp.connect("localhost", server.port());
    CHECK_FALSE(closed);
    run_until([&] { return closed.has_value(); });
    CHECK(closed->code == Code::connection_failed);
    CHECK(closed->detail.find("localhost:" + std::to_string(server.port())) != std::string::npos);
    CHECK(connected == 0);
}

TEST_CASE_FIXTURE(Fixture, "tcp: a name that has no address") {
    Tcp tcp(loop, callbacks());
    SUBCASE("no such name") {
        tcp.connect("no-such-host.invalid", 1);
    }
    SUBCASE("longer than a name may be") {
        tcp.connect(std::string(1000, 'x'), 1);
    }
    run_until([&] { return closed.has_value(); });
    CHECK(closed->code == Code::connection_failed);
    CHECK(closed->detail.find("cannot resolve") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "tcp: a reset is told once") {
    Tcp tcp(loop, callbacks());
    tcp.connect("127.0.0.1", server.port());
    run_until([&] { return connected == 1 && server.is_connected(); });
    server.reset();
    tcp.write(to_vector("into the void"));
    run_until([&] { return closed.has_value(); });
    CHECK(closed->detail.find("broke") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "tcp: what the peer does not read is counted") {
    Tcp tcp(loop, callbacks());
    tcp.connect("127.0.0.1", server.port());
    run_until([&] { return connected == 1 && server.is_connected(); });
    const std::string block(1 << 20, 'x');
    constexpr size_t kBlocks = 32; // more than the socket buffers hold
    for (size_t i = 0; i < kBlocks; i++) {
        tcp.write(to_vector(block));
    }
    CHECK(tcp.queued_bytes() > 0);
    const MonoTime pause = Loop::now() + 20ms;
    run_until([&] { return Loop::now() > pause; }, false);
    CHECK(tcp.queued_bytes() > 0);
    run_until([&] { return server.received.size() == kBlocks * block.size(); });
    run_until([&] { return tcp.queued_bytes() == 0; });
    CHECK(queued == 0);
}

TEST_CASE_FIXTURE(Fixture, "tcp: reading can be held, and the caller may bring the buffer") {
    std::array<std::byte, 3> small;
    TcpCallbacks with_buffer = callbacks();
    size_t largest = 0;
    with_buffer.on_read = [&](ByteView bytes) {
        CHECK(bytes.data() == small.data());
        largest = std::max(largest, bytes.size());
        received += as_text(bytes);
    };
    with_buffer.receive_buffer = [&] { return ByteSpan(small); };
    Tcp tcp(loop, std::move(with_buffer));
    tcp.set_reading(false);
    tcp.connect("127.0.0.1", server.port());
    run_until([&] { return connected == 1 && server.is_connected(); });
    server.send("0123456789");
    const MonoTime pause = Loop::now() + 20ms;
    run_until([&] { return Loop::now() > pause; });
    CHECK(received.empty());
    tcp.set_reading(true);
    run_until([&] { return received == "0123456789"; });
    CHECK(largest == 3);
}

TEST_CASE_FIXTURE(Fixture, "tcp: destroyed at any time, also by its own callbacks") {
    std::unique_ptr<Tcp> tcp;
    TcpCallbacks deadly = callbacks();
    bool gone = false;
    const auto destroy = [&] {
        tcp.reset();
        gone = true;
    };
    SUBCASE("while resolving") {
        tcp = std::make_unique<Tcp>(loop, std::move(deadly));
        tcp->connect("localhost", server.port());
        destroy();
    }
    SUBCASE("never connected") {
        tcp = std::make_unique<Tcp>(loop, std::move(deadly));
        destroy();
    }
    SUBCASE("in on_connected, with bytes queued") {
        deadly.on_connected = destroy;
        tcp = std::make_unique<Tcp>(loop, std::move(deadly));
        tcp->connect("127.0.0.1", server.port());
        tcp->write(to_vector("x"));
    }
    SUBCASE("in on_read") {
        deadly.on_connected = [&] { tcp->write(to_vector("x")); };
        deadly.on_read = [&](ByteView) { destroy(); };
        tcp = std::make_unique<Tcp>(loop, std::move(deadly));
        tcp->connect("127.0.0.1", server.port());
        run_until([&] { return server.is_connected(); });
        server.send("x");
    }
    SUBCASE("in on_written") {
        deadly.on_written = [&](uint64_t) { destroy(); };
        tcp = std::make_unique<Tcp>(loop, std::move(deadly));
        tcp->connect("127.0.0.1", server.port());
        tcp->write(to_vector("x"));
    }
    SUBCASE("in on_closed") {
        server.stop_listening();
        deadly.on_closed = [&](const Error&) { destroy(); };
        tcp = std::make_unique<Tcp>(loop, std::move(deadly));
        tcp->connect("127.0.0.1", server.port());
    }
    run_until([&] { return gone; });
    CHECK(tcp == nullptr);
    if (server.is_connected()) {
        run_until([&] { return server.has_ended; }); // the socket went with it
    }
}

TEST_CASE_FIXTURE(Fixture, "resolve: a name gives addresses, later; or is cancelled") {
    std::optional<Result<std::vector<Address>>> found;
    std::optional<Resolve> resolve;
    resolve.emplace(loop, "127.0.0.1", uint16_t{80},
                    [&](Result<std::vector<Address>> addresses) { found = std::move(addresses); });
    CHECK_FALSE(found);
    run_until([&] { return found.has_value(); });
    REQUIRE(found->has_value());
    REQUIRE_FALSE((*found)->empty());
    CHECK(to_string((*found)->front()) == "127.0.0.1:80");

    found.reset();
    resolve.emplace(loop, "::1", uint16_t{443},
                    [&](Result<std::vector<Address>> addresses) { found = std::move(addresses); });
    run_until([&] { return found.has_value(); });
    REQUIRE(found->has_value());
    CHECK(to_string((*found)->front()) == "[::1]:443");

    found.reset();
    resolve.emplace(loop, "localhost", uint16_t{1},
                    [&](Result<std::vector<Address>> addresses) { found = std::move(addresses); });
    resolve.reset();
    ticker.set(kMonoNever);
    loop.run(); // until the request is given back
    CHECK_FALSE(found);
}
