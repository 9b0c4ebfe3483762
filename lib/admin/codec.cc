#include "lib/admin/codec.h"

#include "lib/admin/json_io.h"

#include <set>

namespace qtool::admin {

// Static rather than in an unnamed namespace: the templates of json_io.h find them by their
// arguments.

// ---- objects inside others ----------------------------------------------------------------------

static Json to_json(const BrokerInfo& value) {
    return Json{{"id", value.id},
                {"host", value.host},
                {"port", value.port},
                {"rack", value.rack},
                {"admin_host", value.admin_host},
                {"admin_port", value.admin_port},
                {"live", value.live},
                {"cordoned", value.cordoned},
                {"epoch", value.epoch},
                {"leader_count", value.leader_count},
                {"replica_count", value.replica_count},
                {"in_sync_count", value.in_sync_count}};
}

static Result<void> read_object(const Json& json, BrokerInfo& out) {
    QT_TRY(need(json, "id", out.id));
    QT_TRY(need(json, "host", out.host));
    QT_TRY(need(json, "port", out.port));
    QT_TRY(maybe(json, "rack", out.rack));
    QT_TRY(need(json, "admin_host", out.admin_host));
    QT_TRY(need(json, "admin_port", out.admin_port));
    QT_TRY(maybe(json, "live", out.live)); // answers of older brokers have none of these
    QT_TRY(maybe(json, "cordoned", out.cordoned));
    QT_TRY(maybe(json, "epoch", out.epoch));
    QT_TRY(maybe(json, "leader_count", out.leader_count));
    QT_TRY(maybe(json, "replica_count", out.replica_count));
    return maybe(json, "in_sync_count", out.in_sync_count);
}

static Json to_json(const LogDirInfo& value) {
    return Json{{"path", value.path},
                {"id", value.id},
                {"error", value.error},
                {"free_bytes", value.free_bytes},
                {"total_bytes", value.total_bytes},
                {"reserve_bytes", value.reserve_bytes},
                {"low_space", value.low_space},
                {"partition_count", value.partition_count}};
}

static Result<void> read_object(const Json& json, LogDirInfo& out) {
    QT_TRY(need(json, "path", out.path));
    QT_TRY(need(json, "id", out.id));
    QT_TRY(maybe(json, "error", out.error));
    QT_TRY(need(json, "free_bytes", out.free_bytes));
    QT_TRY(need(json, "total_bytes", out.total_bytes));
    QT_TRY(need(json, "reserve_bytes", out.reserve_bytes));
    QT_TRY(need(json, "low_space", out.low_space));
    return need(json, "partition_count", out.partition_count);
}

static Json to_json(const TopicSummary& value) {
    return Json{{"name", value.name},
                {"id", value.id},
                {"internal", value.internal},
                {"partition_count", value.partition_count},
                {"replication_factor", value.replication_factor}};
}

static Result<void> read_object(const Json& json, TopicSummary& out) {
    QT_TRY(need(json, "name", out.name));
    QT_TRY(need(json, "id", out.id));
    QT_TRY(need(json, "internal", out.internal));
    QT_TRY(need(json, "partition_count", out.partition_count));
    return need(json, "replication_factor", out.replication_factor);
}

static Json to_json(const ReplicaState& value) {
    return Json{{"broker", value.broker},    {"live", value.live},
                {"in_sync", value.in_sync},  {"log_end_offset", to_json(value.log_end_offset)},
                {"lag", to_json(value.lag)}, {"size_bytes", to_json(value.size_bytes)}};
}

static Result<void> read_object(const Json& json, ReplicaState& out) {
    QT_TRY(need(json, "broker", out.broker));
    QT_TRY(need(json, "live", out.live));
    QT_TRY(need(json, "in_sync", out.in_sync));
    QT_TRY(maybe(json, "log_end_offset", out.log_end_offset));
    QT_TRY(maybe(json, "lag", out.lag));
    return maybe(json, "size_bytes", out.size_bytes);
}

static Json to_json(const PartitionDescription& value) {
    return Json{{"partition", value.partition},
                {"leader", value.leader},
                {"leader_epoch", value.leader_epoch},
                {"replicas", value.replicas},
                {"isr", value.isr},
                {"log_start_offset", to_json(value.log_start_offset)},
                {"log_end_offset", to_json(value.log_end_offset)},
                {"high_watermark", to_json(value.high_watermark)},
                {"size_bytes", to_json(value.size_bytes)},
                {"log_dir", to_json(value.log_dir)},
                {"future_log_dir", to_json(value.future_log_dir)},
                {"future_offset_lag", to_json(value.future_offset_lag)},
                {"elr", value.elr},
                {"adding_replicas", value.adding_replicas},
                {"removing_replicas", value.removing_replicas},
                {"replica_states", to_json(value.replica_states)}};
}

static Result<void> read_object(const Json& json, PartitionDescription& out) {
    QT_TRY(need(json, "partition", out.partition));
    QT_TRY(need(json, "leader", out.leader));
    QT_TRY(need(json, "leader_epoch", out.leader_epoch));
    QT_TRY(need(json, "replicas", out.replicas));
    QT_TRY(need(json, "isr", out.isr));
    QT_TRY(maybe(json, "log_start_offset", out.log_start_offset));
    QT_TRY(maybe(json, "log_end_offset", out.log_end_offset));
    QT_TRY(maybe(json, "high_watermark", out.high_watermark));
    QT_TRY(maybe(json, "size_bytes", out.size_bytes));
    QT_TRY(maybe(json, "log_dir", out.log_dir));
    QT_TRY(maybe(json, "future_log_dir", out.future_log_dir));
    QT_TRY(maybe(json, "future_offset_lag", out.future_offset_lag));
    QT_TRY(maybe(json, "elr", out.elr));
    QT_TRY(maybe(json, "adding_replicas", out.adding_replicas));
    QT_TRY(maybe(json, "removing_replicas", out.removing_replicas));
    return maybe(json, "replica_states", out.replica_states);
}

static Json to_json(const MoveInfo& value) {
    return Json{{"topic", value.topic},
                {"partition", value.partition},
                {"log_dir", value.log_dir},
                {"future_log_dir", value.future_log_dir},
                {"future_size_bytes", value.future_size_bytes},
                {"future_offset_lag", value.future_offset_lag}};
}

static Result<void> read_object(const Json& json, MoveInfo& out) {
    QT_TRY(need(json, "topic", out.topic));
    QT_TRY(need(json, "partition", out.partition));
    QT_TRY(need(json, "log_dir", out.log_dir));
    QT_TRY(need(json, "future_log_dir", out.future_log_dir));
    QT_TRY(need(json, "future_size_bytes", out.future_size_bytes));
    return need(json, "future_offset_lag", out.future_offset_lag);
}

static Json to_json(const ConfigEntry& value) {
    return Json{{"name", value.name},
                {"value", to_json(value.value)},
                {"source", value.source},
                {"is_default", value.is_default},
                {"read_only", value.read_only},
                {"sensitive", value.sensitive},
                {"documentation", value.documentation}};
}

static Result<void> read_object(const Json& json, ConfigEntry& out) {
    QT_TRY(need(json, "name", out.name));
    QT_TRY(need(json, "value", out.value));
    QT_TRY(need(json, "source", out.source));
    QT_TRY(need(json, "is_default", out.is_default));
    QT_TRY(maybe(json, "read_only", out.read_only));
    QT_TRY(maybe(json, "sensitive", out.sensitive));
    return maybe(json, "documentation", out.documentation);
}

static std::string_view op_name(ConfigOp op) {
    switch (op) {
    case ConfigOp::set:
        return "set";
    case ConfigOp::remove:
        return "delete";
    case ConfigOp::append:
        return "append";
    case ConfigOp::subtract:
        return "subtract";
    }
    return "set";
}

static Json to_json(const ConfigChange& value) {
    Json json{{"op", op_name(value.op)}, {"name", value.name}};
    if (value.op != ConfigOp::remove) {
        json["value"] = value.value;
    }
    return json;
}

static Result<void> read_object(const Json& json, ConfigChange& out) {
    QT_TRY(check_known(json, {"op", "name", "value"}));
    std::string op;
    QT_TRY(need(json, "op", op));
    QT_TRY(need(json, "name", out.name));
    for (const ConfigOp candidate :
         {ConfigOp::set, ConfigOp::remove, ConfigOp::append, ConfigOp::subtract}) {
        if (op == op_name(candidate)) {
            out.op = candidate;
            return candidate == ConfigOp::remove ? maybe(json, "value", out.value)
                                                 : need(json, "value", out.value);
        }
    }
    return shape_error("op", "one of set, delete, append, subtract");
}

static Json to_json(const ConfigResource& value) {
    return Json{{"type", value.type}, {"name", value.name}};
}

static Result<void> read_object(const Json& json, ConfigResource& out) {
    QT_TRY(need(json, "type", out.type));
    return need(json, "name", out.name);
}

static Json to_json(const QuotaPart& value) {
    return Json{{"type", value.type}, {"name", to_json(value.name)}};
}

static Result<void> read_object(const Json& json, QuotaPart& out) {
    QT_TRY(check_known(json, {"type", "name"}));
    QT_TRY(need(json, "type", out.type));
    return need(json, "name", out.name); // null is said, so that a name left out makes no default
}

static Json to_json(const std::map<std::string, double>& values) {
    Json json = Json::object();
    for (const auto& [name, value] : values) {
        json[name] = value;
    }
    return json;
}

static Json to_json(const QuotaEntry& value) {
    return Json{{"entity", to_json(value.entity)}, {"values", to_json(value.values)}};
}

static Result<void> read_object(const Json& json, QuotaEntry& out) {
    QT_TRY(need(json, "entity", out.entity));
    return need(json, "values", out.values);
}

static Result<void> check_once(const std::vector<ConfigChange>& changes) {
    std::set<std::string_view> names;
    for (const ConfigChange& change : changes) {
        if (!names.insert(change.name).second) {
            return Error(Code::invalid_request, "config '" + change.name + "' is named twice");
        }
    }
    return {};
}

// ---- encode -------------------------------------------------------------------------------------

std::string encode(const ClusterInfo& value) {
    return dump({{"cluster_id", value.cluster_id},
                 {"broker_id", value.broker_id},
                 {"controller_id", value.controller_id},
                 {"version", value.version},
                 {"started_ms", value.started_ms},
                 {"brokers", to_json(value.brokers)},
                 {"topic_count", value.topic_count},
                 {"partition_count", value.partition_count},
                 {"offline_partition_count", value.offline_partition_count},
                 {"under_replicated_partition_count", value.under_replicated_partition_count},
                 {"under_min_isr_partition_count", value.under_min_isr_partition_count},
                 {"problems", value.problems},
                 {"log_dirs", to_json(value.log_dirs)}});
}

std::string encode_brokers(const ClusterInfo& value) {
    return dump({{"controller_id", value.controller_id}, {"brokers", to_json(value.brokers)}});
}

std::string encode_health(const ClusterInfo& value) {
    return dump({{"healthy", value.problems.empty()}, {"problems", value.problems}});
}

std::string encode_disks(const ClusterInfo& cluster, const MoveList& moves) {
    return dump({{"broker_id", cluster.broker_id},
                 {"log_dirs", to_json(cluster.log_dirs)},
                 {"moves", to_json(moves.moves)}});
}

std::string encode(const TopicList& value) {
    Json json = Json::object();
    json["topics"] = to_json(value.topics);
    return dump(json);
}

std::string encode(const TopicSummary& value) {
    return dump(to_json(value));
}

std::string encode(const TopicDescription& value) {
    return dump({{"name", value.name},
                 {"id", value.id},
                 {"internal", value.internal},
                 {"partitions", to_json(value.partitions)},
                 {"configs", to_json(value.configs)}});
}

std::string encode(const CreateTopicRequest& value) {
    Json json{{"name", value.name}};
    if (value.partitions) {
        json["partitions"] = *value.partitions;
    }
    if (value.replication_factor) {
        json["replication_factor"] = *value.replication_factor;
    }
    json["configs"] = Json::object();
    for (const auto& [name, text] : value.configs) {
        json["configs"][name] = text;
    }
    json["validate_only"] = value.validate_only;
    return dump(json);
}

std::string encode(const AlterTopicRequest& value) {
    Json json = Json::object();
    json["configs"] = to_json(value.configs);
    if (value.partitions) {
        json["partitions"] = *value.partitions;
    }
    json["validate_only"] = value.validate_only;
    return dump(json);
}

std::string encode(const BrokerConfigs& value) {
    return dump({{"broker_id", value.broker_id}, {"configs", to_json(value.configs)}});
}

std::string encode(const ConfigResourceList& value) {
    Json json = Json::object();
    json["resources"] = to_json(value.resources);
    return dump(json);
}

std::string encode(const ResourceConfigs& value) {
    return dump({{"type", value.type}, {"name", value.name}, {"configs", to_json(value.configs)}});
}

std::string encode(const AlterConfigsRequest& value) {
    return dump({{"configs", to_json(value.configs)}, {"validate_only", value.validate_only}});
}

std::string encode(const QuotaEntry& value) {
    return dump(to_json(value));
}

std::string encode(const QuotaList& value) {
    Json json = Json::object();
    json["quotas"] = to_json(value.quotas);
    return dump(json);
}

std::string encode(const AlterQuotaRequest& value) {
    return dump({{"entity", to_json(value.entity)},
                 {"set", to_json(value.set)},
                 {"remove", value.remove},
                 {"validate_only", value.validate_only}});
}

std::string encode(const MoveList& value) {
    return dump({{"broker_id", value.broker_id}, {"moves", to_json(value.moves)}});
}

std::string encode(const MovePartition& value) {
    return dump(
        {{"topic", value.topic}, {"partition", value.partition}, {"log_dir", value.log_dir}});
}

std::string encode(const ErrorBody& value) {
    Json json = Json::object();
    json["error"] =
        Json{{"code", to_string(value.code)}, {"message", value.message}, {"detail", value.detail}};
    return dump(json);
}

// ---- decode -------------------------------------------------------------------------------------

template <>
Result<ClusterInfo> decode<ClusterInfo>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    ClusterInfo out;
    QT_TRY(need(json, "cluster_id", out.cluster_id));
    QT_TRY(need(json, "broker_id", out.broker_id));
    QT_TRY(need(json, "controller_id", out.controller_id));
    QT_TRY(need(json, "version", out.version));
    QT_TRY(need(json, "started_ms", out.started_ms));
    QT_TRY(need(json, "brokers", out.brokers));
    QT_TRY(need(json, "topic_count", out.topic_count));
    QT_TRY(need(json, "partition_count", out.partition_count));
    QT_TRY(need(json, "offline_partition_count", out.offline_partition_count));
    QT_TRY(need(json, "under_replicated_partition_count", out.under_replicated_partition_count));
    QT_TRY(maybe(json, "log_dirs", out.log_dirs)); // answers of older brokers have none
    QT_TRY(maybe(json, "under_min_isr_partition_count", out.under_min_isr_partition_count));
    QT_TRY(maybe(json, "problems", out.problems));
    return out;
}

template <>
Result<TopicList> decode<TopicList>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    TopicList out;
    QT_TRY(need(json, "topics", out.topics));
    return out;
}

template <>
Result<TopicSummary> decode<TopicSummary>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    TopicSummary out;
    QT_TRY(read_object(json, out));
    return out;
}

template <>
Result<TopicDescription> decode<TopicDescription>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    TopicDescription out;
    QT_TRY(need(json, "name", out.name));
    QT_TRY(need(json, "id", out.id));
    QT_TRY(need(json, "internal", out.internal));
    QT_TRY(need(json, "partitions", out.partitions));
    QT_TRY(need(json, "configs", out.configs));
    return out;
}

template <>
Result<CreateTopicRequest> decode<CreateTopicRequest>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json,
                       {"name", "partitions", "replication_factor", "configs", "validate_only"}));
    CreateTopicRequest out;
    QT_TRY(need(json, "name", out.name));
    QT_TRY(maybe(json, "partitions", out.partitions));
    QT_TRY(maybe(json, "replication_factor", out.replication_factor));
    QT_TRY(maybe(json, "configs", out.configs));
    QT_TRY(maybe(json, "validate_only", out.validate_only));
    return out;
}

template <>
Result<AlterTopicRequest> decode<AlterTopicRequest>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json, {"configs", "partitions", "validate_only"}));
    AlterTopicRequest out;
    QT_TRY(maybe(json, "configs", out.configs));
    QT_TRY(maybe(json, "partitions", out.partitions));
    QT_TRY(maybe(json, "validate_only", out.validate_only));
    QT_TRY(check_once(out.configs));
    return out;
}

template <>
Result<BrokerConfigs> decode<BrokerConfigs>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    BrokerConfigs out;
    QT_TRY(need(json, "broker_id", out.broker_id));
    QT_TRY(need(json, "configs", out.configs));
    return out;
}

template <>
Result<ConfigResourceList> decode<ConfigResourceList>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    ConfigResourceList out;
    QT_TRY(need(json, "resources", out.resources));
    return out;
}

template <>
Result<ResourceConfigs> decode<ResourceConfigs>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    ResourceConfigs out;
    QT_TRY(need(json, "type", out.type));
    QT_TRY(need(json, "name", out.name));
    QT_TRY(need(json, "configs", out.configs));
    return out;
}

template <>
Result<AlterConfigsRequest> decode<AlterConfigsRequest>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json, {"configs", "validate_only"}));
    AlterConfigsRequest out;
    QT_TRY(need(json, "configs", out.configs));
    QT_TRY(maybe(json, "validate_only", out.validate_only));
    QT_TRY(check_once(out.configs));
    return out;
}

template <>
Result<QuotaEntry> decode<QuotaEntry>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QuotaEntry out;
    QT_TRY(read_object(json, out));
    return out;
}

template <>
Result<QuotaList> decode<QuotaList>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QuotaList out;
    QT_TRY(need(json, "quotas", out.quotas));
    return out;
}

template <>
Result<AlterQuotaRequest> decode<AlterQuotaRequest>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json, {"entity", "set", "remove", "validate_only"}));
    AlterQuotaRequest out;
    QT_TRY(need(json, "entity", out.entity));
    QT_TRY(maybe(json, "set", out.set));
    QT_TRY(maybe(json, "remove", out.remove));
    QT_TRY(maybe(json, "validate_only", out.validate_only));
    return out;
}

template <>
Result<MoveList> decode<MoveList>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    MoveList out;
    QT_TRY(need(json, "broker_id", out.broker_id));
    QT_TRY(need(json, "moves", out.moves));
    return out;
}

template <>
Result<MovePartition> decode<MovePartition>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json, {"topic", "partition", "log_dir"}));
    MovePartition out;
    QT_TRY(need(json, "topic", out.topic));
    QT_TRY(need(json, "partition", out.partition));
    QT_TRY(need(json, "log_dir", out.log_dir));
    return out;
}

template <>
Result<ErrorBody> decode<ErrorBody>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    const auto it = json.find("error");
    if (it == json.end() || !it->is_object()) {
        return shape_error("error", "an object");
    }
    ErrorBody out;
    std::string code;
    QT_TRY(need(*it, "code", code));
    QT_TRY(need(*it, "message", out.message));
    QT_TRY(maybe(*it, "detail", out.detail));
    const std::optional<Code> known = parse_code(code);
    out.code = known ? *known : Code::internal;
    if (!known) {
        out.message = code + ": " + out.message; // a newer broker's code is still readable
    }
    return out;
}

} // namespace qtool::admin
