// Throttle: the pauses of one connection. What a client used beyond its quotas makes its connection
// pause: the answer leaves at once and tells for how long (throttle_time_ms), and until then the
// socket is not read, which holds clients too that do not know the field (KIP-219).
// Lives on the core of the connection, owned by it.
#pragma once

#include "lib/base/time.h"
#include "server/metrics/counters.h"
#include "server/port/net.h"
#include "server/quota/meter.h"
#include "server/request/services.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace qtool::kafka {

class Throttle {
public:
    /// Takes `cost` (unit of the kind) from the client's quota; overdrawn: the connection pauses.
    void charge(quota::Kind kind, std::string_view client_id, double cost,
                request::Services& services, metrics::CoreCounters& counters);
    /// The same without a pause: the next of its kind is refused by is_overdrawn.
    void take(quota::Kind kind, std::string_view client_id, double cost,
              request::Services& services);
    /// True: the client used too much already, and the connection pauses.
    bool is_overdrawn(quota::Kind kind, std::string_view client_id, request::Services& services,
                      metrics::CoreCounters& counters);
    /// Takes what a change of topics costs (partitions). False: refused, nothing was taken, and the
    /// connection pauses.
    bool take_mutations(std::string_view client_id, double partitions, request::Services& services,
                        metrics::CoreCounters& counters);
    /// The most that one answer may carry so that no pause follows; nothing: no quota holds.
    [[nodiscard]] std::optional<uint64_t> allowance(quota::Kind kind, std::string_view client_id,
                                                    request::Services& services) const;

    /// The connection is not read before this.
    [[nodiscard]] MonoTime until() const { return until_; }
    /// Rounded up; 0: it does not pause.
    [[nodiscard]] int32_t remaining_ms(MonoTime now) const;

private:
    void pause(quota::Kind kind, Duration wait, request::Services& services,
               metrics::CoreCounters& counters);

    MonoTime until_{};
};

/// Writes throttle_time_ms into an encoded answer of this API and version (frame length included),
/// where that has the field.
void set_throttle_time(std::vector<port::Piece>& pieces, int16_t api_key, int16_t api_version,
                       int32_t throttle_time_ms);

} // namespace qtool::kafka
