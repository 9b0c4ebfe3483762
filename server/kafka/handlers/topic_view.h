// What Metadata, DescribeCluster and DescribeTopicPartitions say alike about topics, partitions and
// brokers. Pure functions on an image; messages are generated structs with equal field names.
#pragma once

#include "lib/protocol/kafka_error.h"
#include "server/metadata/image.h"

#include <algorithm>
#include <cstdint>

namespace qtool::kafka {

/// What "authorized operations" holds when nobody asked (KIP-430).
inline constexpr int32_t kOperationsNotAsked = INT32_MIN;

// Without an authorizer everything is allowed: bit n stands for the operation of number n.
// read 3, write 4, create 5, delete 6, alter 7, describe 8, cluster action 9, describe configs 10,
// alter configs 11, idempotent write 12.
inline constexpr int32_t kTopicOperations =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
inline constexpr int32_t kClusterOperations =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// The partition, or nullptr when the topic has no such number.
inline const metadata::PartitionImage* find_partition(const metadata::TopicImage& topic,
                                                      int32_t index) {
    const bool exists = index >= 0 && static_cast<size_t>(index) < topic.partitions.size();
    return exists ? &topic.partitions[static_cast<size_t>(index)] : nullptr;
}

/// The broker that acts by itself. Admin requests are served by whoever gets them, so while there
/// is none, this broker or any live one will do. -1: none is live.
inline BrokerId controller_of(const metadata::Image& image, BrokerId self) {
    if (image.is_live(image.controller.id)) {
        return image.controller.id;
    }
    if (image.is_live(self)) {
        return self;
    }
    for (const auto& entry : image.brokers) {
        if (entry.second.is_live()) {
            return entry.first;
        }
    }
    return kNoBroker;
}

/// Fills everything but the topic's own fields. Works on the partitions of Metadata and of
/// DescribeTopicPartitions.
template <class Partition>
void fill_partition(const metadata::Image& image, int32_t index,
                    const metadata::PartitionImage& from, Partition& out) {
    out.partition_index = index;
    out.leader_id = from.leader.value();
    out.leader_epoch = from.leader_epoch.value();
    for (const BrokerId replica : from.replicas) {
        out.replica_nodes.push_back(replica.value());
        if (!image.is_live(replica)) {
            out.offline_replicas.push_back(replica.value());
        }
    }
    for (const BrokerId replica : from.isr) {
        out.isr_nodes.push_back(replica.value());
    }
    if (!image.is_live(from.leader)) {
        out.leader_id = kNoBroker.value();
        out.error_code = static_cast<int16_t>(protocol::KafkaError::leader_not_available);
    }
}

template <class Broker>
void fill_broker(const metadata::BrokerImage& from, Broker& out) {
    out.host = from.host;
    out.port = from.port;
    if (!from.rack.empty()) {
        out.rack = from.rack;
    }
}

} // namespace qtool::kafka
