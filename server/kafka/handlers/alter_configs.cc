// AlterConfigs (key 33): replaces all options of a resource by those given (KIP-133). Deprecated in
// favour of IncrementalAlterConfigs, but old tools send it.
#include "lib/protocol/msg/alter_configs.h"

#include "server/kafka/handlers/config_change.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

using protocol::AlterConfigsRequest;
using protocol::AlterConfigsResponse;

Outcome handle_alter_configs(const Context& context) {
    KAFKA_DECODE(AlterConfigsRequest, request, context);
    using Pending = ConfigChangePending<AlterConfigsRequest, AlterConfigsResponse>;
    auto plan = Pending::plan(request, context.services.broker_id(), [](const auto& configs) {
        std::vector<config::RequestedOption> options;
        for (const auto& entry : configs) {
            config::RequestedOption& option = options.emplace_back();
            option.name = entry.name;
            if (entry.value) {
                option.value = std::string(*entry.value);
            }
        }
        return options;
    });
    return std::make_unique<Pending>(context, std::move(request), std::move(plan));
}

} // namespace qtool::kafka
