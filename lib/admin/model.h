// The JSON admin protocol as plain values: what goes over /v1. Both ends use these types; codec.h
// turns them into JSON text and back. Names of fields here are the names in JSON.
// The document for people and generators is served by the broker: server/admin/openapi.json.
#pragma once

#include "lib/base/error.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qtool::admin {

struct BrokerInfo {
    int32_t id = -1;
    std::string host; // advertised, for Kafka's protocol
    uint16_t port = 0;
    std::string rack;       // empty: none
    std::string admin_host; // its JSON door
    uint16_t admin_port = 0;
    bool live = true;           // it has a session now
    bool cordoned = false;      // gets no new replicas
    int64_t epoch = 0;          // of its registration; 0: it is not live
    uint32_t leader_count = 0;  // partitions it leads
    uint32_t replica_count = 0; // replicas that are assigned to it
    uint32_t in_sync_count = 0; // of these: in sync

    bool operator==(const BrokerInfo&) const = default;
};

/// A log directory of the broker that answered. Of one that is offline path and error count.
struct LogDirInfo {
    std::string path;
    std::string id;    // Kafka's 22 characters
    std::string error; // why it is offline; empty: it is in use
    uint64_t free_bytes = 0;
    uint64_t total_bytes = 0;
    uint64_t reserve_bytes = 0; // with less free produce is refused
    bool low_space = false;     // it is refused now
    uint32_t partition_count = 0;

    bool operator==(const LogDirInfo&) const = default;
};

/// GET /v1/cluster
struct ClusterInfo {
    std::string cluster_id;
    int32_t broker_id = -1;     // who answered
    int32_t controller_id = -1; // -1: none at present
    std::string version;        // of the broker who answered
    int64_t started_ms = 0;     // when that broker started; milliseconds since 1970
    std::vector<BrokerInfo> brokers;
    uint32_t topic_count = 0;
    uint32_t partition_count = 0;
    uint32_t offline_partition_count = 0;          // without a leader
    uint32_t under_replicated_partition_count = 0; // in-sync replicas fewer than replicas
    uint32_t under_min_isr_partition_count = 0;    // fewer than min.insync.replicas
    std::vector<std::string> problems; // what is wrong, in words, the worst first; empty: healthy
    std::vector<LogDirInfo> log_dirs;  // of the broker who answered

    bool operator==(const ClusterInfo&) const = default;
};

struct TopicSummary {
    std::string name;
    std::string id; // Kafka's 22 characters
    bool internal = false;
    int32_t partition_count = 0;
    int32_t replication_factor = 0;

    bool operator==(const TopicSummary&) const = default;
};

/// GET /v1/topics: sorted by name.
struct TopicList {
    std::vector<TopicSummary> topics;

    bool operator==(const TopicList&) const = default;
};

/// POST /v1/topics; answered with 201 and a TopicSummary (200 when validate_only).
struct CreateTopicRequest {
    std::string name;
    std::optional<int32_t> partitions = {}; // absent: the broker's num.partitions
    std::optional<int32_t> replication_factor =
        {}; // absent: the broker's default.replication.factor
    std::map<std::string, std::string> configs = {};
    bool validate_only = false;

    bool operator==(const CreateTopicRequest&) const = default;
};

/// One replica of a partition. What only its broker knows is absent when that did not answer.
struct ReplicaState {
    int32_t broker = -1;
    bool live = false; // the broker
    bool in_sync = false;
    std::optional<int64_t> log_end_offset;
    std::optional<int64_t> lag; // records it does not have and the leader has
    std::optional<int64_t> size_bytes;

    bool operator==(const ReplicaState&) const = default;
};

struct PartitionDescription {
    int32_t partition = 0;
    int32_t leader = -1; // -1: none
    int32_t leader_epoch = 0;
    std::vector<int32_t> replicas;
    std::vector<int32_t> isr;
    // Of the leader; absent (null) when there is none or it did not answer.
    std::optional<int64_t> log_start_offset;
    std::optional<int64_t> log_end_offset;
    std::optional<int64_t> high_watermark;
    std::optional<int64_t> size_bytes;
    std::optional<std::string> log_dir;
    std::optional<std::string> future_log_dir; // where it is going; absent: nowhere
    std::optional<int64_t> future_offset_lag;  // records that are not there yet
    std::vector<int32_t> elr = {};             // eligible leaders outside the ISR (KIP-966)
    std::vector<int32_t> adding_replicas = {};
    std::vector<int32_t> removing_replicas = {};
    std::vector<ReplicaState> replica_states = {}; // in the order of replicas

    bool operator==(const PartitionDescription&) const = default;
};

struct ConfigEntry {
    std::string name;
    std::optional<std::string> value; // absent: null, or hidden because sensitive
    std::string source;               // "topic", "group", "broker", "cluster", "file", "default"
    bool is_default = false;
    bool read_only = false;
    bool sensitive = false;
    std::string documentation; // may be empty

    bool operator==(const ConfigEntry&) const = default;
};

/// GET /v1/topics/{name}
struct TopicDescription {
    std::string name;
    std::string id;
    bool internal = false;
    std::vector<PartitionDescription> partitions; // by partition index
    std::vector<ConfigEntry> configs;             // sorted by name

    bool operator==(const TopicDescription&) const = default;
};

/// The numbers are IncrementalAlterConfigs' operations.
enum class ConfigOp : int8_t { set = 0, remove = 1, append = 2, subtract = 3 };

struct ConfigChange {
    ConfigOp op = ConfigOp::set; // in JSON: "set", "delete", "append", "subtract"
    std::string name;
    std::string value; // not used by remove

    bool operator==(const ConfigChange&) const = default;
};

/// PATCH /v1/topics/{name}; answered with 200 and a TopicSummary. Configs and partitions are two
/// changes: when both are asked for, configs go first, and a refused second one leaves the first.
struct AlterTopicRequest {
    std::vector<ConfigChange> configs; // no name twice
    std::optional<int32_t> partitions; // the new total; rises only
    bool validate_only = false;

    bool operator==(const AlterTopicRequest&) const = default;
};

// DELETE /v1/topics/{name} is answered with 204 and no body.

/// GET /v1/config/broker: of the broker who answers.
struct BrokerConfigs {
    int32_t broker_id = -1;
    std::vector<ConfigEntry> configs; // sorted by name

    bool operator==(const BrokerConfigs&) const = default;
};

/// A resource with options of its own: a topic, a broker, a group. Of type broker there is one more
/// name, "default": what is set for all brokers.
struct ConfigResource {
    std::string type; // "topic", "broker", "group"
    std::string name;

    bool operator==(const ConfigResource&) const = default;
};

/// GET /v1/configs: topics, brokers, groups with options set on them, by type and name.
struct ConfigResourceList {
    std::vector<ConfigResource> resources;

    bool operator==(const ConfigResourceList&) const = default;
};

/// GET /v1/configs/topics/{name}, /v1/configs/brokers/{name}, /v1/configs/groups/{name}
struct ResourceConfigs {
    std::string type;
    std::string name;
    std::vector<ConfigEntry> configs; // sorted by name

    bool operator==(const ResourceConfigs&) const = default;
};

/// PATCH of the same; answered with 200 and ResourceConfigs.
struct AlterConfigsRequest {
    std::vector<ConfigChange> configs; // no name twice
    bool validate_only = false;

    bool operator==(const AlterConfigsRequest&) const = default;
};

struct QuotaPart {
    std::string type;                // "user", "client-id", "ip"
    std::optional<std::string> name; // absent (null): the default

    bool operator==(const QuotaPart&) const = default;
};

struct QuotaEntry {
    std::vector<QuotaPart> entity;        // user before client-id
    std::map<std::string, double> values; // empty: none (any more)

    bool operator==(const QuotaEntry&) const = default;
};

/// GET /v1/quotas
struct QuotaList {
    std::vector<QuotaEntry> quotas;

    bool operator==(const QuotaList&) const = default;
};

/// PATCH /v1/quotas; answered with 200 and a QuotaEntry: the entity's quotas from now on.
struct AlterQuotaRequest {
    std::vector<QuotaPart> entity;
    std::map<std::string, double> set = {};
    std::vector<std::string> remove = {};
    bool validate_only = false;

    bool operator==(const AlterQuotaRequest&) const = default;
};

/// A partition on its way to another log directory of the broker that answered.
struct MoveInfo {
    std::string topic;
    int32_t partition = 0;
    std::string log_dir; // where it is
    std::string future_log_dir;
    int64_t future_size_bytes = 0; // copied
    int64_t future_offset_lag = 0; // records that are not there yet

    bool operator==(const MoveInfo&) const = default;
};

/// GET /v1/moves
struct MoveList {
    int32_t broker_id = -1; // who answered
    std::vector<MoveInfo> moves;

    bool operator==(const MoveList&) const = default;
};

/// POST /v1/moves; answered with 200 and the same: the move has begun, or waits for others, or one
/// that was under way has ended because the partition is to stay. GET /v1/moves shows it.
struct MovePartition {
    std::string topic;
    int32_t partition = 0;
    std::string log_dir; // of the broker that answers, as in its log.dirs

    bool operator==(const MovePartition&) const = default;
};

/// Any status of 400 and above: {"error": {"code", "message", "detail"}}.
struct ErrorBody {
    Code code = Code::internal; // in JSON its name, "topic_exists"
    std::string message;        // the code in words, the same for every case of it
    std::string detail;         // this case: names the thing, the value, the limit

    bool operator==(const ErrorBody&) const = default;
};

} // namespace qtool::admin
