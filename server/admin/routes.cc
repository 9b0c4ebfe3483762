#include "server/admin/routes.h"

#include "server/admin/browser_guard.h"
#include "server/admin/exchange.h"

#include <array>
#include <iterator>
#include <optional>

namespace qtool::admin {

namespace {

struct Route {
    RouteRow row;
    RouteHandler handler = nullptr;
};

constexpr Route kRoutes[] = {
    {{"GET", "/v1/cluster"}, get_cluster},
    {{"GET", "/v1/topics"}, get_topics},
    {{"POST", "/v1/topics"}, post_topic},
    {{"GET", "/v1/topics/{name}"}, get_topic},
    {{"PATCH", "/v1/topics/{name}"}, patch_topic},
    {{"DELETE", "/v1/topics/{name}"}, delete_topic},
    {{"GET", "/v1/groups"}, get_groups},
    {{"GET", "/v1/groups/{name}"}, get_group},
    {{"PATCH", "/v1/groups/{name}"}, patch_group},
    {{"DELETE", "/v1/groups/{name}"}, delete_group},
    {{"GET", "/v1/transactions"}, get_transactions},
    {{"GET", "/v1/transactions/{name}"}, get_transaction},
    {{"DELETE", "/v1/transactions/{name}"}, delete_transaction},
    {{"GET", "/v1/config/broker"}, get_broker_config},
    {{"GET", "/v1/configs"}, get_configs},
    {{"GET", "/v1/configs/topics/{name}"}, get_topic_configs},
    {{"PATCH", "/v1/configs/topics/{name}"}, patch_topic_configs},
    {{"GET", "/v1/configs/brokers/{name}"}, get_broker_configs},
    {{"PATCH", "/v1/configs/brokers/{name}"}, patch_broker_configs},
    {{"GET", "/v1/configs/groups/{name}"}, get_group_configs},
    {{"PATCH", "/v1/configs/groups/{name}"}, patch_group_configs},
    {{"GET", "/v1/quotas"}, get_quotas},
    {{"PATCH", "/v1/quotas"}, patch_quotas},
    {{"GET", "/v1/moves"}, get_moves},
    {{"POST", "/v1/moves"}, post_move},
    {{"PATCH", "/v1/brokers/{name}"}, patch_broker},
    {{"DELETE", "/v1/brokers/{name}"}, delete_broker},
    {{"POST", "/v1/plans"}, post_plan},
    {{"GET", "/v1/reassignments"}, get_reassignments},
    {{"POST", "/v1/reassignments"}, post_reassignments},
    {{"GET", "/v1/openapi.json"}, get_openapi},
    {{"GET", "/metrics"}, get_metrics},
    {{"GET", "/healthz"}, get_health},
};

constexpr auto kTable = [] {
    std::array<RouteRow, std::size(kRoutes)> rows{};
    for (size_t i = 0; i < rows.size(); i++) {
        rows[i] = kRoutes[i].row;
    }
    return rows;
}();

// The segment in place of "{name}" (empty when the pattern has none), or nothing when the pattern
// does not match.
std::optional<std::string_view> match(std::string_view pattern,
                                      const std::vector<std::string>& segments) {
    std::string_view name;
    size_t slash = 0;
    for (const std::string& segment : segments) {
        if (slash == std::string_view::npos) {
            return std::nullopt;
        }
        const size_t next = pattern.find('/', slash + 1);
        const std::string_view wanted = pattern.substr(slash + 1, next - slash - 1);
        if (wanted == "{name}" && !segment.empty()) {
            name = segment;
        } else if (wanted != segment) {
            return std::nullopt;
        }
        slash = next;
    }
    return slash == std::string_view::npos ? std::optional(name) : std::nullopt;
}

stream::HttpReply refuse_method(std::string_view method, const std::string& allowed) {
    stream::HttpReply reply =
        reply_json(405, encode_error(Error(Code::invalid_request,
                                           "method '" + std::string(method) +
                                               "' is not served here; allowed: " + allowed)));
    reply.headers.emplace_back("Allow", allowed);
    return reply;
}

RouteOutcome route_checked(Exchange exchange) {
    // HEAD is GET whose answer leaves the body out.
    const std::string method = exchange.shape.head_only ? "GET" : exchange.request.method;
    std::string allowed;
    for (const Route& candidate : kRoutes) {
        const auto name = match(candidate.row.path, exchange.request.segments);
        if (!name) {
            continue;
        }
        if (candidate.row.method == method) {
            if (Result<void> host = method == "GET"
                                        ? Result<void>()
                                        : check_host(exchange.request, exchange.services.config(),
                                                     *exchange.services.image());
                !host) {
                return reply_error(host.error());
            }
            exchange.name = *name;
            return candidate.handler(std::move(exchange));
        }
        allowed.append(allowed.empty() ? "" : ", ").append(candidate.row.method);
        allowed.append(candidate.row.method == "GET" ? ", HEAD" : "");
    }
    if (!allowed.empty()) {
        return refuse_method(exchange.request.method, allowed);
    }
    return reply_error(Error(Code::resource_not_found,
                             "no route '" + exchange.request.path + "'; see /v1/openapi.json"));
}

} // namespace

std::span<const RouteRow> route_table() {
    return kTable;
}

RouteOutcome route(stream::HttpRequest request, request::Services& services,
                   metrics::CoreCounters& counters) {
    const ReplyShape shape{request.keep_alive, request.is_head()};
    RouteOutcome outcome = [&]() -> RouteOutcome {
        if (Result<void> origin = check_origin(request); !origin) {
            return reply_error(origin.error());
        }
        return route_checked(Exchange{std::move(request), {}, shape, services, counters});
    }();
    if (auto* reply = std::get_if<stream::HttpReply>(&outcome)) {
        reply->keep_alive = shape.keep_alive;
        reply->head_only = shape.head_only;
    }
    return outcome;
}

void HttpPending::answer(Token self, stream::HttpReply reply, request::Services& services) {
    if (reply.status >= 400) {
        counters_.http_errors.add();
    }
    reply.keep_alive = shape_.keep_alive;
    reply.head_only = shape_.head_only;
    const std::string text = stream::encode_response(reply);
    const ByteView bytes = as_bytes(text);
    std::vector<port::Piece> pieces;
    pieces.emplace_back(std::vector<std::byte>(bytes.begin(), bytes.end()));
    services.finish(self, std::move(pieces));
}

} // namespace qtool::admin
