// Proves who sends unpaced: sockets to this machine, however its address is written, before connect
// and when accepted; and nobody else.
#include "lib/net/local_path.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <array>
#include <string>

using namespace qtool;

namespace {

struct Socket {
    int fd;
    explicit Socket(int opened) : fd(opened) { REQUIRE(fd >= 0); }
    ~Socket() { ::close(fd); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    [[nodiscard]] std::string congestion_control() const {
        std::array<char, 16> name{};
        socklen_t size = name.size();
        REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) == 0);
        return name.data();
    }
};

sockaddr_storage address_of(const std::string& text) {
    sockaddr_storage storage{};
    auto& ipv4 = reinterpret_cast<sockaddr_in&>(storage);
    auto& ipv6 = reinterpret_cast<sockaddr_in6&>(storage);
    if (::inet_pton(AF_INET, text.c_str(), &ipv4.sin_addr) == 1) {
        ipv4.sin_family = AF_INET;
    } else {
        REQUIRE(::inet_pton(AF_INET6, text.c_str(), &ipv6.sin6_addr) == 1);
        ipv6.sin6_family = AF_INET6;
    }
    return storage;
}

/// What a socket that is not connected yet ends up with.
std::string control_towards(const std::string& peer) {
    const sockaddr_storage address = address_of(peer);
    const Socket socket(::socket(AF_INET, SOCK_STREAM, 0));
    net::unpace_local(socket.fd, reinterpret_cast<const sockaddr&>(address));
    return socket.congestion_control();
}

/// An address of this machine beside loopback, if it has one.
std::string own_address() {
    ifaddrs* all = nullptr;
    REQUIRE(::getifaddrs(&all) == 0);
    std::string found = "127.0.0.1";
    for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr != nullptr && one->ifa_addr->sa_family == AF_INET &&
            (one->ifa_flags & IFF_LOOPBACK) == 0 && (one->ifa_flags & IFF_UP) != 0) {
            std::array<char, INET_ADDRSTRLEN> text{};
            ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(*one->ifa_addr).sin_addr,
                        text.data(), text.size());
            found = text.data();
        }
    }
    ::freeifaddrs(all);
    return found;
}

} // namespace

TEST_CASE("local path: loopback addresses of every kind") {
    for (const char* peer : {"127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"}) {
        CAPTURE(peer);
        CHECK(control_towards(peer) == "reno");
    }
}

TEST_CASE("local path: other machines are left to the system's choice") {
    const std::string chosen = Socket(::socket(AF_INET, SOCK_STREAM, 0)).congestion_control();
    for (const char* peer :
         {"192.0.2.1", "128.0.0.1", "0.0.0.1", "2001:db8::1", "::ffff:192.0.2.1"}) {
        CAPTURE(peer);
        CHECK(control_towards(peer) == chosen);
    }
}

TEST_CASE("local path: an accepted socket, whose peer has the same address") {
    const Socket listener(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_storage storage = address_of(own_address());
    auto& address = reinterpret_cast<sockaddr&>(storage);
    socklen_t size = sizeof(sockaddr_in);
    REQUIRE(::bind(listener.fd, &address, size) == 0);
    REQUIRE(::listen(listener.fd, 1) == 0);
    REQUIRE(::getsockname(listener.fd, &address, &size) == 0);
    const Socket client(::socket(AF_INET, SOCK_STREAM, 0));
    REQUIRE(::connect(client.fd, &address, size) == 0);
    sockaddr_storage peer{};
    socklen_t peer_size = sizeof peer;
    const Socket accepted(::accept(listener.fd, reinterpret_cast<sockaddr*>(&peer), &peer_size));
    net::unpace_local(accepted.fd, reinterpret_cast<const sockaddr&>(peer));
    CHECK(accepted.congestion_control() == "reno");
}
