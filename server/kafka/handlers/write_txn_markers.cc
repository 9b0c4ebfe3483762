// WriteTxnMarkers (key 27): ends transactions in the partitions named. Of another broker's
// transaction coordinator, or of an operator who ends a hanging transaction; what this broker's own
// coordinator writes does not come through here. There are no ACLs to ask yet.
#include "lib/protocol/msg/write_txn_markers.h"

#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/partition_fan_out.h"

namespace qtool::kafka {

namespace {

using protocol::WriteTxnMarkersRequest;
using protocol::WriteTxnMarkersResponse;

constexpr Duration kWaitMax = 30s; // the request has no timeout; as Kafka's request.timeout.ms

class WriteTxnMarkersPending final : public FanOut<replica::WriteMarkerResult> {
public:
    WriteTxnMarkersPending(const Context& context, WriteTxnMarkersRequest request)
        : FanOut(context),
          request_(std::move(request)),
          deadline_(context.head.received_at + kWaitMax) {}

private:
    void ask_all() override {
        for (const auto& marker : request_.markers) {
            replica::WriteMarkerOp op;
            op.marker.type = marker.transaction_result ? protocol::ControlType::commit
                                                       : protocol::ControlType::abort;
            op.marker.producer_id = ProducerId(marker.producer_id);
            op.marker.producer_epoch = ProducerEpoch(marker.producer_epoch);
            op.marker.coordinator_epoch = marker.coordinator_epoch;
            op.transaction_version = marker.transaction_version;
            op.deadline = deadline_;
            const bool is_valid = marker.producer_id >= 0 && marker.producer_epoch >= 0;
            for (const auto& topic : marker.topics) {
                for (const int32_t index : topic.partition_indexes) {
                    if (is_valid) {
                        ask(topic.name, index, kNoLeaderEpoch, op);
                    } else {
                        refuse(Error(Code::invalid_request));
                    }
                }
            }
        }
    }

    std::vector<port::Piece> answer() override {
        WriteTxnMarkersResponse response;
        size_t next = 0;
        for (const auto& marker : request_.markers) {
            auto& marker_out = response.markers.emplace_back();
            marker_out.producer_id = marker.producer_id;
            for (const auto& topic : marker.topics) {
                auto& topic_out = marker_out.topics.emplace_back();
                topic_out.name = topic.name;
                for (const int32_t index : topic.partition_indexes) {
                    const Slot& slot = slots()[next++];
                    auto& out = topic_out.partitions.emplace_back();
                    out.partition_index = index;
                    out.error_code = slot.error ? error_code(slot.error->code) : int16_t{0};
                }
            }
        }
        return make_answer(head(), response);
    }

    WriteTxnMarkersRequest request_;
    MonoTime deadline_;
};

} // namespace

Outcome handle_write_txn_markers(const Context& context) {
    KAFKA_DECODE(WriteTxnMarkersRequest, request, context);
    return std::make_unique<WriteTxnMarkersPending>(context, std::move(request));
}

} // namespace qtool::kafka
