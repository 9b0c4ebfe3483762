#include "lib/net/local_path.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cstring>
#include <string_view>

namespace qtool::net {

namespace {

constexpr std::string_view kUnpaced = "reno"; // on a path that loses nothing it never slows down

/// An IPv4 address, also one that IPv6 carries.
bool as_ipv4(const sockaddr& address, in_addr& into) {
    if (address.sa_family == AF_INET) {
        into = reinterpret_cast<const sockaddr_in&>(address).sin_addr;
        return true;
    }
    if (address.sa_family != AF_INET6) {
        return false;
    }
    const in6_addr& full = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(&full)) {
        return false;
    }
    std::memcpy(&into, full.s6_addr + sizeof full - sizeof into, sizeof into);
    return true;
}

bool is_loopback(const sockaddr& address) {
    in_addr ipv4{};
    if (as_ipv4(address, ipv4)) {
        return ntohl(ipv4.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    return address.sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
}

bool is_same_host(const sockaddr& one, const sockaddr& other) {
    in_addr one_ipv4{};
    in_addr other_ipv4{};
    if (as_ipv4(one, one_ipv4) && as_ipv4(other, other_ipv4)) {
        return one_ipv4.s_addr == other_ipv4.s_addr;
    }
    return one.sa_family == AF_INET6 && other.sa_family == AF_INET6 &&
           IN6_ARE_ADDR_EQUAL(&reinterpret_cast<const sockaddr_in6&>(one).sin6_addr,
                              &reinterpret_cast<const sockaddr_in6&>(other).sin6_addr);
}

/// Of the machine's own addresses, one that is not loopback: known once the socket has its end.
bool is_to_itself(int fd, const sockaddr& peer) {
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    return ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
           is_same_host(reinterpret_cast<const sockaddr&>(own), peer);
}

} // namespace

void unpace_local(int fd, const sockaddr& peer) {
    if (is_loopback(peer) || is_to_itself(fd, peer)) {
        // It only costs time where that fails.
        static_cast<void>(
            ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, kUnpaced.data(), kUnpaced.size()));
    }
}

} // namespace qtool::net
