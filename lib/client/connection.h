// Connection: the Kafka protocol on one byte stream, without the stream. Sends requests with
// correlation ids, gives out their replies, bounds what is in flight and how long it may take.
//
//   connecting --on_connected--> handshaking --ApiVersions answered--> ready
//   any --fail--> failed: the stream broke, a reply was wrong or overdue
//
// The handshake asks ApiVersions in the newest version; a broker that does not know it answers
// UNSUPPORTED_VERSION in version 0, then version 0 is asked (KIP-511). Replies come in the order of
// the requests, as Kafka guarantees for one connection. Owned by Cluster.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/client/frame.h"
#include "lib/client/outbox.h"
#include "lib/protocol/primitive.h"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtool::client {

struct ConnectionOptions {
    std::string client_id;
    uint32_t in_flight_max = 5; // requests waiting for their replies
    Duration request_timeout = 30s;
    size_t reply_size_max = 0;    // bytes of one reply
    std::string reply_limit_name; // what that limit is called
};

/// The answer to one request.
struct Reply {
    uint64_t tag = 0; // the sender's own
    int32_t node_id = -1;
    int16_t api_key = 0;
    int16_t version = 0;
    Result<void> result; // not a value: the request failed, whether it was carried out is unknown
    Frame frame;
    size_t body_at = 0; // where the body begins in the frame

    [[nodiscard]] ByteView body() const { return frame.view().subspan(body_at); }
};

/// Bytes given to the stream that it has not taken; above, nothing more is sent. Binds only when
/// nothing is in flight (acks=0): then no reply limits the sender.
inline constexpr uint64_t kUnwrittenBytesMax = 4 * 1024 * 1024;

class Connection {
public:
    enum class State : uint8_t { connecting, handshaking, ready, failed };

    /// `node_id` is put into replies. The time to connect counts from `now`.
    Connection(LinkId link, int32_t node_id, ConnectionOptions options, MonoTime now);

    void on_connected(MonoTime now, Outbox& out);
    /// Where the next bytes of the stream go.
    ByteSpan receive_space() { return reader_.space(); }
    /// `size` bytes came. Finished replies are appended. Errors (the connection is failed then):
    /// too_large, malformed, unsupported_version.
    Result<void> on_received(size_t size, MonoTime now, std::vector<Reply>& replies, Outbox& out);
    /// Errors: timed_out when the handshake or a reply is overdue.
    Result<void> check_deadlines(MonoTime now) const;
    [[nodiscard]] MonoTime next_deadline() const;
    /// Gives all that is in flight back as failed.
    void fail(const Error& error, std::vector<Reply>& replies);
    /// What the stream has not taken yet.
    void set_unwritten(uint64_t size_bytes) { unwritten_ = size_bytes; }

    /// The highest version that both sides speak, of lowest..highest; nothing: none.
    [[nodiscard]] std::optional<int16_t> pick_version(int16_t api_key, int16_t lowest,
                                                      int16_t highest) const;
    [[nodiscard]] bool has_room() const {
        return state_ == State::ready && in_flight_.size() < options_.in_flight_max &&
               unwritten_ <= kUnwrittenBytesMax;
    }
    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] uint64_t unwritten() const { return unwritten_; }
    [[nodiscard]] LinkId link() const { return link_; }
    [[nodiscard]] int32_t node_id() const { return node_id_; }
    void set_node_id(int32_t node_id) { node_id_ = node_id; }
    [[nodiscard]] size_t in_flight_count() const { return in_flight_.size(); }

    /// Sends one request; the state is ready. `records` fill the RecordsRefs with external_size, in
    /// order. Without `wants_reply` nothing comes back (acks=0).
    template <class Message>
    void send(const Message& message, int16_t version, uint64_t tag, MonoTime deadline,
              bool wants_reply, std::vector<std::vector<std::byte>> records, Outbox& out) {
        ByteWriter writer = begin(Message::kApiKey, version);
        std::vector<protocol::RecordsSplit> splits;
        message.encode(writer, version, &splits);
        finish(std::move(writer), splits, std::move(records), out);
        if (wants_reply) {
            in_flight_.push_back(
                {next_correlation_id_ - 1, Message::kApiKey, version, tag, deadline});
        }
    }

private:
    struct InFlight {
        int32_t correlation_id;
        int16_t api_key;
        int16_t version;
        uint64_t tag;
        MonoTime deadline;
    };
    struct Range {
        int16_t low;
        int16_t high;
    };

    ByteWriter begin(int16_t api_key, int16_t version);
    void finish(ByteWriter writer, const std::vector<protocol::RecordsSplit>& splits,
                std::vector<std::vector<std::byte>> records, Outbox& out);
    void ask_api_versions(int16_t version, MonoTime now, Outbox& out);
    Result<void> on_api_versions(ByteView frame, int16_t version, MonoTime now, Outbox& out);

    LinkId link_;
    int32_t node_id_;
    ConnectionOptions options_;
    State state_ = State::connecting;
    MonoTime handshake_deadline_;
    FrameReader reader_;
    int32_t next_correlation_id_ = 1;
    std::deque<InFlight> in_flight_;    // invariant: ascending correlation ids
    std::map<int16_t, Range> versions_; // by API key, from the handshake
    uint64_t unwritten_ = 0;
};

} // namespace qtool::client
