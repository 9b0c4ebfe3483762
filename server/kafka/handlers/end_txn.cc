// EndTxn (key 26): commits or aborts the transaction of a transactional id.
#include "lib/protocol/msg/end_txn.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::EndTxnRequest;
using protocol::EndTxnResponse;

EndTxnResponse make_error(const EndTxnRequest&, int16_t code) {
    EndTxnResponse response;
    response.error_code = code;
    return response;
}

} // namespace

Outcome handle_end_txn(const Context& context) {
    KAFKA_DECODE(EndTxnRequest, request, context);
    const std::string_view id = request.transactional_id;
    return std::make_unique<CoordinatorCall<EndTxnRequest, EndTxnResponse>>(
        context, metadata::kTransactionTopic, std::move(request), id, make_error);
}

} // namespace qtool::kafka
