// DescribeConfigs (key 32): options of topics, groups, this broker and its logger, with where each
// value comes from.
#include "lib/protocol/msg/describe_configs.h"

#include "lib/base/assert.h"
#include "lib/config/dynamic_config.h"
#include "lib/config/group_config.h"
#include "server/kafka/error_map.h"
#include "server/kafka/handlers/config_resource.h"
#include "server/kafka/handlers/handlers.h"
#include "server/metadata/topic_name.h"

#include <set>

namespace qtool::kafka {

namespace {

using config::DescribedOption;
using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;

// The log of this program has one level; clients know it as the root of Kafka's loggers.
DescribedOption root_logger(const config::BrokerConfig& broker) {
    DescribedOption option;
    option.name = "root";
    std::string level = broker.value("log.level").value_or("");
    for (char& c : level) {
        c = static_cast<char>(c - 'a' + 'A'); // lower case letters only: the option is normalized
    }
    option.value = std::move(level);
    option.source = config::ConfigSource::logger;
    option.read_only = true;
    option.documentation = "Level of the broker's log; see the broker option log.level.";
    return option;
}

Result<std::vector<DescribedOption>>
describe(const request::Services& services,
         const DescribeConfigsRequest::DescribeConfigsResource& resource) {
    QT_TRY(check_config_resource(resource.resource_type, resource.resource_name,
                                 services.broker_id()));
    const metadata::Image& image = *services.image();
    switch (resource.resource_type) {
    case kConfigResourceTopic: {
        const metadata::TopicImage* topic = image.topic(resource.resource_name);
        if (topic == nullptr) {
            QT_TRY(metadata::check_topic_name(resource.resource_name));
            return Error(Code::unknown_topic,
                         "topic '" + std::string(resource.resource_name) + "' does not exist");
        }
        return config::describe_topic(topic->configs, services.config());
    }
    case kConfigResourceLogger:
        return std::vector<DescribedOption>{root_logger(services.config())};
    case kConfigResourceGroup:
        return config::describe_group(image.group_overrides(resource.resource_name),
                                      services.config());
    case kConfigResourceBroker:
        break;
    default:
        QT_UNREACHABLE(); // refused above
    }
    if (resource.resource_name.empty()) {
        return config::describe_cluster_default(services.config().dynamic_default);
    }
    return config::describe_broker(services.config());
}

// Keeps only the asked names; null or an empty list asks for all (KIP-133).
bool is_asked(const DescribeConfigsRequest::DescribeConfigsResource& resource,
              const std::set<std::string_view>& names, std::string_view name) {
    return !resource.configuration_keys || resource.configuration_keys->empty() ||
           names.contains(name);
}

void fill(const DescribedOption& option, const DescribeConfigsRequest& request,
          DescribeConfigsResponse::DescribeConfigsResourceResult& out) {
    out.name = option.name;
    out.value = option.value;
    out.read_only = option.read_only;
    out.config_source = static_cast<int8_t>(option.source);
    out.is_sensitive = option.sensitive;
    out.config_type = static_cast<int8_t>(option.type);
    if (request.include_synonyms) {
        for (const config::Synonym& synonym : option.synonyms) {
            auto& synonym_out = out.synonyms.emplace_back();
            synonym_out.name = synonym.name;
            synonym_out.value = synonym.value;
            synonym_out.source = static_cast<int8_t>(synonym.source);
        }
    }
    if (request.include_documentation) {
        out.documentation = option.documentation;
    } else {
        out.documentation.reset();
    }
}

} // namespace

Outcome handle_describe_configs(const Context& context) {
    KAFKA_DECODE(DescribeConfigsRequest, request, context);
    std::vector<Result<std::vector<DescribedOption>>> described; // the answer holds views of it
    described.reserve(request.resources.size());
    DescribeConfigsResponse response;
    for (const auto& resource : request.resources) {
        const auto& options = described.emplace_back(describe(context.services, resource));
        auto& out = response.results.emplace_back();
        out.resource_type = resource.resource_type;
        out.resource_name = resource.resource_name;
        out.error_message.reset();
        if (!options) {
            out.error_code = error_code(options.error().code);
            out.error_message = options.error().detail;
            continue;
        }
        std::set<std::string_view> names;
        if (resource.configuration_keys) {
            names.insert(resource.configuration_keys->begin(), resource.configuration_keys->end());
        }
        for (const DescribedOption& option : *options) {
            if (is_asked(resource, names, option.name)) {
                fill(option, request, out.configs.emplace_back());
            }
        }
    }
    return Answer{make_answer(context.head, response)};
}

} // namespace qtool::kafka
