// Exchange: what the handlers of routes share: one HTTP request with what it takes to answer it,
// and the pending requests that wait for metadata or partitions. Lives on the core of the
// connection.
#pragma once

#include "lib/admin/codec.h"
#include "server/admin/routes.h"

#include <utility>
#include <vector>

namespace qtool::admin {

/// What of the request shapes its answer.
struct ReplyShape {
    bool keep_alive = false;
    bool head_only = false;
};

struct Exchange {
    stream::HttpRequest request;
    std::string name; // the segment that "{name}" stands for; empty when the route has none
    ReplyShape shape;
    request::Services& services;
    metrics::CoreCounters& counters;
};

using RouteHandler = RouteOutcome (*)(Exchange exchange);

inline stream::HttpReply reply_json(int status, std::string body) {
    stream::HttpReply reply;
    reply.status = status;
    reply.body = std::move(body);
    return reply;
}
inline stream::HttpReply reply_done() {
    return reply_json(204, {});
}
inline stream::HttpReply reply_error(const Error& error) {
    return reply_json(http_status(error.code), encode_error(error));
}

/// A pending request of this door: answers with one HTTP reply.
class HttpPending : public request::Pending {
public:
    explicit HttpPending(const Exchange& exchange)
        : shape_(exchange.shape),
          counters_(exchange.counters) {}

protected:
    /// The caller touches nothing of itself afterwards.
    void answer(Token self, stream::HttpReply reply, request::Services& services);

private:
    ReplyShape shape_;
    metrics::CoreCounters& counters_;
};

/// How long a change may take before the client is told that its outcome is open.
inline constexpr Duration kChangeMax = std::chrono::seconds(30);

/// What a PATCH asks as metadata operations take it.
std::vector<config::Alteration> to_alterations(const std::vector<ConfigChange>& changes);

// Handlers, by file.
RouteOutcome get_cluster(Exchange exchange); // cluster_routes.cc
RouteOutcome get_broker_config(Exchange exchange);
RouteOutcome get_openapi(Exchange exchange);
RouteOutcome get_health(Exchange exchange);
RouteOutcome get_metrics(Exchange exchange); // metrics_routes.cc
RouteOutcome get_topics(Exchange exchange);  // topic_routes.cc
RouteOutcome get_topic(Exchange exchange);
RouteOutcome post_topic(Exchange exchange); // topic_changes.cc
RouteOutcome patch_topic(Exchange exchange);
RouteOutcome delete_topic(Exchange exchange);
RouteOutcome get_groups(Exchange exchange); // group_routes.cc
RouteOutcome get_group(Exchange exchange);
RouteOutcome patch_group(Exchange exchange);
RouteOutcome delete_group(Exchange exchange);
RouteOutcome get_transactions(Exchange exchange); // transaction_routes.cc
RouteOutcome get_transaction(Exchange exchange);
RouteOutcome delete_transaction(Exchange exchange);
RouteOutcome get_configs(Exchange exchange); // config_routes.cc
RouteOutcome get_topic_configs(Exchange exchange);
RouteOutcome patch_topic_configs(Exchange exchange);
RouteOutcome get_broker_configs(Exchange exchange);
RouteOutcome patch_broker_configs(Exchange exchange);
RouteOutcome get_group_configs(Exchange exchange);
RouteOutcome patch_group_configs(Exchange exchange);
RouteOutcome patch_broker(Exchange exchange); // broker_routes.cc
RouteOutcome delete_broker(Exchange exchange);
RouteOutcome post_plan(Exchange exchange);
RouteOutcome get_reassignments(Exchange exchange);
RouteOutcome post_reassignments(Exchange exchange);
RouteOutcome get_quotas(Exchange exchange); // quota_routes.cc
RouteOutcome patch_quotas(Exchange exchange);
RouteOutcome get_moves(Exchange exchange); // move_routes.cc
RouteOutcome post_move(Exchange exchange);

} // namespace qtool::admin
