// ListGroups (key 16): the groups of all shards of this broker.
#include "lib/protocol/msg/list_groups.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::ListGroupsRequest;
using protocol::ListGroupsResponse;

class ListGroupsPending final : public CoordinatorFanOut {
public:
    ListGroupsPending(const Context& context, ListGroupsRequest request)
        : CoordinatorFanOut(context, metadata::kGroupTopic),
          request_(std::move(request)) {}

private:
    // No internal topic yet: no groups yet.
    void ask_all() override {
        for (int32_t shard = 0; shard < shard_count(); shard++) {
            ask_shard(PartitionIndex(shard), head().api_version, request_);
        }
    }

    // A shard of another broker is asked there; one that is loading makes the list incomplete,
    // which the client has to know.
    std::vector<port::Piece> answer() override {
        constexpr auto kElsewhere = static_cast<int16_t>(protocol::KafkaError::not_coordinator);
        ListGroupsResponse response;
        for (const Slot& slot : slots()) {
            if (slot.error) {
                const int16_t error = coordinator_error(*slot.error);
                response.error_code = error == kElsewhere ? response.error_code : error;
                continue;
            }
            auto decoded = ListGroupsResponse::decode(slot.result.body, head().api_version);
            QT_ASSERT(decoded); // our own coordinator encoded it
            response.groups.insert(response.groups.end(), decoded->groups.begin(),
                                   decoded->groups.end());
        }
        return make_answer(head(), response);
    }

    ListGroupsRequest request_; // views of the frame, which FanOut keeps alive
};

} // namespace

Outcome handle_list_groups(const Context& context) {
    KAFKA_DECODE(ListGroupsRequest, request, context);
    return std::make_unique<ListGroupsPending>(context, std::move(request));
}

} // namespace qtool::kafka
