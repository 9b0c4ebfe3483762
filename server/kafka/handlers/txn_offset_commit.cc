// TxnOffsetCommit (key 28): the response has no error of its own, so one is repeated on every
// partition.
#include "lib/protocol/msg/txn_offset_commit.h"

#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::TxnOffsetCommitRequest;
using protocol::TxnOffsetCommitResponse;

TxnOffsetCommitResponse make_error(const TxnOffsetCommitRequest& request, int16_t error_code) {
    TxnOffsetCommitResponse response;
    for (const auto& topic : request.topics) {
        auto& topic_out = response.topics.emplace_back();
        topic_out.name = topic.name;
        for (const auto& partition : topic.partitions) {
            topic_out.partitions.push_back({partition.partition_index, error_code});
        }
    }
    return response;
}

} // namespace

Outcome handle_txn_offset_commit(const Context& context) {
    KAFKA_DECODE(TxnOffsetCommitRequest, request, context);
    const std::string_view group_id = request.group_id;
    return std::make_unique<CoordinatorCall<TxnOffsetCommitRequest, TxnOffsetCommitResponse>>(
        context, metadata::kGroupTopic, std::move(request), group_id, make_error);
}

} // namespace qtool::kafka
