// InitProducerId (key 22): who a producer is. Without a transactional id a new producer id, epoch
// 0, for an idempotent producer: ids come from the core's block, and an empty one is refilled by a
// metadata change. With one, the transaction coordinator decides.
#include "lib/protocol/msg/init_producer_id.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"
#include "server/metadata/decide_ids.h"

namespace qtool::kafka {

namespace {

using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;

constexpr int32_t kRefillTimeoutMs = 30'000; // the request has no timeout; clients wait about this

InitProducerIdResponse make_error(const InitProducerIdRequest&, int16_t code) {
    InitProducerIdResponse response;
    response.error_code = code;
    response.producer_id = kNoProducerId.value();
    response.producer_epoch = kNoProducerEpoch.value();
    return response;
}

Answer answer_error(const ReplyHead& head, Code code) {
    return Answer{make_answer(head, make_error({}, error_code(code)))};
}

Answer answer_id(const ReplyHead& head, int64_t id) {
    InitProducerIdResponse response;
    response.producer_id = id;
    response.producer_epoch = 0;
    return Answer{make_answer(head, response)};
}

class RefillPending final : public ChangePending<metadata::AllocateProducerIds> {
public:
    explicit RefillPending(const Context& context)
        : ChangePending(context, metadata::AllocateProducerIds(), kRefillTimeoutMs) {}

private:
    // Requests that met the empty block at the same time each allocate one. The first to return
    // leaves the rest of its block to the core; the others use one id of theirs and drop the rest,
    // which costs 1,000 of 2^63 ids.
    Answer answer(request::Services& services) override {
        const Result<int64_t> first = operation_.outcome();
        if (!first) {
            return answer_error(head(), first.error().code);
        }
        request::ProducerIdBlock& block = services.producer_ids();
        if (block.next == block.end) {
            block.next = *first + 1;
            block.end = *first + metadata::kProducerIdBlockSize;
        }
        return answer_id(head(), *first);
    }
};

} // namespace

Outcome handle_init_producer_id(const Context& context) {
    KAFKA_DECODE(InitProducerIdRequest, request, context);
    const bool half_given = (request.producer_id == kNoProducerId.value()) !=
                            (request.producer_epoch == kNoProducerEpoch.value());
    if (half_given || (request.transactional_id && request.transactional_id->empty())) {
        return answer_error(context.head, Code::invalid_request);
    }
    if (request.transactional_id) {
        const std::string_view id = *request.transactional_id;
        return std::make_unique<CoordinatorCall<InitProducerIdRequest, InitProducerIdResponse>>(
            context, metadata::kTransactionTopic, std::move(request), id, make_error);
    }
    request::ProducerIdBlock& block = context.services.producer_ids();
    if (block.next < block.end) {
        return answer_id(context.head, block.next++);
    }
    return std::make_unique<RefillPending>(context);
}

} // namespace qtool::kafka
