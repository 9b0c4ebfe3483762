#include "lib/client/cluster.h"

#include <algorithm>
#include <utility>

namespace qtool::client {

using protocol::MetadataRequest;
using protocol::MetadataResponse;

namespace {

constexpr int32_t kBootstrapNode = -2; // of the first bootstrap server; the next ones lie below
constexpr uint64_t kMetadataTag = ~0ull;

// One batch larger than fetch.max.bytes still comes, since a fetch always makes progress.
size_t reply_size_max(const config::ClientConfig& config) {
    return std::max(protocol::kFrameBytesMax, static_cast<size_t>(config.fetch_max_bytes) * 2);
}

} // namespace

Cluster::Cluster(const config::ClientConfig& config, bool create_topics, uint64_t seed)
    : config_(config),
      request_timeout_(std::chrono::milliseconds(config.request_timeout_ms)),
      prng_(seed),
      metadata_({std::chrono::milliseconds(config.metadata_max_age_ms),
                 {config.retry_backoff_ms, config.retry_backoff_max_ms},
                 create_topics},
                prng_.next()) {
    connection_options_.client_id = config.client_id;
    connection_options_.in_flight_max = static_cast<uint32_t>(std::max(1, config.max_in_flight));
    connection_options_.request_timeout = request_timeout_;
    connection_options_.reply_size_max = reply_size_max(config);
    connection_options_.reply_limit_name = "100 MiB or twice fetch.max.bytes";
}

Cluster::Node* Cluster::find_link(LinkId link) {
    for (auto& [id, node] : nodes_) {
        if (node.connection != nullptr && node.connection->link() == link) {
            return &node;
        }
    }
    return nullptr;
}

void Cluster::on_connected(LinkId link, MonoTime now, Outbox& out) {
    if (Node* node = find_link(link); node != nullptr) {
        node->connection->on_connected(now, out);
    }
}

ByteSpan Cluster::receive_space(LinkId link) {
    Node* node = find_link(link);
    return node == nullptr ? ByteSpan{} : node->connection->receive_space();
}

void Cluster::on_received(LinkId link, size_t size, MonoTime now, Outbox& out) {
    Node* node = find_link(link);
    if (node == nullptr) {
        return;
    }
    const auto result = node->connection->on_received(size, now, replies_, out);
    if (!result) {
        closing_.push_back(link);
        drop(*node, result.error(), now);
        return;
    }
    if (node->connection->state() == Connection::State::ready) {
        node->failures = 0;
        ever_connected_ = true;
    }
}

void Cluster::on_written(LinkId link, uint64_t unwritten) {
    if (Node* node = find_link(link); node != nullptr) {
        node->connection->set_unwritten(unwritten);
    }
}

void Cluster::on_closed(LinkId link, const Error& error, MonoTime now) {
    if (Node* node = find_link(link); node != nullptr) {
        drop(*node, error, now);
    }
}

void Cluster::drop(Node& node, const Error& error, MonoTime now) {
    node.connection->fail(error, replies_);
    node.connection.reset();
    node.failures++;
    node.retry_at =
        now + Backoff{config_.reconnect_backoff_ms, config_.reconnect_backoff_max_ms}.delay(
                  node.failures, prng_);
    last_error_ = error;
    metadata_.refresh_soon(now); // the broker may be gone, its partitions led by others
}

bool Cluster::connect(int32_t node_id, MonoTime now, Outbox& out) {
    std::string host;
    uint16_t port = 0;
    if (node_id <= kBootstrapNode) {
        const config::Endpoint& endpoint =
            config_.bootstrap_servers[static_cast<size_t>(kBootstrapNode - node_id)];
        host = endpoint.host;
        port = endpoint.port;
    } else if (const BrokerInfo* broker = metadata_.find_broker(node_id); broker != nullptr) {
        host = broker->host;
        port = broker->port;
    } else {
        return false;
    }
    Node& node = nodes_[node_id];
    if (node.connection != nullptr || now < node.retry_at) {
        return node.connection != nullptr;
    }
    const LinkId link = next_link_++;
    node.connection = std::make_unique<Connection>(link, node_id, connection_options_, now);
    out.connects.push_back({link, std::move(host), port});
    return true;
}

bool Cluster::ready(int32_t node_id, MonoTime now, Outbox& out) {
    const auto found = nodes_.find(node_id);
    if (found != nodes_.end() && found->second.connection != nullptr) {
        return found->second.connection->has_room();
    }
    // No address yet, or too early to try again: the caller asks again.
    static_cast<void>(connect(node_id, now, out));
    return false;
}

std::optional<int16_t> Cluster::pick_version(int32_t node_id, int16_t api_key, int16_t lowest,
                                             int16_t highest) const {
    return nodes_.at(node_id).connection->pick_version(api_key, lowest, highest);
}

std::optional<int32_t> Cluster::any_ready(MonoTime now, Outbox& out) {
    bool connecting = false;
    const Connection* best = nullptr;
    for (const auto& [id, node] : nodes_) {
        if (node.connection == nullptr) {
            continue;
        }
        // A full connection counts too: few requests are of this kind, and they must not starve.
        if (node.connection->state() == Connection::State::ready) {
            if (best == nullptr || node.connection->in_flight_count() < best->in_flight_count()) {
                best = node.connection.get();
            }
        } else {
            connecting = true;
        }
    }
    if (best != nullptr) {
        return best->node_id();
    }
    if (connecting) {
        return std::nullopt;
    }
    std::vector<int32_t> candidates;
    for (const auto& [id, broker] : metadata_.brokers()) {
        candidates.push_back(id);
    }
    for (size_t i = 0; i < config_.bootstrap_servers.size(); i++) {
        candidates.push_back(kBootstrapNode - static_cast<int32_t>(i));
    }
    for (size_t tries = 0; tries < candidates.size(); tries++) {
        if (connect(candidates[next_candidate_++ % candidates.size()], now, out)) {
            break;
        }
    }
    return std::nullopt;
}

void Cluster::adopt_bootstrap() {
    for (size_t i = 0; i < config_.bootstrap_servers.size(); i++) {
        const auto found = nodes_.find(kBootstrapNode - static_cast<int32_t>(i));
        if (found == nodes_.end() || found->second.connection == nullptr) {
            continue;
        }
        const config::Endpoint& endpoint = config_.bootstrap_servers[i];
        for (const auto& [id, broker] : metadata_.brokers()) {
            if (broker.host == endpoint.host && broker.port == endpoint.port &&
                nodes_[id].connection == nullptr) {
                found->second.connection->set_node_id(id);
                nodes_[id] = std::move(found->second);
                nodes_.erase(kBootstrapNode - static_cast<int32_t>(i));
                break;
            }
        }
    }
}

void Cluster::on_metadata_reply(Reply& reply, MonoTime now) {
    if (!reply.result) {
        metadata_.on_failure(now);
        return;
    }
    const auto response = MetadataResponse::decode(reply.body(), reply.version);
    if (!response) {
        last_error_ = response.error();
        metadata_.on_failure(now);
        return;
    }
    metadata_.on_reply(*response, now);
    adopt_bootstrap();
}

void Cluster::step(MonoTime now, Outbox& out) {
    for (auto& [id, node] : nodes_) {
        if (node.connection == nullptr) {
            continue;
        }
        if (const auto result = node.connection->check_deadlines(now); !result) {
            closing_.push_back(node.connection->link());
            drop(node, result.error(), now);
        }
    }
    for (Reply& reply : replies_) {
        if (reply.tag == kMetadataTag) {
            on_metadata_reply(reply, now);
        }
    }
    std::erase_if(replies_, [](const Reply& reply) { return reply.tag == kMetadataTag; });
    if (metadata_.next_due() <= now) {
        if (const std::optional<int32_t> node_id = any_ready(now, out); node_id) {
            const auto version =
                pick_version(*node_id, MetadataRequest::kApiKey, 4, MetadataRequest::kVersionMax);
            if (version) {
                send(*node_id, metadata_.make_request(), *version, kMetadataTag, now, true, {},
                     out);
            } else {
                last_error_ = Error(Code::unsupported_version,
                                    "the broker serves no version of Metadata that we speak");
                metadata_.on_failure(now);
            }
        }
    }
    out.closes.insert(out.closes.end(), closing_.begin(), closing_.end());
    closing_.clear();
}

uint64_t Cluster::unwritten_bytes() const {
    uint64_t bytes = 0;
    for (const auto& [id, node] : nodes_) {
        bytes += node.connection == nullptr ? 0 : node.connection->unwritten();
    }
    return bytes;
}

MonoTime Cluster::next_due(MonoTime now) const {
    MonoTime due = metadata_.next_due();
    MonoTime retry = kMonoNever;
    bool alive = false;
    bool ready = false;
    for (const auto& [id, node] : nodes_) {
        if (node.connection != nullptr) {
            alive = true;
            ready = ready || node.connection->state() == Connection::State::ready;
            due = std::min(due, node.connection->next_deadline());
        } else if (node.retry_at > now) {
            retry = std::min(retry, node.retry_at);
        }
    }
    // With a ready connection nothing is waited for: the owner wanted news after step() had looked.
    if (due <= now && metadata_.next_due() <= now && !ready) {
        // Metadata waits for a connection: its news wake us, or the end of a backoff does.
        due = alive ? kMonoNever : now;
        for (const auto& [id, node] : nodes_) {
            if (node.connection != nullptr) {
                due = std::min(due, node.connection->next_deadline());
            }
        }
        if (!alive && retry != kMonoNever) {
            due = retry;
        }
    }
    return std::min(due, retry);
}

Error Cluster::late(std::string what) const {
    if (!ever_connected_ && last_error_) {
        return {Code::no_broker, to_string(*last_error_)};
    }
    return {Code::timed_out, std::move(what)};
}

} // namespace qtool::client
