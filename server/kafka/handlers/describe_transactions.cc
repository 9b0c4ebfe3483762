// DescribeTransactions (key 65): the state of transactional ids, each told by its coordinator.
#include "lib/protocol/msg/describe_transactions.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

#include <map>

namespace qtool::kafka {

namespace {

using protocol::DescribeTransactionsRequest;
using protocol::DescribeTransactionsResponse;

class DescribePending final : public CoordinatorFanOut {
public:
    DescribePending(const Context& context, DescribeTransactionsRequest request)
        : CoordinatorFanOut(context, metadata::kTransactionTopic),
          request_(std::move(request)) {}

private:
    void ask_all() override {
        for (const std::string_view id : request_.transactional_ids) {
            by_shard_[shard_of(id)].transactional_ids.push_back(id);
        }
        for (const auto& [shard, part] : by_shard_) {
            ask_shard(shard, head().api_version, part);
        }
    }

    std::vector<port::Piece> answer() override {
        DescribeTransactionsResponse response;
        size_t next = 0;
        for (const auto& [shard, part] : by_shard_) {
            const Slot& slot = slots()[next++];
            if (!slot.error) {
                auto answered =
                    DescribeTransactionsResponse::decode(slot.result.body, head().api_version);
                QT_ASSERT(answered.has_value()); // encoded by this process
                std::move(answered->transaction_states.begin(), answered->transaction_states.end(),
                          std::back_inserter(response.transaction_states));
                continue;
            }
            for (const std::string_view id : part.transactional_ids) {
                auto& out = response.transaction_states.emplace_back();
                out.transactional_id = id;
                out.error_code = coordinator_error(*slot.error);
            }
        }
        return make_answer(head(), response);
    }

    DescribeTransactionsRequest request_; // views of the frame, which FanOut keeps alive
    std::map<PartitionIndex, DescribeTransactionsRequest> by_shard_; // in the order of slots()
};

} // namespace

Outcome handle_describe_transactions(const Context& context) {
    KAFKA_DECODE(DescribeTransactionsRequest, request, context);
    return std::make_unique<DescribePending>(context, std::move(request));
}

} // namespace qtool::kafka
