// DeleteRecords (key 21): moves the log start offset of each partition up. The partition answers
// when all live replicas have done so (KIP-107), at once when there is one; it waits timeout_ms for
// them, or the records are gone here and the answer is REQUEST_TIMED_OUT.
#include "lib/protocol/msg/delete_records.h"

#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/partition_fan_out.h"

#include <algorithm>

namespace qtool::kafka {

namespace {

using protocol::DeleteRecordsRequest;
using protocol::DeleteRecordsResponse;

constexpr int32_t kTimeoutMaxMs = 15 * 60 * 1000; // how long it may wait, whatever is asked

class DeleteRecordsPending final : public FanOut<replica::DeleteRecordsResult> {
public:
    DeleteRecordsPending(const Context& context, DeleteRecordsRequest request)
        : FanOut(context),
          request_(std::move(request)),
          deadline_(context.services.now() +
                    std::chrono::milliseconds(std::clamp(request_.timeout_ms, 0, kTimeoutMaxMs))) {}

private:
    void ask_all() override {
        for (const auto& request_topic : request_.topics) {
            const metadata::TopicImage* topic = image().topic(request_topic.name);
            for (const auto& partition : request_topic.partitions) {
                if (topic != nullptr && topic->is_internal()) {
                    refuse(Error(Code::invalid_topic_name));
                    continue;
                }
                // Of a topic that is compacted alone no record goes but for a later one.
                if (topic != nullptr && !topic->effective.cleanup_delete) {
                    refuse(Error(Code::policy_violation));
                    continue;
                }
                ask(request_topic.name, partition.partition_index, kNoLeaderEpoch,
                    replica::DeleteRecordsOp{Offset(partition.offset), deadline_});
            }
        }
    }

    std::vector<port::Piece> answer() override {
        DeleteRecordsResponse response;
        fill(request_.topics, response.topics, [](const auto&, const Slot& slot, auto& out) {
            out.error_code = slot.error ? error_code(slot.error->code) : int16_t{0};
            out.low_watermark = slot.error ? -1 : slot.result.low_watermark.value();
        });
        return make_answer(head(), response);
    }

    DeleteRecordsRequest request_;
    MonoTime deadline_;
};

} // namespace

Outcome handle_delete_records(const Context& context) {
    KAFKA_DECODE(DeleteRecordsRequest, request, context);
    return std::make_unique<DeleteRecordsPending>(context, std::move(request));
}

} // namespace qtool::kafka
