// Groups and transactions to and from JSON.
#include "lib/admin/group_model.h"
#include "lib/admin/json_io.h"

namespace qtool::admin {

// Static rather than in an unnamed namespace: the templates of json_io.h find them by their
// arguments.

static Json to_json(const GroupSummary& value) {
    return Json{{"group", value.group},
                {"type", value.type},
                {"protocol_type", value.protocol_type},
                {"state", value.state}};
}

static Result<void> read_object(const Json& json, GroupSummary& out) {
    QT_TRY(need(json, "group", out.group));
    QT_TRY(need(json, "type", out.type));
    QT_TRY(need(json, "protocol_type", out.protocol_type));
    return need(json, "state", out.state);
}

static Json to_json(const TopicPartitions& value) {
    return Json{{"topic", value.topic}, {"partitions", value.partitions}};
}

static Result<void> read_object(const Json& json, TopicPartitions& out) {
    QT_TRY(need(json, "topic", out.topic));
    return need(json, "partitions", out.partitions);
}

static Json to_json(const GroupMember& value) {
    return Json{{"member_id", value.member_id},
                {"instance_id", value.instance_id ? Json(*value.instance_id) : Json(nullptr)},
                {"client_id", value.client_id},
                {"client_host", value.client_host},
                {"assignment", to_json(value.assignment)}};
}

static Result<void> read_object(const Json& json, GroupMember& out) {
    QT_TRY(need(json, "member_id", out.member_id));
    QT_TRY(maybe(json, "instance_id", out.instance_id));
    QT_TRY(need(json, "client_id", out.client_id));
    QT_TRY(need(json, "client_host", out.client_host));
    return need(json, "assignment", out.assignment);
}

static Json to_json(const GroupOffset& value) {
    return Json{{"topic", value.topic},
                {"partition", value.partition},
                {"offset", value.offset},
                {"leader_epoch", value.leader_epoch},
                {"metadata", value.metadata},
                {"high_watermark", value.high_watermark ? Json(*value.high_watermark) : Json()},
                {"lag", value.lag ? Json(*value.lag) : Json()},
                {"lag_ms", value.lag_ms ? Json(*value.lag_ms) : Json()}};
}

static Result<void> read_object(const Json& json, GroupOffset& out) {
    QT_TRY(need(json, "topic", out.topic));
    QT_TRY(need(json, "partition", out.partition));
    QT_TRY(need(json, "offset", out.offset));
    QT_TRY(maybe(json, "leader_epoch", out.leader_epoch));
    QT_TRY(maybe(json, "metadata", out.metadata));
    QT_TRY(maybe(json, "high_watermark", out.high_watermark));
    QT_TRY(maybe(json, "lag", out.lag));
    return maybe(json, "lag_ms", out.lag_ms);
}

static Json to_json(const OffsetToSet& value) {
    return Json{{"topic", value.topic},
                {"partition", value.partition},
                {"offset", value.offset},
                {"metadata", value.metadata}};
}

static Result<void> read_object(const Json& json, OffsetToSet& out) {
    QT_TRY(check_known(json, {"topic", "partition", "offset", "metadata"}));
    QT_TRY(need(json, "topic", out.topic));
    QT_TRY(need(json, "partition", out.partition));
    QT_TRY(need(json, "offset", out.offset));
    if (out.partition < 0) {
        return shape_error("partition", "0 or more");
    }
    if (out.offset < 0) {
        return shape_error("offset", "0 or more");
    }
    return maybe(json, "metadata", out.metadata);
}

static Json to_json(const TransactionSummary& value) {
    return Json{{"transactional_id", value.transactional_id},
                {"producer_id", value.producer_id},
                {"state", value.state}};
}

static Result<void> read_object(const Json& json, TransactionSummary& out) {
    QT_TRY(need(json, "transactional_id", out.transactional_id));
    QT_TRY(need(json, "producer_id", out.producer_id));
    return need(json, "state", out.state);
}

std::string encode(const GroupList& value) {
    Json json = Json::object();
    json["groups"] = to_json(value.groups);
    return dump(json);
}

std::string encode(const GroupDescription& value) {
    return dump({{"group", value.group},
                 {"type", value.type},
                 {"protocol_type", value.protocol_type},
                 {"protocol", value.protocol},
                 {"state", value.state},
                 {"members", to_json(value.members)},
                 {"offsets", to_json(value.offsets)}});
}

std::string encode(const SetGroupOffsets& value) {
    Json json = Json::object();
    json["offsets"] = to_json(value.offsets);
    return dump(json);
}

std::string encode(const OffsetToSet& value) {
    return dump(to_json(value));
}

std::string encode(const TransactionList& value) {
    Json json = Json::object();
    json["transactions"] = to_json(value.transactions);
    return dump(json);
}

std::string encode(const TransactionDescription& value) {
    return dump({{"transactional_id", value.transactional_id},
                 {"state", value.state},
                 {"producer_id", value.producer_id},
                 {"producer_epoch", value.producer_epoch},
                 {"timeout_ms", value.timeout_ms},
                 {"start_ms", value.start_ms},
                 {"partitions", to_json(value.partitions)}});
}

template <>
Result<GroupList> decode<GroupList>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    GroupList out;
    QT_TRY(need(json, "groups", out.groups));
    return out;
}

template <>
Result<GroupDescription> decode<GroupDescription>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    GroupDescription out;
    QT_TRY(need(json, "group", out.group));
    QT_TRY(need(json, "type", out.type));
    QT_TRY(need(json, "protocol_type", out.protocol_type));
    QT_TRY(need(json, "protocol", out.protocol));
    QT_TRY(need(json, "state", out.state));
    QT_TRY(need(json, "members", out.members));
    QT_TRY(need(json, "offsets", out.offsets));
    return out;
}

template <>
Result<SetGroupOffsets> decode<SetGroupOffsets>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json, {"offsets"}));
    SetGroupOffsets out;
    QT_TRY(need(json, "offsets", out.offsets));
    if (out.offsets.empty()) {
        return Error(Code::invalid_request, "field 'offsets' must have at least one entry");
    }
    return out;
}

template <>
Result<OffsetToSet> decode<OffsetToSet>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    OffsetToSet out;
    QT_TRY(read_object(json, out));
    return out;
}

template <>
Result<TransactionList> decode<TransactionList>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    TransactionList out;
    QT_TRY(need(json, "transactions", out.transactions));
    return out;
}

template <>
Result<TransactionDescription> decode<TransactionDescription>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    TransactionDescription out;
    QT_TRY(need(json, "transactional_id", out.transactional_id));
    QT_TRY(need(json, "state", out.state));
    QT_TRY(need(json, "producer_id", out.producer_id));
    QT_TRY(need(json, "producer_epoch", out.producer_epoch));
    QT_TRY(need(json, "timeout_ms", out.timeout_ms));
    QT_TRY(need(json, "start_ms", out.start_ms));
    QT_TRY(need(json, "partitions", out.partitions));
    return out;
}

} // namespace qtool::admin
