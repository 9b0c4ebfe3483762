// AddOffsetsToTxn (key 25): brings the __consumer_offsets partition of a group into a transaction.
// Clients send it before they look for the group's coordinator, so it makes that topic as
// FindCoordinator does; the client then asks again.
#include "lib/protocol/msg/add_offsets_to_txn.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/internal_topic.h"

namespace qtool::kafka {

namespace {

using protocol::AddOffsetsToTxnRequest;
using protocol::AddOffsetsToTxnResponse;

AddOffsetsToTxnResponse make_error(const AddOffsetsToTxnRequest&, int16_t code) {
    AddOffsetsToTxnResponse response;
    response.error_code = code;
    return response;
}

class CreateOffsetsPending final : public ChangePending<metadata::CreateTopics> {
public:
    explicit CreateOffsetsPending(const Context& context)
        : ChangePending(
              context,
              metadata::CreateTopics({new_internal_topic(metadata::kGroupTopic, context.services)},
                                     false, context.services.config()),
              kInternalTopicTimeoutMs) {}

private:
    Answer answer(request::Services&) override {
        return Answer{
            make_answer(head(), make_error({}, error_code(Code::coordinator_not_available)))};
    }
};

} // namespace

Outcome handle_add_offsets_to_txn(const Context& context) {
    KAFKA_DECODE(AddOffsetsToTxnRequest, request, context);
    if (context.services.image()->topic(metadata::kGroupTopic) == nullptr) {
        return std::make_unique<CreateOffsetsPending>(context);
    }
    const std::string_view id = request.transactional_id;
    return std::make_unique<CoordinatorCall<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>>(
        context, metadata::kTransactionTopic, std::move(request), id, make_error);
}

} // namespace qtool::kafka
