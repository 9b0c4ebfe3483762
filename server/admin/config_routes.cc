// Routes on options of topics, brokers and groups: one resource a request.
#include "server/admin/change_pending.h"
#include "server/admin/service.h"
#include "server/metadata/decide_configs.h"

namespace qtool::admin {

namespace {

class AlterConfigsPending final : public ChangePending<metadata::AlterConfigs> {
public:
    AlterConfigsPending(const Exchange& exchange, ConfigResource resource,
                        const AlterConfigsRequest& request)
        : ChangePending(exchange, {{{metadata_name(resource), to_alterations(request.configs),
                                     metadata_resource(resource)}},
                                   request.validate_only,
                                   exchange.services.config()}),
          resource_(std::move(resource)) {}

private:
    stream::HttpReply reply(request::Services& services) override {
        if (const std::optional<Error>& error = operation_.results().at(0)) {
            return reply_error(*error);
        }
        // With validate_only these are the options as they still are.
        const auto configs = view_configs(resource_, *services.image(), services.config());
        return configs ? reply_json(200, encode(*configs)) : reply_error(configs.error());
    }

    static metadata::Resource metadata_resource(const ConfigResource& resource) {
        return resource.type == "topic"    ? metadata::Resource::topic
               : resource.type == "broker" ? metadata::Resource::broker
                                           : metadata::Resource::group;
    }
    static std::string metadata_name(const ConfigResource& resource) {
        const bool is_default = resource.type == "broker" && resource.name == kBrokerDefault;
        return is_default ? std::string() : resource.name;
    }

    ConfigResource resource_;
};

RouteOutcome get(const Exchange& exchange, std::string type) {
    const auto configs = view_configs({std::move(type), exchange.name}, *exchange.services.image(),
                                      exchange.services.config());
    return configs ? reply_json(200, encode(*configs)) : reply_error(configs.error());
}

RouteOutcome patch(const Exchange& exchange, std::string type) {
    Result<AlterConfigsRequest> request = decode<AlterConfigsRequest>(exchange.request.body);
    if (!request) {
        return reply_error(request.error());
    }
    return std::make_unique<AlterConfigsPending>(
        exchange, ConfigResource{std::move(type), exchange.name}, *request);
}

} // namespace

std::vector<config::Alteration> to_alterations(const std::vector<ConfigChange>& changes) {
    std::vector<config::Alteration> out;
    for (const ConfigChange& change : changes) {
        config::Alteration& alteration = out.emplace_back();
        alteration.name = change.name;
        alteration.op = static_cast<int8_t>(change.op);
        if (change.op != ConfigOp::remove) {
            alteration.value = change.value;
        }
    }
    return out;
}

RouteOutcome get_configs(Exchange exchange) {
    return reply_json(200, encode(view_config_resources(*exchange.services.image())));
}
RouteOutcome get_topic_configs(Exchange exchange) {
    return get(exchange, "topic");
}
RouteOutcome patch_topic_configs(Exchange exchange) {
    return patch(exchange, "topic");
}
RouteOutcome get_broker_configs(Exchange exchange) {
    return get(exchange, "broker");
}
RouteOutcome patch_broker_configs(Exchange exchange) {
    return patch(exchange, "broker");
}
RouteOutcome get_group_configs(Exchange exchange) {
    return get(exchange, "group");
}
RouteOutcome patch_group_configs(Exchange exchange) {
    return patch(exchange, "group");
}

} // namespace qtool::admin
