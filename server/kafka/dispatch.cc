#include "server/kafka/dispatch.h"

#include "lib/protocol/api.h"
#include "server/kafka/api_table.h"
#include "server/kafka/throttle.h"

#include <algorithm>

namespace qtool::kafka {

namespace {

std::string name_request(const protocol::RequestHeader& header) {
    return "API key " + std::to_string(header.api_key) + " version " +
           std::to_string(header.api_version);
}

// Bytes produced, and the time the handler took. Work in partitions of other cores is not counted.
void charge(const Context& context, request::Services& services) {
    if (context.head.api_key == static_cast<int16_t>(protocol::ApiKey::produce)) {
        context.throttle.charge(quota::Kind::produce, context.client_id,
                                static_cast<double>(context.body.size()), services,
                                context.counters);
    }
    const std::chrono::duration<double> used = services.now() - context.head.received_at;
    context.throttle.charge(quota::Kind::request, context.client_id, std::max(used.count(), 0.0),
                            services, context.counters);
}

} // namespace

Outcome dispatch(request::ReceiveBuffer::Taken frame, FetchSessions& sessions, Throttle& throttle,
                 request::DoorHost& host) {
    metrics::CoreCounters& counters = host.counters();
    size_t header_size = 0;
    Result<protocol::RequestHeader> header =
        protocol::decode_request_header(frame.bytes, header_size);
    if (!header) {
        if (header.error().code == Code::unsupported_version) {
            counters.requests_unsupported.add();
        } else {
            counters.frames_malformed.add();
        }
        return Close{"request header: " + to_string(header.error())};
    }
    const ApiRow* row = find_api(header->api_key);
    const bool version_served = row != nullptr && header->api_version >= row->version_min &&
                                header->api_version <= row->version_max;
    const bool is_api_versions =
        header->api_key == static_cast<int16_t>(protocol::ApiKey::api_versions);
    if (!version_served && !is_api_versions) {
        counters.requests_unsupported.add();
        return Close{name_request(*header) + " is not served; see ApiVersions"};
    }
    metrics::ApiCounters& api = counters.api[static_cast<size_t>(header->api_key)];
    api.requests.add();
    ReplyHead head;
    head.api_key = header->api_key;
    head.api_version = header->api_version;
    head.correlation_id = header->correlation_id;
    head.received_at = host.services().now();
    head.counters = &api;
    const Context context{head,
                          header->client_id.value_or(""),
                          frame.bytes.subspan(header_size),
                          std::move(frame.chunk),
                          host.services(),
                          host.peer(),
                          counters,
                          sessions,
                          throttle};
    Outcome outcome = row->handler(context);
    if (!host.services().image()->quotas.empty()) {
        charge(context, host.services());
    }
    counters.stage(metrics::Stage::handler).observe(host.services().now() - head.received_at);
    if (std::holds_alternative<Close>(outcome)) {
        api.errors.add();
    }
    return outcome;
}

} // namespace qtool::kafka
