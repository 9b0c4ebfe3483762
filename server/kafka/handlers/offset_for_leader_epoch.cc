// OffsetForLeaderEpoch (key 23): where a leader epoch ended in each partition's log, so that a
// consumer finds out whether what it read was cut off (KIP-320).
#include "lib/protocol/msg/offset_for_leader_epoch.h"

#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/partition_fan_out.h"

namespace qtool::kafka {

namespace {

using protocol::OffsetForLeaderEpochRequest;
using protocol::OffsetForLeaderEpochResponse;

class OffsetForLeaderEpochPending final : public FanOut<replica::EpochEndResult> {
public:
    OffsetForLeaderEpochPending(const Context& context, OffsetForLeaderEpochRequest request)
        : FanOut(context),
          request_(std::move(request)) {}

private:
    void ask_all() override {
        for (const auto& topic : request_.topics) {
            for (const auto& partition : topic.partitions) {
                ask(topic.topic, partition.partition, LeaderEpoch(partition.current_leader_epoch),
                    replica::EpochEndOp{LeaderEpoch(partition.leader_epoch)});
            }
        }
    }

    std::vector<port::Piece> answer() override {
        OffsetForLeaderEpochResponse response;
        size_t next = 0;
        for (const auto& topic : request_.topics) {
            auto& topic_out = response.topics.emplace_back();
            topic_out.topic = topic.topic;
            for (const auto& partition : topic.partitions) {
                const Slot& slot = slots()[next++];
                auto& out = topic_out.partitions.emplace_back();
                out.partition = partition.partition;
                if (slot.error) {
                    out.error_code = error_code(slot.error->code);
                    continue; // epoch and offset stay -1
                }
                out.leader_epoch = slot.result.epoch.value();
                out.end_offset = slot.result.end_offset.value();
            }
        }
        return make_answer(head(), response);
    }

    OffsetForLeaderEpochRequest request_;
};

} // namespace

Outcome handle_offset_for_leader_epoch(const Context& context) {
    KAFKA_DECODE(OffsetForLeaderEpochRequest, request, context);
    return std::make_unique<OffsetForLeaderEpochPending>(context, std::move(request));
}

} // namespace qtool::kafka
