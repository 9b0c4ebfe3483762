// ConsumerGroupDescribe (key 69): each group is asked of its coordinator; the answer is in the
// order of the request.
#include "lib/protocol/msg/consumer_group_describe.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

#include <map>

namespace qtool::kafka {

namespace {

using protocol::ConsumerGroupDescribeRequest;
using protocol::ConsumerGroupDescribeResponse;

class DescribeCall final : public CoordinatorFanOut {
public:
    DescribeCall(const Context& context, ConsumerGroupDescribeRequest request)
        : CoordinatorFanOut(context, metadata::kGroupTopic),
          request_(std::move(request)) {}

private:
    void ask_all() override {
        std::map<PartitionIndex, ConsumerGroupDescribeRequest> by_shard;
        for (const std::string_view group_id : request_.group_ids) {
            by_shard[shard_of(group_id)].group_ids.push_back(group_id);
        }
        for (auto& [shard, request] : by_shard) {
            request.include_authorized_operations = request_.include_authorized_operations;
            const size_t slot = slot_by_shard_.size();
            slot_by_shard_.emplace(shard, slot);
            ask_shard(shard, head().api_version, request);
        }
    }

    std::vector<port::Piece> answer() override {
        // Views of the slots, which outlive the encoding.
        std::vector<std::optional<ConsumerGroupDescribeResponse>> described(slots().size());
        for (size_t i = 0; i < slots().size(); i++) {
            if (!slots()[i].error) {
                auto decoded = ConsumerGroupDescribeResponse::decode(slots()[i].result.body,
                                                                     head().api_version);
                QT_ASSERT(decoded); // what a shard of this process encoded
                described[i] = *std::move(decoded);
            }
        }
        ConsumerGroupDescribeResponse response;
        std::vector<size_t> next(slots().size(),
                                 0); // of each shard's groups, which keep their order
        for (const std::string_view group_id : request_.group_ids) {
            const size_t slot = slot_by_shard_.at(shard_of(group_id));
            if (described[slot]) {
                response.groups.push_back(std::move(described[slot]->groups[next[slot]++]));
                continue;
            }
            auto& group = response.groups.emplace_back();
            group.group_id = group_id;
            group.error_code = coordinator_error(*slots()[slot].error);
        }
        return make_answer(head(), response);
    }

    ConsumerGroupDescribeRequest request_; // views of the frame, which FanOut keeps alive
    std::map<PartitionIndex, size_t> slot_by_shard_;
};

} // namespace

Outcome handle_consumer_group_describe(const Context& context) {
    KAFKA_DECODE(ConsumerGroupDescribeRequest, request, context);
    return std::make_unique<DescribeCall>(context, std::move(request));
}

} // namespace qtool::kafka
