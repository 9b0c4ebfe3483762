#include "server/metadata/decide_configs.h"

#include "lib/config/dynamic_config.h"
#include "lib/config/group_config.h"
#include "server/metadata/effective_config.h"
#include "server/metadata/record_codec.h"
#include "server/metadata/topic_name.h"

#include <algorithm>
#include <map>
#include <utility>

namespace qtool::metadata {

namespace {

using Options = std::vector<config::RequestedOption>;
using Alterations = std::vector<config::Alteration>;

// A null value is a request that makes no sense, whatever the option; where a topic is created it
// is a bad value, as in Kafka.
Result<void> check_values(const ResourceChange& change) {
    if (const auto* all = std::get_if<Options>(&change.change)) {
        for (const config::RequestedOption& option : *all) {
            if (!option.value) {
                return Error(Code::invalid_request,
                             "the value of " + option.name + " is null; give one");
            }
        }
    }
    return {};
}

// What a change makes of a resource's options, and the key that holds them.
struct After {
    std::string key;
    const config::Overrides* before = nullptr;
    Revision revision; // of the key
    config::Overrides options;
};

const config::Overrides kNone;

template <class Map, class Name>
void set_before(const Map& map, const Name& name, After& after) {
    const auto at = map.find(name);
    after.before = at == map.end() ? &kNone : &at->second.options;
    after.revision = at == map.end() ? Revision{0} : at->second.revision;
}

Result<After> alter_topic(const ResourceChange& change, const Image& image,
                          const config::BrokerConfig& broker, port::StoreGuard& guard) {
    const TopicImage* topic = image.topic(change.name);
    if (topic == nullptr) {
        QT_TRY(check_topic_name(change.name));
        return Error(Code::unknown_topic, "topic '" + change.name + "' does not exist");
    }
    After after{topic_configs_key(topic->id), &topic->configs, topic->configs_revision, {}};
    if (const auto* all = std::get_if<Options>(&change.change)) {
        QT_TRY_ASSIGN(after.options, config::make_topic_overrides(*all));
    } else {
        QT_TRY_ASSIGN(after.options,
                      config::apply_alterations(topic->configs,
                                                std::get<Alterations>(change.change), broker));
    }
    // Options that are fine alone may contradict each other or the broker's own.
    QT_TRY(effective_config(after.options, broker));
    // This guard keeps configs from appearing for a topic just deleted.
    guard = {topic_key(topic->name), topic->mod_revision};
    return after;
}

// The whole configuration must hold with the change, that of every topic too.
Result<void> check_broker(const Image& image, const config::BrokerConfig& broker,
                          const config::Overrides& cluster_default, const config::Overrides& own) {
    QT_TRY_ASSIGN(const config::BrokerConfig after,
                  config::with_dynamic(broker, cluster_default, own));
    for (const auto& [name, topic] : image.topics_by_name) {
        if (Result<config::TopicConfig> typed = effective_config(topic->configs, after); !typed) {
            return Error(typed.error().code, "topic '" + name + "': " + typed.error().detail);
        }
    }
    return {};
}

Result<After> alter_broker(const ResourceChange& change, const Image& image,
                           const config::BrokerConfig& broker, port::StoreGuard& guard) {
    const BrokerId self(broker.node_id);
    const bool is_default = change.name.empty();
    if (!is_default && change.name != std::to_string(broker.node_id)) {
        return Error(Code::invalid_request, "broker '" + change.name +
                                                "' is not this one: ask it about itself, this is " +
                                                std::to_string(broker.node_id));
    }
    const BrokerId id = is_default ? kNoBroker : self;
    After after;
    after.key = broker_configs_key(id);
    set_before(image.broker_configs, id, after);
    if (const auto* all = std::get_if<Options>(&change.change)) {
        QT_TRY_ASSIGN(after.options, config::make_broker_overrides(*all));
    } else {
        QT_TRY_ASSIGN(after.options,
                      config::alter_broker_overrides(*after.before,
                                                     std::get<Alterations>(change.change), broker));
    }
    After other;
    set_before(image.broker_configs, is_default ? self : kNoBroker, other);
    QT_TRY(check_broker(image, broker, is_default ? after.options : *other.before,
                        is_default ? *other.before : after.options));
    // What was checked is the two together.
    guard = {broker_configs_key(is_default ? self : kNoBroker), other.revision};
    return after;
}

Result<After> alter_group(const ResourceChange& change, const Image& image,
                          const config::BrokerConfig& broker) {
    if (change.name.empty()) {
        return Error(Code::invalid_request, "the name of a group is empty");
    }
    After after;
    after.key = group_configs_key(change.name);
    set_before(image.group_configs, change.name, after);
    if (const auto* all = std::get_if<Options>(&change.change)) {
        QT_TRY_ASSIGN(after.options, config::make_group_overrides(*all, broker));
    } else {
        QT_TRY_ASSIGN(after.options,
                      config::alter_group_overrides(*after.before,
                                                    std::get<Alterations>(change.change), broker));
    }
    if (after.revision == Revision{0} && !after.options.empty() &&
        image.group_configs.size() >= kGroupConfigsMax) {
        return Error(Code::policy_violation, std::to_string(kGroupConfigsMax) +
                                                 " groups have options already, which is the most");
    }
    return after;
}

} // namespace

AlterConfigs::AlterConfigs(std::vector<ResourceChange> changes, bool validate_only,
                           const config::BrokerConfig& broker)
    : changes_(std::move(changes)),
      validate_only_(validate_only),
      broker_(&broker) {}

port::StoreTransaction AlterConfigs::decide(const Image& image, port::Random&) {
    port::StoreTransaction transaction;
    results_.assign(changes_.size(), std::nullopt);
    std::map<std::pair<Resource, std::string_view>, size_t> times;
    for (const ResourceChange& change : changes_) {
        times[{change.resource, change.name}]++;
    }
    for (size_t i = 0; i < changes_.size(); i++) {
        const ResourceChange& change = changes_[i];
        if (times[{change.resource, change.name}] > 1) {
            results_[i] = Error(Code::invalid_request,
                                "resource '" + change.name + "' is in the request more than once");
        } else if (Result<void> done = decide_one(change, image, transaction); !done) {
            results_[i] = std::move(done).error();
        }
    }
    return transaction;
}

Result<void> AlterConfigs::decide_one(const ResourceChange& change, const Image& image,
                                      port::StoreTransaction& transaction) const {
    const config::BrokerConfig& broker = image.broker ? *image.broker : *broker_;
    QT_TRY(check_values(change));
    port::StoreGuard guard; // beside that on the key written
    After after;
    switch (change.resource) {
    case Resource::topic: {
        QT_TRY_ASSIGN(after, alter_topic(change, image, broker, guard));
        break;
    }
    case Resource::broker: {
        QT_TRY_ASSIGN(after, alter_broker(change, image, broker, guard));
        break;
    }
    case Resource::group: {
        QT_TRY_ASSIGN(after, alter_group(change, image, broker));
        break;
    }
    }
    if (validate_only_ || after.options == *after.before) {
        return {};
    }
    const bool is_second_broker =
        change.resource == Resource::broker &&
        std::any_of(transaction.writes.begin(), transaction.writes.end(),
                    [&](const port::StoreWrite& write) { return write.key == guard.key; });
    if (is_second_broker) {
        return Error(Code::invalid_request, "options of a broker and defaults of all brokers are "
                                            "checked together; change them one after the other");
    }
    if (!guard.key.empty()) {
        transaction.guards.push_back(std::move(guard));
    }
    transaction.guards.push_back({after.key, after.revision});
    if (after.options.empty()) {
        transaction.writes.push_back({after.key, std::nullopt});
    } else {
        transaction.writes.push_back({after.key, encode_configs(after.options)});
    }
    return {};
}

} // namespace qtool::metadata
