#include "server/broker/change_log.h"

#include "lib/base/log.h"

namespace qtool::broker {

namespace {

using Options = std::map<std::string, std::string>; // of topics; config::Overrides is the same

void log_options(std::string_view type, std::string_view name, const Options& before,
                 const Options& after) {
    for (const auto& [option, value] : after) {
        const auto old = before.find(option);
        if (old == before.end() || old->second != value) {
            log_line(LogLevel::info, "option_set",
                     {{"type", type}, {"name", name}, {"option", option}, {"value", value}});
        }
    }
    for (const auto& [option, value] : before) {
        if (!after.contains(option)) {
            log_line(LogLevel::info, "option_removed",
                     {{"type", type}, {"name", name}, {"option", option}, {"was", value}});
        }
    }
}

void log_topics(const metadata::Image& before, const metadata::Image& after,
                const metadata::Delta& delta) {
    for (const TopicId& id : delta.topics_deleted) {
        if (const metadata::TopicImage* topic = before.topic(id)) {
            log_line(LogLevel::info, "topic_deleted",
                     {{"topic", topic->name}, {"id", to_string(id)}});
        }
    }
    for (const TopicId& id : delta.topics_created) {
        if (const metadata::TopicImage* topic = after.topic(id)) {
            log_line(LogLevel::info, "topic_created",
                     {{"topic", topic->name},
                      {"id", to_string(id)},
                      {"partitions", topic->partitions.size()}});
            log_options("topic", topic->name, {}, topic->configs);
        }
    }
    for (const TopicId& id : delta.topics_changed) {
        const metadata::TopicImage* old = before.topic(id);
        const metadata::TopicImage* topic = after.topic(id);
        if (old == nullptr || topic == nullptr) {
            continue;
        }
        if (old->partitions.size() != topic->partitions.size()) {
            log_line(LogLevel::info, "partitions_added",
                     {{"topic", topic->name},
                      {"partitions", topic->partitions.size()},
                      {"were", old->partitions.size()}});
        }
        log_options("topic", topic->name, old->configs, topic->configs);
    }
}

template <class Configs, class NameOf>
void log_configs(std::string_view type, const Configs& before, const Configs& after,
                 NameOf name_of) {
    for (const auto& [key, configs] : after) {
        const auto old = before.find(key);
        log_options(type, name_of(key), old == before.end() ? Options{} : old->second.options,
                    configs.options);
    }
    for (const auto& [key, configs] : before) {
        if (!after.contains(key)) {
            log_options(type, name_of(key), configs.options, {});
        }
    }
}

} // namespace

void log_changes(const metadata::Image& before, const metadata::Image& after,
                 const metadata::Delta& delta) {
    log_topics(before, after, delta);
    log_configs("broker", before.broker_configs, after.broker_configs, [](BrokerId id) {
        return id == kNoBroker ? std::string("default") : std::to_string(id.value());
    });
    log_configs("group", before.group_configs, after.group_configs,
                [](const std::string& name) { return name; });
}

} // namespace qtool::broker
