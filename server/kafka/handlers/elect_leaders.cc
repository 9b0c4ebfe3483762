// ElectLeaders (key 43): preferred leaders get their partitions back, or, unclean, any live replica
// leads and records may be lost (KIP-183, KIP-460).
#include "lib/protocol/msg/elect_leaders.h"

#include "lib/base/assert.h"
#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/metadata/decide_reassign.h"

namespace qtool::kafka {

namespace {

using metadata::ElectionKind;
using metadata::ElectOutcome;
using protocol::ElectLeadersRequest;
using protocol::ElectLeadersResponse;
using protocol::KafkaError;

constexpr int8_t kPreferred = 0;
constexpr int8_t kUnclean = 1;
constexpr int16_t kErrorVersionMin = 1;

struct Said {
    KafkaError error = KafkaError::none;
    std::string_view message;
};

Said say(ElectOutcome what) {
    switch (what) {
    case ElectOutcome::elected:
        return {};
    case ElectOutcome::not_needed:
        return {KafkaError::election_not_needed, "the partition has the leader already"};
    case ElectOutcome::unknown_partition:
        return {KafkaError::unknown_topic_or_partition, "there is no such partition"};
    case ElectOutcome::preferred_not_available:
        return {KafkaError::preferred_leader_not_available,
                "the preferred leader is not live or not in sync"};
    case ElectOutcome::none_eligible:
        return {KafkaError::eligible_leaders_not_available, "no replica is live"};
    case ElectOutcome::unfinished:
        break; // the operation's own error says why
    }
    QT_UNREACHABLE();
}

class ElectLeadersPending final : public ChangePending<metadata::ElectLeaders> {
public:
    ElectLeadersPending(const Context& context, const ElectLeadersRequest& request)
        : ChangePending(context,
                        metadata::ElectLeaders(request.election_type == kUnclean
                                                   ? ElectionKind::unclean
                                                   : ElectionKind::preferred,
                                               wishes(request)),
                        request.timeout_ms) {}

private:
    static std::optional<std::vector<metadata::ElectionWish>>
    wishes(const ElectLeadersRequest& request) {
        if (!request.topic_partitions) {
            return std::nullopt;
        }
        std::vector<metadata::ElectionWish> wishes;
        for (const auto& topic : *request.topic_partitions) {
            for (const int32_t partition : topic.partitions) {
                wishes.push_back({std::string(topic.topic), partition});
            }
        }
        return wishes;
    }

    Answer answer(request::Services&) override {
        ElectLeadersResponse response;
        const std::optional<Error>& error = operation_.error();
        if (error && head().api_version >= kErrorVersionMin) {
            response.error_code = error_code(error->code);
        }
        for (const metadata::ElectLeaders::Outcome& item : operation_.results()) {
            if (response.replica_election_results.empty() ||
                response.replica_election_results.back().topic != item.topic) {
                response.replica_election_results.emplace_back().topic = item.topic;
            }
            auto& out = response.replica_election_results.back().partition_result.emplace_back();
            out.partition_id = item.partition;
            if (item.what == ElectOutcome::unfinished) {
                QT_ASSERT(error.has_value());
                fill_error(&*error, out);
                continue;
            }
            const Said said = say(item.what);
            out.error_code = static_cast<int16_t>(said.error);
            out.error_message.reset();
            if (said.error != KafkaError::none) {
                out.error_message = said.message;
            }
        }
        return Answer{make_answer(head(), response)};
    }
};

} // namespace

Outcome handle_elect_leaders(const Context& context) {
    KAFKA_DECODE(ElectLeadersRequest, request, context);
    if (request.election_type != kPreferred && request.election_type != kUnclean) {
        ElectLeadersResponse response;
        if (context.head.api_version >= kErrorVersionMin) {
            response.error_code = error_code(Code::invalid_request);
        }
        return Answer{make_answer(context.head, response)};
    }
    return std::make_unique<ElectLeadersPending>(context, request);
}

} // namespace qtool::kafka
