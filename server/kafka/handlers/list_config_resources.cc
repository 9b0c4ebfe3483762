// ListConfigResources (key 74): what may be named in DescribeConfigs. Version 0 (KIP-714) lists
// client metrics alone, of which there are none; version 1 (KIP-1142) the types that are asked for.
#include "lib/protocol/msg/list_config_resources.h"

#include "server/kafka/error_map.h"
#include "server/kafka/handlers/config_resource.h"
#include "server/kafka/handlers/handlers.h"

#include <algorithm>
#include <string>
#include <vector>

namespace qtool::kafka {

namespace {

using protocol::ListConfigResourcesRequest;
using protocol::ListConfigResourcesResponse;

constexpr int8_t kTypes[] = {kConfigResourceTopic, kConfigResourceBroker, kConfigResourceLogger,
                             kConfigResourceClientMetrics, kConfigResourceGroup};

} // namespace

Outcome handle_list_config_resources(const Context& context) {
    KAFKA_DECODE(ListConfigResourcesRequest, request, context);
    ListConfigResourcesResponse response;
    std::vector<int8_t> types(request.resource_types.begin(), request.resource_types.end());
    if (context.head.api_version == 0) {
        types = {kConfigResourceClientMetrics};
    } else if (types.empty()) {
        types.assign(std::begin(kTypes), std::end(kTypes));
    }
    for (const int8_t type : types) {
        if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes)) {
            response.error_code = error_code(Code::unsupported_version);
            return Answer{make_answer(context.head, response)};
        }
    }
    std::sort(types.begin(), types.end());
    types.erase(std::unique(types.begin(), types.end()), types.end());
    const metadata::ImageRef image = context.services.image(); // the answer holds views of it
    std::vector<std::string> broker_names;
    broker_names.reserve(image->brokers.size());
    for (const auto& [id, broker] : image->brokers) {
        broker_names.push_back(std::to_string(id.value()));
    }
    for (const int8_t type : types) {
        const auto add = [&](std::string_view name) {
            auto& out = response.config_resources.emplace_back();
            out.resource_name = name;
            out.resource_type = type;
        };
        if (type == kConfigResourceTopic) {
            for (const auto& [name, topic] : image->topics_by_name) {
                add(name);
            }
        } else if (type == kConfigResourceBroker || type == kConfigResourceLogger) {
            std::for_each(broker_names.begin(), broker_names.end(), add);
        } else if (type == kConfigResourceGroup) {
            for (const auto& [name, configs] : image->group_configs) {
                add(name);
            }
        }
    }
    return Answer{make_answer(context.head, response)};
}

} // namespace qtool::kafka
