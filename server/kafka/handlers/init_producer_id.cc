// InitProducerId (key 22): a new producer id, epoch 0, for an idempotent producer. Ids come from
// the core's block; an empty one is refilled by a metadata change.
//
// Transactions are not served yet. A transactional id is answered with UNSUPPORTED_VERSION, as
// Kafka does for features that are off: producers take it as fatal at once, while the coordinator's
// errors (NOT_COORDINATOR, COORDINATOR_NOT_AVAILABLE) would have them retry for ever.
#include "lib/protocol/msg/init_producer_id.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/metadata/decide_ids.h"

namespace qtool::kafka {

namespace {

using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;

constexpr int32_t kRefillTimeoutMs = 30'000; // the request has no timeout; clients wait about this

Answer answer_error(const ReplyHead& head, Code code) {
    InitProducerIdResponse response;
    response.error_code = error_code(code);
    response.producer_id = kNoProducerId.value();
    response.producer_epoch = kNoProducerEpoch.value();
    return Answer{make_answer(head, response), true};
}

Answer answer_id(const ReplyHead& head, int64_t id) {
    InitProducerIdResponse response;
    response.producer_id = id;
    response.producer_epoch = 0;
    return Answer{make_answer(head, response), false};
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
        return answer_error(context.head, Code::unsupported_version);
    }
    request::ProducerIdBlock& block = context.services.producer_ids();
    if (block.next < block.end) {
        return answer_id(context.head, block.next++);
    }
    return std::make_unique<RefillPending>(context);
}

} // namespace qtool::kafka
