// Routes on brokers and on where replicas live: cordon, forget, plans of moves, reassignments.
#include "lib/admin/cluster_model.h"
#include "server/admin/change_pending.h"
#include "server/metadata/decide_brokers.h"
#include "server/metadata/decide_reassign.h"
#include "server/metadata/rebalance.h"

#include <charconv>

namespace qtool::admin {

namespace {

std::vector<int32_t> numbers(const std::vector<BrokerId>& ids) {
    std::vector<int32_t> out;
    out.reserve(ids.size());
    for (const BrokerId id : ids) {
        out.push_back(id.value());
    }
    return out;
}

Result<BrokerId> broker_of(std::string_view name) {
    int32_t id = -1;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size() || id < 0) {
        return Error(Code::invalid_request, "'" + std::string(name) + "' is not a broker's id");
    }
    return BrokerId(id);
}

// CordonBroker, UnregisterBroker: answered with 204.
template <class Operation>
class BrokerPending final : public ChangePending<Operation> {
public:
    using ChangePending<Operation>::ChangePending;

private:
    stream::HttpReply reply(request::Services&) override {
        const Result<void>& outcome = this->operation_.outcome();
        return outcome ? reply_done() : reply_error(outcome.error());
    }
};

class ReassignPending final : public ChangePending<metadata::AlterReassignments> {
public:
    ReassignPending(const Exchange& exchange, AlterReassignmentsRequest request)
        : ChangePending(exchange, {wishes(request), /*may_change_factor=*/true}),
          request_(std::move(request)) {}

private:
    stream::HttpReply reply(request::Services&) override {
        ReassignmentResults out;
        for (size_t i = 0; i < request_.reassignments.size(); i++) {
            const ReassignmentWish& wish = request_.reassignments[i];
            ReassignmentResult& result = out.results.emplace_back();
            result.topic = wish.topic;
            result.partition = wish.partition;
            if (const std::optional<Error>& error = operation_.results()[i]) {
                result.error = to_string(error->code);
                result.detail = error->detail;
            }
        }
        return reply_json(200, encode(out));
    }

    static std::vector<metadata::Reassignment> wishes(const AlterReassignmentsRequest& request) {
        std::vector<metadata::Reassignment> out;
        for (const ReassignmentWish& wish : request.reassignments) {
            metadata::Reassignment& one = out.emplace_back();
            one.topic = wish.topic;
            one.partition = wish.partition;
            if (wish.replicas) {
                one.replicas.emplace();
                for (const int32_t broker : *wish.replicas) {
                    one.replicas->emplace_back(broker);
                }
            }
        }
        return out;
    }

    AlterReassignmentsRequest request_;
};

Result<metadata::Plan> make_plan(const PlanRequest& request, const metadata::Image& image) {
    if (request.kind == "drain" && request.broker) {
        return metadata::plan_drain(image, BrokerId(*request.broker));
    }
    if (request.kind == "rebalance" && !request.broker) {
        return metadata::plan_rebalance(image);
    }
    return Error(Code::invalid_request,
                 "a plan is of kind 'rebalance', or of kind 'drain' with a broker");
}

} // namespace

RouteOutcome patch_broker(Exchange exchange) {
    const Result<BrokerId> id = broker_of(exchange.name);
    if (!id) {
        return reply_error(id.error());
    }
    const auto request = decode<AlterBrokerRequest>(exchange.request.body);
    if (!request) {
        return reply_error(request.error());
    }
    return std::make_unique<BrokerPending<metadata::CordonBroker>>(
        exchange, metadata::CordonBroker(*id, request->cordoned));
}

RouteOutcome delete_broker(Exchange exchange) {
    const Result<BrokerId> id = broker_of(exchange.name);
    if (!id) {
        return reply_error(id.error());
    }
    return std::make_unique<BrokerPending<metadata::UnregisterBroker>>(
        exchange, metadata::UnregisterBroker(*id));
}

RouteOutcome post_plan(Exchange exchange) {
    const auto request = decode<PlanRequest>(exchange.request.body);
    if (!request) {
        return reply_error(request.error());
    }
    const Result<metadata::Plan> plan = make_plan(*request, *exchange.services.image());
    if (!plan) {
        return reply_error(plan.error());
    }
    MovePlan out;
    for (const metadata::PlannedMove& move : plan->moves) {
        out.moves.push_back({move.topic, move.partition, numbers(move.from), numbers(move.to)});
    }
    out.stuck = plan->stuck;
    return reply_json(200, encode(out));
}

RouteOutcome get_reassignments(Exchange exchange) {
    ReassignmentList out;
    for (const auto& [name, topic] : exchange.services.image()->topics_by_name) {
        for (size_t i = 0; i < topic->partitions.size(); i++) {
            const metadata::PartitionImage& partition = topic->partitions[i];
            if (partition.is_reassigning()) {
                out.reassignments.push_back(
                    {name, static_cast<int32_t>(i), numbers(partition.replicas),
                     numbers(partition.adding_replicas), numbers(partition.removing_replicas)});
            }
        }
    }
    return reply_json(200, encode(out));
}

RouteOutcome post_reassignments(Exchange exchange) {
    auto request = decode<AlterReassignmentsRequest>(exchange.request.body);
    if (!request) {
        return reply_error(request.error());
    }
    return std::make_unique<ReassignPending>(exchange, *std::move(request));
}

} // namespace qtool::admin
