// What the JSON door shows, made from an image: pure functions from cluster truth to the values of
// lib/admin/model.h. Called on any core with that core's image.
#pragma once

#include "lib/admin/model.h"
#include "lib/config/broker_config.h"
#include "server/metadata/image.h"
#include "server/replica/log_dir_view.h"
#include "server/replica/requests.h"

#include <string_view>
#include <vector>

namespace qtool::admin {

/// Everything but `version`, `started_ms` and `log_dirs`, which are of the broker that answers.
ClusterInfo view_cluster(const metadata::Image& image, BrokerId self);
TopicList view_topics(const metadata::Image& image);
TopicSummary view_summary(const metadata::TopicImage& topic);
/// Offsets and sizes are absent; see add_offsets.
TopicDescription view_topic(const metadata::TopicImage& topic, const config::BrokerConfig& broker);
void add_offsets(PartitionDescription& partition, const replica::DescribeResult& offsets,
                 const std::vector<replica::LogDirView>& dirs);
BrokerConfigs view_broker_configs(const config::BrokerConfig& broker);

/// The name of what is set for all brokers.
inline constexpr std::string_view kBrokerDefault = "default";

ConfigResourceList view_config_resources(const metadata::Image& image);
/// Errors: unknown_topic, invalid_request (another broker than this one).
Result<ResourceConfigs> view_configs(const ConfigResource& resource, const metadata::Image& image,
                                     const config::BrokerConfig& broker);
QuotaList view_quotas(const metadata::Image& image);
/// Without values when the entity has none.
QuotaEntry view_quota(const metadata::Image& image, const metadata::QuotaEntity& entity);

} // namespace qtool::admin
