// Cluster: the connections to all brokers and the metadata that says who they are; what producer
// and consumer send through. Sans I/O: the driver brings what the links do and carries out the
// outbox.
//
// A node is a broker by its id, or a bootstrap server as -2 - index until metadata names it. At
// most one connection a node; a lost one comes back when it is wanted, after a backoff.
#pragma once

#include "lib/client/connection.h"
#include "lib/client/metadata_cache.h"
#include "lib/config/client_config.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qtool::client {

class Cluster {
public:
    /// `create_topics`: see MetadataOptions. `reply_size_max`: bytes.
    Cluster(const config::ClientConfig& config, bool create_topics, uint64_t seed);

    // What links do. An unknown link is one closed meanwhile: ignored.
    void on_connected(LinkId link, MonoTime now, Outbox& out);
    /// Where the link's next bytes go; at least one byte.
    ByteSpan receive_space(LinkId link);
    void on_received(LinkId link, size_t size, MonoTime now, Outbox& out);
    void on_written(LinkId link, uint64_t unwritten);
    void on_closed(LinkId link, const Error& error, MonoTime now);

    /// Timeouts, metadata. To be called whenever something happened or next_due() came.
    void step(MonoTime now, Outbox& out);
    [[nodiscard]] MonoTime next_due(MonoTime now) const;

    /// True: send() may be called. False: it connects, waits or backs off; a later step may do.
    bool ready(int32_t node_id, MonoTime now, Outbox& out);
    /// The highest common version; nothing: the broker does not serve any. The node is ready().
    [[nodiscard]] std::optional<int16_t> pick_version(int32_t node_id, int16_t api_key,
                                                      int16_t lowest, int16_t highest) const;
    /// See Connection::send. The node is ready(). The reply comes by take_replies().
    template <class Message>
    void send(int32_t node_id, const Message& message, int16_t version, uint64_t tag, MonoTime now,
              bool wants_reply, std::vector<std::vector<std::byte>> records, Outbox& out) {
        nodes_.at(node_id).connection->send(message, version, tag, now + request_timeout_,
                                            wants_reply, std::move(records), out);
    }
    /// What came since the last call, failures too; each request with a reply appears once.
    std::vector<Reply> take_replies() { return std::exchange(replies_, {}); }
    /// Any ready broker, for requests that every broker answers; connects one otherwise.
    std::optional<int32_t> any_ready(MonoTime now, Outbox& out);

    [[nodiscard]] MetadataCache& metadata() { return metadata_; }
    [[nodiscard]] const MetadataCache& metadata() const { return metadata_; }
    /// Bytes sent that the streams have not taken yet.
    [[nodiscard]] uint64_t unwritten_bytes() const;
    /// The last thing that went wrong with a connection.
    [[nodiscard]] const std::optional<Error>& last_error() const { return last_error_; }
    /// Why `what` did not happen in time: no_broker with the last reason when none ever answered,
    /// else timed_out.
    [[nodiscard]] Error late(std::string what) const;

private:
    struct Node {
        std::unique_ptr<Connection> connection; // nullptr: none
        MonoTime retry_at = MonoTime::min();
        uint32_t failures = 0;
    };

    Node* find_link(LinkId link);
    void drop(Node& node, const Error& error, MonoTime now);
    bool connect(int32_t node_id, MonoTime now, Outbox& out);
    void adopt_bootstrap();
    void on_metadata_reply(Reply& reply, MonoTime now);

    config::ClientConfig config_;
    Duration request_timeout_;
    ConnectionOptions connection_options_;
    Prng prng_;
    MetadataCache metadata_;
    std::map<int32_t, Node> nodes_;
    LinkId next_link_ = 1;
    size_t next_candidate_ = 0; // of all known nodes, so that a dead one is passed over
    std::vector<Reply> replies_;
    std::vector<LinkId> closing_;
    std::optional<Error> last_error_;
    bool ever_connected_ = false;
};

} // namespace qtool::client
