#include "server/admin/service.h"

#include "lib/config/dynamic_config.h"
#include "lib/config/group_config.h"
#include "server/admin/health.h"

#include <algorithm>
#include <map>
#include <utility>

namespace qtool::admin {

namespace {

std::vector<int32_t> numbers(const std::vector<BrokerId>& ids) {
    std::vector<int32_t> out;
    out.reserve(ids.size());
    for (const BrokerId id : ids) {
        out.push_back(id.value());
    }
    return out;
}

std::vector<ConfigEntry> entries(std::vector<config::DescribedOption> options) {
    std::vector<ConfigEntry> out;
    out.reserve(options.size());
    for (config::DescribedOption& option : options) {
        ConfigEntry& entry = out.emplace_back();
        entry.name = std::move(option.name);
        entry.value = std::move(option.value);
        entry.source = config::to_string(option.source);
        entry.is_default = option.is_default;
        entry.read_only = option.read_only;
        entry.sensitive = option.sensitive;
        entry.documentation = std::move(option.documentation);
    }
    return out;
}

} // namespace

ClusterInfo view_cluster(const metadata::Image& image, BrokerId self) {
    ClusterInfo info;
    info.cluster_id = image.cluster_id;
    info.broker_id = self.value();
    // While there is none, the one that answers serves admin requests as any other would.
    info.controller_id =
        image.is_live(image.controller.id) ? image.controller.id.value() : self.value();
    for (const auto& [id, broker] : image.brokers) {
        BrokerInfo& out = info.brokers.emplace_back();
        out.id = id.value();
        out.host = broker.host;
        out.port = broker.port;
        out.rack = broker.rack;
        out.admin_host = broker.admin_host.empty() ? broker.host : broker.admin_host;
        out.admin_port = broker.admin_port == 0 ? broker.port : broker.admin_port;
        out.live = id == self || broker.is_live();
        out.cordoned = broker.is_cordoned;
        out.epoch = broker.epoch.value();
    }
    std::map<BrokerId, BrokerInfo*> brokers;
    for (BrokerInfo& broker : info.brokers) {
        brokers[BrokerId(broker.id)] = &broker;
    }
    const auto count = [&](BrokerId id, uint32_t BrokerInfo::*counter) {
        if (const auto at = brokers.find(id); at != brokers.end()) {
            at->second->*counter += 1;
        }
    };
    for (const auto& [name, topic] : image.topics_by_name) {
        info.topic_count++;
        for (const metadata::PartitionImage& partition : topic->partitions) {
            info.partition_count++;
            count(partition.leader, &BrokerInfo::leader_count);
            for (const BrokerId id : partition.replicas) {
                count(id, &BrokerInfo::replica_count);
            }
            for (const BrokerId id : partition.isr) {
                count(id, &BrokerInfo::in_sync_count);
            }
        }
    }
    Health health = find_health(image, self);
    info.offline_partition_count = health.offline_partitions;
    info.under_replicated_partition_count = health.under_replicated_partitions;
    info.under_min_isr_partition_count = health.under_min_isr_partitions;
    info.problems = std::move(health.problems);
    return info;
}

TopicList view_topics(const metadata::Image& image) {
    TopicList list;
    list.topics.reserve(image.topics_by_name.size());
    for (const auto& [name, topic] : image.topics_by_name) {
        list.topics.push_back(view_summary(*topic));
    }
    return list;
}

TopicSummary view_summary(const metadata::TopicImage& topic) {
    TopicSummary summary;
    summary.name = topic.name;
    summary.id = to_string(topic.id);
    summary.internal = topic.is_internal();
    summary.partition_count = static_cast<int32_t>(topic.partitions.size());
    if (!topic.partitions.empty()) {
        summary.replication_factor = static_cast<int32_t>(topic.partitions[0].replicas.size());
    }
    return summary;
}

TopicDescription view_topic(const metadata::TopicImage& topic, const config::BrokerConfig& broker) {
    TopicDescription out;
    out.name = topic.name;
    out.id = to_string(topic.id);
    out.internal = topic.is_internal();
    out.partitions.reserve(topic.partitions.size());
    for (size_t i = 0; i < topic.partitions.size(); i++) {
        const metadata::PartitionImage& from = topic.partitions[i];
        PartitionDescription& partition = out.partitions.emplace_back();
        partition.partition = static_cast<int32_t>(i);
        partition.leader = from.leader.value();
        partition.leader_epoch = from.leader_epoch.value();
        partition.replicas = numbers(from.replicas);
        partition.isr = numbers(from.isr);
        partition.elr = numbers(from.elr);
        partition.adding_replicas = numbers(from.adding_replicas);
        partition.removing_replicas = numbers(from.removing_replicas);
    }
    out.configs = entries(config::describe_topic(topic.configs, broker));
    return out;
}

void add_offsets(PartitionDescription& partition, const replica::DescribeResult& offsets,
                 const std::vector<replica::LogDirView>& dirs) {
    const auto path = [&](int32_t dir) {
        return dir < 0 || static_cast<size_t>(dir) >= dirs.size()
                   ? std::nullopt
                   : std::optional(dirs[static_cast<size_t>(dir)].path);
    };
    partition.log_dir = path(offsets.log_dir);
    partition.future_log_dir = path(offsets.future_log_dir);
    if (partition.future_log_dir) {
        partition.future_offset_lag = offsets.future_offset_lag;
    }
    partition.log_start_offset = offsets.log_start_offset.value();
    partition.log_end_offset = offsets.log_end_offset.value();
    partition.high_watermark = offsets.high_watermark.value();
    partition.size_bytes = static_cast<int64_t>(offsets.size_bytes);
}

BrokerConfigs view_broker_configs(const config::BrokerConfig& broker) {
    return BrokerConfigs{broker.node_id, entries(config::describe_broker(broker))};
}

ConfigResourceList view_config_resources(const metadata::Image& image) {
    ConfigResourceList list;
    list.resources.push_back({"broker", std::string(kBrokerDefault)});
    for (const auto& [id, broker] : image.brokers) {
        list.resources.push_back({"broker", std::to_string(id.value())});
    }
    for (const auto& [name, configs] : image.group_configs) {
        list.resources.push_back({"group", name});
    }
    for (const auto& [name, topic] : image.topics_by_name) {
        list.resources.push_back({"topic", name});
    }
    return list;
}

Result<ResourceConfigs> view_configs(const ConfigResource& resource, const metadata::Image& image,
                                     const config::BrokerConfig& broker) {
    ResourceConfigs out{resource.type, resource.name, {}};
    if (resource.type == "topic") {
        const metadata::TopicImage* topic = image.topic(resource.name);
        if (topic == nullptr) {
            return Error(Code::unknown_topic, "topic '" + resource.name + "' does not exist");
        }
        out.configs = entries(config::describe_topic(topic->configs, broker));
    } else if (resource.type == "group") {
        out.configs = entries(config::describe_group(image.group_overrides(resource.name), broker));
    } else if (resource.name == kBrokerDefault) {
        out.configs = entries(config::describe_cluster_default(broker.dynamic_default));
    } else if (resource.name == std::to_string(broker.node_id)) {
        out.configs = entries(config::describe_broker(broker));
    } else {
        return Error(Code::invalid_request,
                     "broker '" + resource.name + "' is not this one, which is " +
                         std::to_string(broker.node_id) + "; 'default' names all brokers");
    }
    return out;
}

QuotaList view_quotas(const metadata::Image& image) {
    QuotaList list;
    for (const auto& [entity, quota] : image.quotas) {
        list.quotas.push_back(view_quota(image, entity));
    }
    return list;
}

QuotaEntry view_quota(const metadata::Image& image, const metadata::QuotaEntity& entity) {
    QuotaEntry out;
    const auto add = [&out](std::string_view type,
                            const std::optional<metadata::QuotaEntity::Name>& part) {
        if (part) {
            out.entity.push_back({std::string(type), *part});
        }
    };
    add(metadata::kQuotaUser, entity.user);
    add(metadata::kQuotaClientId, entity.client_id);
    add(metadata::kQuotaIp, entity.ip);
    if (const auto quota = image.quotas.find(entity); quota != image.quotas.end()) {
        out.values = quota->second.values;
    }
    return out;
}

} // namespace qtool::admin
