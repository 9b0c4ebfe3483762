// TCP between two processes of one machine. There is no path whose rate anybody would have to find
// out, but a congestion control that paces does it all the same: BBR, the choice of many servers,
// sets a timer for each 64 KiB and caps the rate. Reading from memory took 2.5 times the CPU time
// at half the rate. The other end paces what it sends by its own choice.
#pragma once

#include <sys/socket.h>

namespace qtool::net {

/// Lets a socket whose peer is on this machine send as fast as that reads, whatever congestion
/// control the system chose; leaves all others as they are. Before connect(), or when accepted.
/// Source: tcp(7), TCP_CONGESTION: reno is there on every Linux and allowed to everybody.
void unpace_local(int fd, const sockaddr& peer);

} // namespace qtool::net
