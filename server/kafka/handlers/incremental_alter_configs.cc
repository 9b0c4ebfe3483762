// IncrementalAlterConfigs (key 44): sets, deletes, appends to and subtracts from single options of
// a resource, all or nothing for each (KIP-339).
#include "lib/protocol/msg/incremental_alter_configs.h"

#include "server/kafka/handlers/config_change.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

using protocol::IncrementalAlterConfigsRequest;
using protocol::IncrementalAlterConfigsResponse;

Outcome handle_incremental_alter_configs(const Context& context) {
    KAFKA_DECODE(IncrementalAlterConfigsRequest, request, context);
    using Pending =
        ConfigChangePending<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse>;
    auto plan = Pending::plan(request, context.services.broker_id(), [](const auto& configs) {
        std::vector<config::Alteration> alterations;
        for (const auto& entry : configs) {
            config::Alteration& alteration = alterations.emplace_back();
            alteration.name = entry.name;
            alteration.op = entry.config_operation;
            if (entry.value) {
                alteration.value = std::string(*entry.value);
            }
        }
        return alterations;
    });
    return std::make_unique<Pending>(context, std::move(request), std::move(plan));
}

} // namespace qtool::kafka
