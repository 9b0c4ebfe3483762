// A World of live brokers 1 to 4 with topics of any assignment, for what happens in a cluster.
#pragma once

#include "tests/unit/server/metadata/metadata_world.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace qtool::test {

inline std::vector<BrokerId> ids(const std::vector<int32_t>& numbers) {
    std::vector<BrokerId> out;
    for (const int32_t number : numbers) {
        out.emplace_back(number);
    }
    return out;
}

class ClusterWorld : public World {
public:
    explicit ClusterWorld(int32_t brokers = 4, config::BrokerConfig start = {})
        : World(brokers, std::move(start)) {}

    /// Its key is written by a new process.
    void live(int32_t id) {
        write({{metadata::live_key(BrokerId(id)), metadata::encode_live(topic_id(next_++))}});
    }
    void die(int32_t id) { write({{metadata::live_key(BrokerId(id)), std::nullopt}}); }

    void add_topic(const std::string& name, const std::vector<std::vector<int32_t>>& assignments,
                   const std::map<std::string, std::string>& configs = {}) {
        const TopicId id = topic_id(next_++);
        std::vector<port::StoreWrite> writes;
        for (size_t i = 0; i < assignments.size(); i++) {
            metadata::PartitionImage partition;
            partition.replicas = ids(assignments[i]);
            partition.isr = partition.replicas;
            partition.leader = partition.replicas[0];
            writes.push_back({metadata::partition_key(id, static_cast<int32_t>(i)),
                              metadata::encode_partition(partition)});
        }
        if (!configs.empty()) {
            writes.push_back({metadata::topic_configs_key(id), metadata::encode_configs(configs)});
        }
        writes.push_back({metadata::topic_key(name),
                          metadata::encode_topic({id, static_cast<int32_t>(assignments.size())})});
        write(std::move(writes));
    }
    [[nodiscard]] PartitionKey key(std::string_view name, int32_t index) const {
        return {topic(name).id, PartitionIndex(index)};
    }
    [[nodiscard]] const metadata::PartitionImage& partition(std::string_view name,
                                                            int32_t index) const {
        return topic(name).partitions.at(static_cast<size_t>(index));
    }

private:
    uint8_t next_ = 1;
};

} // namespace qtool::test
