// The routes of the JSON admin protocol: one table of method and path; what each does. Described
// for people by openapi.json; both are checked against each other in a test.
#pragma once

#include "lib/stream/http1.h"
#include "server/metrics/counters.h"
#include "server/request/services.h"

#include <memory>
#include <span>
#include <string_view>
#include <variant>

namespace qtool::admin {

using RouteOutcome = std::variant<stream::HttpReply, std::unique_ptr<request::Pending>>;

/// Answers at once, or with a pending request whose answer is one encoded HTTP response.
RouteOutcome route(stream::HttpRequest request, request::Services& services,
                   metrics::CoreCounters& counters);

struct RouteRow {
    std::string_view method;
    std::string_view path; // "{name}" stands for one segment
};
std::span<const RouteRow> route_table();

} // namespace qtool::admin
