// Brokers and moves of replicas to and from JSON.
#include "lib/admin/cluster_model.h"
#include "lib/admin/json_io.h"

namespace qtool::admin {

// Static rather than in an unnamed namespace: the templates of json_io.h find them by their
// arguments.

static Json to_json(const ReplicaMove& value) {
    return Json{{"topic", value.topic},
                {"partition", value.partition},
                {"from", value.from},
                {"to", value.to}};
}

static Result<void> read_object(const Json& json, ReplicaMove& out) {
    QT_TRY(need(json, "topic", out.topic));
    QT_TRY(need(json, "partition", out.partition));
    QT_TRY(need(json, "from", out.from));
    return need(json, "to", out.to);
}

static Json to_json(const ReassignmentInfo& value) {
    return Json{{"topic", value.topic},
                {"partition", value.partition},
                {"replicas", value.replicas},
                {"adding", value.adding},
                {"removing", value.removing}};
}

static Result<void> read_object(const Json& json, ReassignmentInfo& out) {
    QT_TRY(need(json, "topic", out.topic));
    QT_TRY(need(json, "partition", out.partition));
    QT_TRY(need(json, "replicas", out.replicas));
    QT_TRY(need(json, "adding", out.adding));
    return need(json, "removing", out.removing);
}

static Json to_json(const ReassignmentWish& value) {
    return Json{{"topic", value.topic},
                {"partition", value.partition},
                {"replicas", value.replicas ? Json(*value.replicas) : Json(nullptr)}};
}

static Result<void> read_object(const Json& json, ReassignmentWish& out) {
    QT_TRY(check_known(json, {"topic", "partition", "replicas"}));
    QT_TRY(need(json, "topic", out.topic));
    QT_TRY(need(json, "partition", out.partition));
    const auto replicas = json.find("replicas");
    if (replicas == json.end() || replicas->is_null()) {
        return {};
    }
    out.replicas.emplace();
    return read(*replicas, "replicas", *out.replicas);
}

static Json to_json(const ReassignmentResult& value) {
    return Json{{"topic", value.topic},
                {"partition", value.partition},
                {"error", value.error},
                {"detail", value.detail}};
}

static Result<void> read_object(const Json& json, ReassignmentResult& out) {
    QT_TRY(need(json, "topic", out.topic));
    QT_TRY(need(json, "partition", out.partition));
    QT_TRY(need(json, "error", out.error));
    return need(json, "detail", out.detail);
}

std::string encode(const AlterBrokerRequest& value) {
    return dump({{"cordoned", value.cordoned}});
}

std::string encode(const PlanRequest& value) {
    Json json{{"kind", value.kind}};
    if (value.broker) {
        json["broker"] = *value.broker;
    }
    return dump(json);
}

std::string encode(const MovePlan& value) {
    return dump({{"moves", to_json(value.moves)}, {"stuck", value.stuck}});
}

std::string encode(const ReassignmentList& value) {
    Json json = Json::object();
    json["reassignments"] = to_json(value.reassignments);
    return dump(json);
}

std::string encode(const AlterReassignmentsRequest& value) {
    Json json = Json::object();
    json["reassignments"] = to_json(value.reassignments);
    return dump(json);
}

std::string encode(const ReassignmentResults& value) {
    Json json = Json::object();
    json["results"] = to_json(value.results);
    return dump(json);
}

template <>
Result<AlterBrokerRequest> decode<AlterBrokerRequest>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json, {"cordoned"}));
    AlterBrokerRequest out;
    QT_TRY(need(json, "cordoned", out.cordoned));
    return out;
}

template <>
Result<PlanRequest> decode<PlanRequest>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json, {"kind", "broker"}));
    PlanRequest out;
    QT_TRY(need(json, "kind", out.kind));
    QT_TRY(maybe(json, "broker", out.broker));
    return out;
}

template <>
Result<MovePlan> decode<MovePlan>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    MovePlan out;
    QT_TRY(need(json, "moves", out.moves));
    QT_TRY(need(json, "stuck", out.stuck));
    return out;
}

template <>
Result<ReassignmentList> decode<ReassignmentList>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    ReassignmentList out;
    QT_TRY(need(json, "reassignments", out.reassignments));
    return out;
}

template <>
Result<AlterReassignmentsRequest> decode<AlterReassignmentsRequest>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    QT_TRY(check_known(json, {"reassignments"}));
    AlterReassignmentsRequest out;
    QT_TRY(need(json, "reassignments", out.reassignments));
    if (out.reassignments.empty()) {
        return Error(Code::invalid_request, "field 'reassignments' must have at least one entry");
    }
    return out;
}

template <>
Result<ReassignmentResults> decode<ReassignmentResults>(std::string_view text) {
    QT_TRY_ASSIGN(const Json json, parse_object(text));
    ReassignmentResults out;
    QT_TRY(need(json, "results", out.results));
    return out;
}

} // namespace qtool::admin
