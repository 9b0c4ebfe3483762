// What OffsetCommit and TxnOffsetCommit share: the rules of a commit, and its records.
#pragma once

#include "server/group/shard_state.h"

#include <optional>
#include <string_view>
#include <vector>

namespace qtool::group {

/// One partition of a commit. Views into the request.
struct CommitItem {
    std::string_view topic;
    TopicId topic_id; // zero: no such topic now
    int32_t partition = 0;
    int64_t offset = -1;
    int32_t leader_epoch = -1;
    std::string_view metadata;
    KafkaError error = KafkaError::none; // the result; set already: this partition is not written
};

struct Commit {
    std::string_view group_id;
    CommitCheck who;                        // partitions are filled in by commit_offsets
    int64_t retention_ms = -1;              // -1: the broker's
    ProducerId producer_id = kNoProducerId; // of a transaction, else none
    ProducerEpoch producer_epoch = kNoProducerEpoch;
    std::vector<CommitItem> items;
};

/// A partition as either request has it.
template <class RequestPartition>
CommitItem make_item(std::string_view topic, const RequestPartition& partition) {
    CommitItem item;
    item.topic = topic;
    item.partition = partition.partition_index;
    item.offset = partition.committed_offset;
    item.leader_epoch = partition.committed_leader_epoch;
    item.metadata = partition.committed_metadata.value_or("");
    return item;
}

/// Fills the error of a partition that is not there, or the id of its topic.
void check_partition(CommitItem& item, const metadata::TopicImage* topic, KafkaError if_unknown);

/// Checks and writes what has no error yet; the results stand in commit.items.
void commit_offsets(ShardState& state, Commit& commit, coordinator::Host& host);

} // namespace qtool::group
