// ListTransactions (key 66): the transactional ids that this broker coordinates, through the
// filters of the request. Admin clients ask every broker.
#include "lib/protocol/msg/list_transactions.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::ListTransactionsRequest;
using protocol::ListTransactionsResponse;

class ListPending final : public CoordinatorFanOut {
public:
    ListPending(const Context& context, ListTransactionsRequest request)
        : CoordinatorFanOut(context, metadata::kTransactionTopic),
          request_(std::move(request)),
          self_(context.services.broker_id()) {}

private:
    void ask_all() override {
        const metadata::TopicImage* topic = image().topic(metadata::kTransactionTopic);
        for (int32_t shard = 0; shard < shard_count(); shard++) {
            if (topic->partitions[static_cast<size_t>(shard)].leader == self_) {
                ask_shard(PartitionIndex(shard), head().api_version, request_);
            }
        }
    }

    // A list that lacks a shard would pass for a whole one: then there is none, only the error.
    std::vector<port::Piece> answer() override {
        ListTransactionsResponse response;
        for (const Slot& slot : slots()) {
            if (slot.error) {
                ListTransactionsResponse failed;
                failed.error_code = coordinator_error(*slot.error);
                return make_answer(head(), failed);
            }
            auto answered = ListTransactionsResponse::decode(slot.result.body, head().api_version);
            QT_ASSERT(answered.has_value()); // encoded by this process
            if (answered->error_code != 0) {
                return make_answer(head(), *answered);
            }
            response.unknown_state_filters = std::move(answered->unknown_state_filters);
            std::move(answered->transaction_states.begin(), answered->transaction_states.end(),
                      std::back_inserter(response.transaction_states));
        }
        return make_answer(head(), response);
    }

    ListTransactionsRequest request_; // views of the frame, which FanOut keeps alive
    BrokerId self_;
};

} // namespace

Outcome handle_list_transactions(const Context& context) {
    KAFKA_DECODE(ListTransactionsRequest, request, context);
    return std::make_unique<ListPending>(context, std::move(request));
}

} // namespace qtool::kafka
