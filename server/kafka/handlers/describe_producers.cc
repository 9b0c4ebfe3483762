// DescribeProducers (key 61): whom each partition knows, and their open transactions (KIP-664).
#include "lib/protocol/msg/describe_producers.h"

#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/partition_fan_out.h"

namespace qtool::kafka {

namespace {

using protocol::DescribeProducersRequest;
using protocol::DescribeProducersResponse;

class DescribeProducersPending final : public FanOut<replica::ProducersResult> {
public:
    DescribeProducersPending(const Context& context, DescribeProducersRequest request)
        : FanOut(context),
          request_(std::move(request)) {}

private:
    void ask_all() override {
        for (const auto& topic : request_.topics) {
            for (const int32_t index : topic.partition_indexes) {
                ask(topic.name, index, kNoLeaderEpoch, replica::ProducersOp{});
            }
        }
    }

    std::vector<port::Piece> answer() override {
        DescribeProducersResponse response;
        size_t next = 0;
        for (const auto& topic : request_.topics) {
            auto& topic_out = response.topics.emplace_back();
            topic_out.name = topic.name;
            for (const int32_t index : topic.partition_indexes) {
                const Slot& slot = slots()[next++];
                auto& out = topic_out.partitions.emplace_back();
                out.partition_index = index;
                if (slot.error) {
                    out.error_code = error_code(slot.error->code);
                    if (!slot.error->detail.empty()) {
                        out.error_message = slot.error->detail;
                    }
                    continue;
                }
                for (const replica::ProducersResult::Producer& known : slot.result.producers) {
                    auto& producer = out.active_producers.emplace_back();
                    producer.producer_id = known.id.value();
                    producer.producer_epoch = known.epoch.value();
                    producer.last_sequence = known.last_sequence;
                    producer.last_timestamp = known.last_timestamp_ms;
                    producer.coordinator_epoch = known.coordinator_epoch;
                    producer.current_txn_start_offset = known.transaction_start_offset.value();
                }
            }
        }
        return make_answer(head(), response);
    }

    DescribeProducersRequest request_;
};

} // namespace

Outcome handle_describe_producers(const Context& context) {
    KAFKA_DECODE(DescribeProducersRequest, request, context);
    return std::make_unique<DescribeProducersPending>(context, std::move(request));
}

} // namespace qtool::kafka
