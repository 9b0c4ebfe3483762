// Routes about the cluster and this broker: all are answered at once from what the core has.
#include "lib/base/version.h"
#include "server/admin/exchange.h"
#include "server/admin/openapi.h"
#include "server/admin/service.h"

namespace qtool::admin {

namespace {

std::vector<LogDirInfo> view_log_dirs(const std::vector<replica::LogDirView>& dirs) {
    std::vector<LogDirInfo> out;
    out.reserve(dirs.size());
    for (const replica::LogDirView& dir : dirs) {
        out.push_back({.path = dir.path,
                       .id = to_string(dir.id),
                       .error = dir.failure ? to_string(*dir.failure) : "",
                       .free_bytes = dir.free_bytes,
                       .total_bytes = dir.total_bytes,
                       .reserve_bytes = dir.reserve_bytes,
                       .low_space = dir.is_low,
                       .partition_count = dir.partition_count});
    }
    return out;
}

} // namespace

RouteOutcome get_cluster(Exchange exchange) {
    request::Services& services = exchange.services;
    ClusterInfo info = view_cluster(*services.image(), services.broker_id());
    info.log_dirs = view_log_dirs(services.log_dirs());
    for (const LogDirInfo& dir : info.log_dirs) {
        const std::string name =
            "log directory " + dir.path + " of broker " + std::to_string(info.broker_id);
        if (!dir.error.empty()) {
            info.problems.push_back(name + " is offline: " + dir.error);
        } else if (dir.low_space) {
            info.problems.push_back(name + " is low on space (" + std::to_string(dir.free_bytes) +
                                    " bytes free): produce is refused");
        }
    }
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

RouteOutcome get_health(Exchange exchange) {
    const bool serving = exchange.services.is_serving();
    stream::HttpReply reply;
    reply.status = serving ? 200 : 503;
    reply.content_type = "text/plain; charset=utf-8";
    reply.body = serving ? "ok" : "stopping";
    return reply;
}

} // namespace qtool::admin
