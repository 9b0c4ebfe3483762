// TxnOffsetCommit (key 28): offsets of a transaction. They are in the log at once and count from
// the commit marker on; see OffsetStore.
#include "lib/protocol/msg/txn_offset_commit.h"

#include "lib/base/assert.h"
#include "server/group/offset_commit.h"
#include "server/group/requests.h"

namespace qtool::group {

using protocol::TxnOffsetCommitRequest;
using protocol::TxnOffsetCommitResponse;

void serve_txn_offset_commit(ShardState& state, const coordinator::Request& from,
                             coordinator::Host& host) {
    const auto request = TxnOffsetCommitRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    Commit commit;
    commit.group_id = request->group_id;
    commit.who.member_id = request->member_id;
    commit.who.instance_id = request->group_instance_id;
    commit.who.generation_or_epoch = request->generation_id;
    commit.who.api_version = from.api_version;
    commit.who.is_transactional = true;
    commit.producer_id = ProducerId(request->producer_id);
    commit.producer_epoch = ProducerEpoch(request->producer_epoch);
    const bool has_producer = request->producer_id >= 0 && request->producer_epoch >= 0;
    for (const auto& topic : request->topics) {
        const metadata::TopicImage* image = host.image().topic(topic.name);
        for (const auto& partition : topic.partitions) {
            CommitItem& item = commit.items.emplace_back(make_item(topic.name, partition));
            check_partition(item, image, KafkaError::unknown_topic_or_partition);
            if (!has_producer) { // without one there is no transaction that could end
                item.error = KafkaError::invalid_producer_id_mapping;
            }
        }
    }
    commit_offsets(state, commit, host);

    TxnOffsetCommitResponse response;
    auto item = commit.items.begin();
    for (const auto& topic : request->topics) {
        auto& topic_out = response.topics.emplace_back();
        topic_out.name = topic.name;
        for (const auto& partition : topic.partitions) {
            topic_out.partitions.push_back(
                {partition.partition_index, static_cast<int16_t>((item++)->error)});
        }
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
