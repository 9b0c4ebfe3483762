// Routes about the cluster and this broker: all are answered at once from what the core has.
#include "lib/base/version.h"
#include "server/admin/exchange.h"
#include "server/admin/openapi.h"
#include "server/admin/service.h"

namespace qtool::admin {

RouteOutcome get_cluster(Exchange exchange) {
    const request::Services& services = exchange.services;
    ClusterInfo info = view_cluster(*services.image(), services.broker_id());
    info.version = kVersion;
    info.started_ms = services.started_at().time_since_epoch().count();
    return reply_json(200, encode(info));
}

RouteOutcome get_broker_config(Exchange exchange) {
    return reply_json(200, encode(view_broker_configs(exchange.services.config())));
}

RouteOutcome get_openapi(Exchange) {
    return reply_json(200, std::string(kOpenApi));
}

RouteOutcome get_metrics(Exchange exchange) {
    stream::HttpReply reply;
    reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
    reply.body = exchange.services.metrics_text();
    return reply;
}

RouteOutcome get_health(Exchange exchange) {
    const bool serving = exchange.services.is_serving();
    stream::HttpReply reply;
    reply.status = serving ? 200 : 503;
    reply.content_type = "text/plain; charset=utf-8";
    reply.body = serving ? "ok" : "stopping";
    return reply;
}

} // namespace qtool::admin
