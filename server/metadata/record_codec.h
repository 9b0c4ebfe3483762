// Keys and values of the metadata store. Values are JSON objects with a "version", readable with
// the store's own tools. README.md lists them. A reader ignores fields it does not know: a change
// that older versions must not ignore raises the version of its record. Pure functions, for any
// thread.
#pragma once

#include "lib/base/result.h"
#include "server/metadata/image.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace qtool::metadata {

enum class KeyKind : uint8_t {
    cluster,
    broker,
    live,
    controller,
    topic,
    partition,
    topic_configs,
    producer_ids,
    trash,
    broker_configs,
    group_configs,
    quotas,
};

struct Key {
    KeyKind kind = KeyKind::cluster;
    BrokerId broker;        // broker, live, broker_configs (kNoBroker: the cluster's defaults)
    std::string topic_name; // topic
    TopicId topic_id;       // partition, topic_configs, trash
    int32_t partition = 0;  // partition
    std::string group;      // group_configs
    QuotaEntity entity;     // quotas

    bool operator==(const Key&) const = default;
};

std::string cluster_key();
std::string broker_key(BrokerId id);
/// Ephemeral, as controller_key: they go with the session of the broker that wrote them.
std::string live_key(BrokerId id);
std::string controller_key();
std::string topic_key(std::string_view name);
std::string partition_key(const TopicId& id, int32_t partition);
std::string topic_configs_key(const TopicId& id);
std::string producer_ids_key();
std::string trash_key(const TopicId& id);
/// kNoBroker: the defaults of the whole cluster.
std::string broker_configs_key(BrokerId id);
std::string group_configs_key(std::string_view group);
std::string quotas_key(const QuotaEntity& entity);

/// Errors: unsupported_version (no family of keys this version knows), storage_damaged (a known
/// family with a bad rest).
Result<Key> parse_key(std::string_view key);

struct TopicRecord {
    TopicId id;
    int32_t partition_count = 0; // >= 1

    bool operator==(const TopicRecord&) const = default;
};

std::string encode_cluster(const std::string& cluster_id);
std::string encode_broker(const BrokerImage& broker); // without the id, which is in the key
std::string encode_live(const Uuid& incarnation);
std::string encode_controller(BrokerId id);
std::string encode_topic(const TopicRecord& topic);
std::string encode_partition(const PartitionImage& partition);
/// Of topics, brokers and groups alike.
std::string encode_configs(const std::map<std::string, std::string>& configs);
std::string encode_quotas(const std::map<std::string, double>& values);
std::string encode_producer_ids(int64_t next);
std::string encode_trash(const std::string& topic_name);

/// `key` is named in errors. Errors of all: unsupported_version (a newer record), storage_damaged
/// (not JSON, a field missing, of another type or out of its range).
Result<std::string> decode_cluster(std::string_view key, std::string_view value);
Result<BrokerImage> decode_broker(std::string_view key, BrokerId id, std::string_view value);
Result<Uuid> decode_live(std::string_view key, std::string_view value);
Result<BrokerId> decode_controller(std::string_view key, std::string_view value);
Result<TopicRecord> decode_topic(std::string_view key, std::string_view value);
Result<PartitionImage> decode_partition(std::string_view key, std::string_view value);
Result<std::map<std::string, std::string>> decode_configs(std::string_view key,
                                                          std::string_view value);
Result<std::map<std::string, double>> decode_quotas(std::string_view key, std::string_view value);
Result<int64_t> decode_producer_ids(std::string_view key, std::string_view value);
Result<std::string> decode_trash(std::string_view key, std::string_view value);

} // namespace qtool::metadata
