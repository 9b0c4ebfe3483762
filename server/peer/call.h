// Call: one Kafka request to another broker of the cluster, and its Answer. Values; made and
// consumed on one core.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/slot_map.h"
#include "lib/base/time.h"
#include "lib/client/frame.h"

#include <cstdint>
#include <vector>

namespace qtool::peer {

/// Each purpose has a connection of its own: answers come in the order of the requests, and a fetch
/// waits for records.
enum class Purpose : uint8_t {
    calls, // everything but fetches; answered through request::Pending
    fetch, // of replicas; answered to the fetchers of the core
};
inline constexpr size_t kPurposeCount = 2;

struct Call {
    BrokerId to;
    Purpose purpose = Purpose::calls;
    int16_t api_key = 0;
    int16_t version = 0;         // the cluster's brokers are of one version: nothing is negotiated
    std::vector<std::byte> body; // encoded, without header
    MonoTime deadline = kMonoNever;
    Token token;        // the caller's own, comes back in the answer; of calls: the pending request
    uint32_t index = 0; // the same
    bool is_partition_op = false; // remote_op.h: the answer is a partition's
    uint8_t hop = 0;              // calls of the same operation before this one
};

struct Answer {
    BrokerId from;
    Purpose purpose = Purpose::calls;
    int16_t api_key = 0;
    int16_t version = 0;
    Token token;
    uint32_t index = 0;
    bool is_partition_op = false;
    uint8_t hop = 0;
    /// Not a value:
    ///   no_broker           the image knows no such broker, or it is not live
    ///   overloaded          too many calls wait for it
    ///   connection_refused, connection_failed   carried out or not is unknown
    ///   timed_out           the same
    ///   malformed, too_large   the peer answered nonsense
    Result<void> result;
    client::Frame frame; // as received, one allocation; empty without a result
    size_t body_at = 0;

    /// Valid as long as the frame. Its bytes are the receiver's to change (offsets, epochs).
    [[nodiscard]] ByteSpan body() const {
        return ByteSpan(frame.bytes.get(), frame.size).subspan(body_at);
    }
};

/// A broker whose port refused a connection: its process is gone, since a paused or cut off one
/// does not refuse.
struct Refused {
    BrokerId broker;
    Revision epoch; // of the registration that was tried
};

} // namespace qtool::peer
