#include "server/metadata/effective_config.h"

namespace qtool::metadata {

Result<config::TopicConfig> effective_config(const config::TopicOverrides& overrides,
                                             const config::BrokerConfig& broker) {
    config::TopicOverrides known;
    for (const auto& [name, value] : overrides) {
        if (config::find_option(config::topic_options(), name) != nullptr) {
            known.emplace(name, value);
        }
    }
    return config::make_topic_config(known, broker);
}

} // namespace qtool::metadata
