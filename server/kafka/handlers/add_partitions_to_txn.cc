// AddPartitionsToTxn (key 24): brings partitions into a transaction. Up to version 3 a producer
// names one transactional id; from version 4 on leaders ask for several at once, also to verify
// only, and each id goes to its shard.
#include "lib/protocol/msg/add_partitions_to_txn.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

#include <map>

namespace qtool::kafka {

namespace {

using protocol::AddPartitionsToTxnRequest;
using protocol::AddPartitionsToTxnResponse;

constexpr int16_t kBatchedVersionMin = 4;

std::vector<AddPartitionsToTxnResponse::AddPartitionsToTxnTopicResult>
make_errors(const std::vector<AddPartitionsToTxnRequest::AddPartitionsToTxnTopic>& topics,
            int16_t code) {
    std::vector<AddPartitionsToTxnResponse::AddPartitionsToTxnTopicResult> results;
    for (const auto& topic : topics) {
        auto& out = results.emplace_back();
        out.name = topic.name;
        for (const int32_t index : topic.partitions) {
            out.results_by_partition.push_back({index, code});
        }
    }
    return results;
}

AddPartitionsToTxnResponse make_error(const AddPartitionsToTxnRequest& request, int16_t code) {
    AddPartitionsToTxnResponse response;
    response.results_by_topic_v3_and_below = make_errors(request.v3_and_below_topics, code);
    return response;
}

class BatchedPending final : public CoordinatorFanOut {
public:
    BatchedPending(const Context& context, AddPartitionsToTxnRequest request)
        : CoordinatorFanOut(context, metadata::kTransactionTopic),
          request_(std::move(request)) {}

private:
    void ask_all() override {
        for (const auto& transaction : request_.transactions) {
            by_shard_[shard_of(transaction.transactional_id)].transactions.push_back(transaction);
        }
        for (const auto& [shard, part] : by_shard_) {
            ask_shard(shard, head().api_version, part);
        }
    }

    std::vector<port::Piece> answer() override {
        AddPartitionsToTxnResponse response;
        size_t next = 0;
        for (const auto& [shard, part] : by_shard_) {
            const Slot& slot = slots()[next++];
            if (!slot.error) {
                auto answered =
                    AddPartitionsToTxnResponse::decode(slot.result.body, head().api_version);
                QT_ASSERT(answered.has_value()); // encoded by this process
                std::move(answered->results_by_transaction.begin(),
                          answered->results_by_transaction.end(),
                          std::back_inserter(response.results_by_transaction));
                continue;
            }
            for (const auto& transaction : part.transactions) {
                response.results_by_transaction.push_back(
                    {transaction.transactional_id,
                     make_errors(transaction.topics, coordinator_error(*slot.error))});
            }
        }
        return make_answer(head(), response);
    }

    AddPartitionsToTxnRequest request_; // views of the frame, which FanOut keeps alive
    std::map<PartitionIndex, AddPartitionsToTxnRequest> by_shard_; // in the order of slots()
};

} // namespace

Outcome handle_add_partitions_to_txn(const Context& context) {
    KAFKA_DECODE(AddPartitionsToTxnRequest, request, context);
    if (context.head.api_version >= kBatchedVersionMin) {
        return std::make_unique<BatchedPending>(context, std::move(request));
    }
    const std::string_view id = request.v3_and_below_transactional_id;
    return std::make_unique<CoordinatorCall<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>>(
        context, metadata::kTransactionTopic, std::move(request), id, make_error);
}

} // namespace qtool::kafka
