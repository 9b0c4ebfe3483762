// Keeps web pages of others away from the JSON door. A browser sends requests for any page it
// shows: a foreign page is recognized by its Origin (cross-site requests), or by the name it
// reached us under (DNS rebinding: the page's own name, pointed at our address).
#pragma once

#include "lib/base/result.h"
#include "lib/config/broker_config.h"
#include "lib/stream/http1.h"
#include "server/metadata/image.h"

namespace qtool::admin {

/// Every request: an Origin, when there is one, is that of the Host asked. Errors: not_authorized.
Result<void> check_origin(const stream::HttpRequest& request);

/// Requests that change something: Host is an address literal, localhost, or a name this cluster
/// goes by (listeners, advertised addresses). Without a Host it is no browser. Errors:
/// not_authorized.
Result<void> check_host(const stream::HttpRequest& request, const config::BrokerConfig& broker,
                        const metadata::Image& image);

} // namespace qtool::admin
