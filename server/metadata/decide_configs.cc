#include "server/metadata/decide_configs.h"

#include "server/metadata/effective_config.h"
#include "server/metadata/record_codec.h"

#include <map>
#include <utility>

namespace qtool::metadata {

namespace {

Result<config::TopicOverrides> overrides_after(const TopicConfigChange& change,
                                               const TopicImage& topic,
                                               const config::BrokerConfig& broker) {
    if (const auto* all = std::get_if<std::vector<config::RequestedOption>>(&change.change)) {
        return config::make_topic_overrides(*all);
    }
    return config::apply_alterations(
        topic.configs, std::get<std::vector<config::Alteration>>(change.change), broker);
}

} // namespace

AlterTopicConfigs::AlterTopicConfigs(std::vector<TopicConfigChange> changes, bool validate_only,
                                     const config::BrokerConfig& broker)
    : changes_(std::move(changes)),
      validate_only_(validate_only),
      broker_(&broker) {}

port::StoreTransaction AlterTopicConfigs::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    results_.assign(changes_.size(), std::nullopt);
    std::map<std::string_view, size_t> times;
    for (const TopicConfigChange& change : changes_) {
        times[change.name]++;
    }
    for (size_t i = 0; i < changes_.size(); i++) {
        const TopicConfigChange& change = changes_[i];
        if (times[change.name] > 1) {
            results_[i] = Error(Code::invalid_request,
                                "topic '" + change.name + "' is in the request more than once");
            continue;
        }
        const TopicImage* topic = image.topic(change.name);
        if (topic == nullptr) {
            results_[i] = Error(Code::unknown_topic, "topic '" + change.name + "' does not exist");
            continue;
        }
        Result<config::TopicOverrides> after = overrides_after(change, *topic, *broker_);
        if (after) {
            // Options that are fine alone may contradict each other or the broker's own.
            if (Result<config::TopicConfig> typed = effective_config(*after, *broker_); !typed) {
                after = std::move(typed).error();
            }
        }
        if (!after) {
            results_[i] = std::move(after).error();
            continue;
        }
        if (validate_only_ || *after == topic->configs) {
            continue;
        }
        // The guard on the topic's key keeps configs from appearing for a topic just deleted.
        const std::string key = topic_configs_key(topic->id);
        transaction.guards.push_back({topic_key(topic->name), topic->mod_revision});
        transaction.guards.push_back({key, topic->configs_revision});
        if (after->empty()) {
            transaction.writes.push_back({key, std::nullopt});
        } else {
            transaction.writes.push_back({key, encode_topic_configs(*after)});
        }
    }
    return transaction;
}

void AlterTopicConfigs::finish(Result<void> result) {
    if (result) {
        return;
    }
    for (std::optional<Error>& item : results_) {
        if (!item) {
            item = result.error();
        }
    }
}

} // namespace qtool::metadata
