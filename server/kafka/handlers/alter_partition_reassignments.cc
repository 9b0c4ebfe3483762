// AlterPartitionReassignments (key 45): which brokers shall hold a partition, or that a change
// under way is taken back (KIP-455).
#include "lib/protocol/msg/alter_partition_reassignments.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/metadata/decide_reassign.h"

namespace qtool::kafka {

namespace {

using protocol::AlterPartitionReassignmentsRequest;
using protocol::AlterPartitionReassignmentsResponse;
using protocol::KafkaError;

class ReassignPending final : public ChangePending<metadata::AlterReassignments> {
public:
    ReassignPending(const Context& context, AlterPartitionReassignmentsRequest request)
        : ChangePending(context,
                        metadata::AlterReassignments(wishes(request),
                                                     request.allow_replication_factor_change),
                        request.timeout_ms),
          request_(std::move(request)) {}

private:
    static std::vector<metadata::Reassignment>
    wishes(const AlterPartitionReassignmentsRequest& request) {
        std::vector<metadata::Reassignment> wishes;
        for (const auto& topic : request.topics) {
            for (const auto& partition : topic.partitions) {
                metadata::Reassignment& wish = wishes.emplace_back();
                wish.topic = topic.name;
                wish.partition = partition.partition_index;
                if (partition.replicas) {
                    wish.replicas.emplace();
                    for (const int32_t broker : *partition.replicas) {
                        wish.replicas->emplace_back(broker);
                    }
                }
            }
        }
        return wishes;
    }

    Answer answer(request::Services&) override {
        AlterPartitionReassignmentsResponse response;
        response.allow_replication_factor_change = request_.allow_replication_factor_change;
        response.error_message.reset();
        size_t next = 0;
        for (const auto& topic : request_.topics) {
            auto& out_topic = response.responses.emplace_back();
            out_topic.name = topic.name;
            for (const auto& partition : topic.partitions) {
                auto& out = out_topic.partitions.emplace_back();
                out.partition_index = partition.partition_index;
                const std::optional<Error>& error = operation_.results()[next++];
                fill_error(error ? &*error : nullptr, out);
                if (error && error->code == Code::resource_not_found) {
                    out.error_code = static_cast<int16_t>(KafkaError::no_reassignment_in_progress);
                }
            }
        }
        return Answer{make_answer(head(), response)};
    }

    AlterPartitionReassignmentsRequest request_;
};

} // namespace

Outcome handle_alter_partition_reassignments(const Context& context) {
    KAFKA_DECODE(AlterPartitionReassignmentsRequest, request, context);
    return std::make_unique<ReassignPending>(context, std::move(request));
}

} // namespace qtool::kafka
