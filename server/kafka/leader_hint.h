// Where a partition's leader is, told inside Produce and Fetch errors so that the client needs no
// Metadata round trip (KIP-951).
#pragma once

#include "server/metadata/image.h"

#include <set>

namespace qtool::kafka {

class LeaderHints {
public:
    explicit LeaderHints(const metadata::Image& image) : image_(image) {}

    /// Fills leader id and epoch of one partition; nothing when the partition is unknown.
    template <class LeaderIdAndEpoch>
    void fill_leader(const PartitionKey& key, LeaderIdAndEpoch& out) {
        const metadata::TopicImage* topic = image_.topic(key.topic_id);
        const auto index = static_cast<size_t>(key.index.value());
        if (topic == nullptr || index >= topic->partitions.size()) {
            return;
        }
        out.leader_id = topic->partitions[index].leader.value();
        out.leader_epoch = topic->partitions[index].leader_epoch.value();
        leaders_.insert(topic->partitions[index].leader);
    }

    /// The addresses of the leaders named so far.
    template <class NodeEndpoint>
    void fill_endpoints(std::vector<NodeEndpoint>& out) const {
        for (const BrokerId leader : leaders_) {
            const auto broker = image_.brokers.find(leader);
            if (broker == image_.brokers.end()) {
                continue;
            }
            NodeEndpoint& endpoint = out.emplace_back();
            endpoint.node_id = leader.value();
            endpoint.host = broker->second.host;
            endpoint.port = broker->second.port;
            if (!broker->second.rack.empty()) {
                endpoint.rack = broker->second.rack;
            }
        }
    }

private:
    const metadata::Image& image_;
    std::set<BrokerId> leaders_;
};

} // namespace qtool::kafka
