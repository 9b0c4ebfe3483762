#include "server/kafka/handlers/internal_topic.h"

#include "server/metadata/placement.h"

#include <algorithm>

namespace qtool::kafka {

metadata::NewTopic new_internal_topic(std::string_view name, const request::Services& services) {
    const config::BrokerConfig& config = services.config();
    const size_t brokers = std::max<size_t>(metadata::usable_brokers(services.image()->brokers), 1);
    metadata::NewTopic topic;
    topic.name = name;
    const bool is_group = name == metadata::kGroupTopic;
    topic.partition_count =
        is_group ? config.offsets_topic_num_partitions : config.transaction_state_partitions;
    const int32_t replicas = is_group ? config.offsets_topic_replication_factor
                                      : config.transaction_state_replication_factor;
    topic.replication_factor =
        static_cast<int16_t>(std::min(static_cast<size_t>(replicas), brokers));
    const int32_t segment_bytes =
        is_group ? config.offsets_topic_segment_bytes : config.transaction_state_segment_bytes;
    topic.configs.push_back({"segment.bytes", std::to_string(segment_bytes)});
    topic.configs.push_back({"cleanup.policy", "compact"});
    topic.configs.push_back({"write.caching", "false"});
    if (!is_group) {
        topic.configs.push_back(
            {"min.insync.replicas", std::to_string(config.transaction_state_min_isr)});
    }
    return topic;
}

} // namespace qtool::kafka
