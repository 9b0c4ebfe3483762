// UnregisterBroker (key 64): a broker that is gone for good is forgotten (KIP-631).
#include "lib/protocol/msg/unregister_broker.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/metadata/decide_brokers.h"

namespace qtool::kafka {

namespace {

using protocol::KafkaError;
using protocol::UnregisterBrokerRequest;
using protocol::UnregisterBrokerResponse;

constexpr int32_t kTimeoutMs = 30'000; // the request has none of its own

class UnregisterPending final : public ChangePending<metadata::UnregisterBroker> {
public:
    UnregisterPending(const Context& context, BrokerId id)
        : ChangePending(context, metadata::UnregisterBroker(id), kTimeoutMs) {}

private:
    Answer answer(request::Services&) override {
        UnregisterBrokerResponse response;
        const Result<void>& outcome = operation_.outcome();
        fill_error(outcome ? nullptr : &outcome.error(), response);
        if (!outcome && outcome.error().code == Code::resource_not_found) {
            response.error_code = static_cast<int16_t>(KafkaError::broker_id_not_registered);
        }
        return Answer{make_answer(head(), response)};
    }
};

} // namespace

Outcome handle_unregister_broker(const Context& context) {
    KAFKA_DECODE(UnregisterBrokerRequest, request, context);
    return std::make_unique<UnregisterPending>(context, BrokerId(request.broker_id));
}

} // namespace qtool::kafka
