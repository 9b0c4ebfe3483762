// What tests of offsets say often: commit, fetch, delete. Topic "t" has two partitions.
#pragma once

#include "lib/protocol/msg/delete_groups.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/txn_offset_commit.h"

#include "classic_world.h"

namespace qtool::test {

struct CommitText {
    std::string group_id = "g";
    int32_t generation = -1;
    std::string member_id = {};
    std::string topic = "t";
    int32_t partition = 0;
    int64_t offset = 5;
    std::string metadata = "m";
    int64_t retention_ms = -1;
    std::optional<std::string> instance_id = {};
};

class OffsetWorld : public ClassicWorld {
public:
    OffsetWorld() { add_topic("t", 2); }

    int16_t commit(const CommitText& text, int16_t version = 9) {
        protocol::OffsetCommitRequest request;
        request.group_id = text.group_id;
        request.generation_id_or_member_epoch = text.generation;
        request.member_id = text.member_id;
        request.retention_time_ms = text.retention_ms;
        if (text.instance_id) {
            request.group_instance_id = *text.instance_id;
        }
        auto& topic = request.topics.emplace_back();
        topic.name = text.topic;
        if (const auto* image = host.image_now.topic(text.topic); image != nullptr) {
            topic.topic_id = image->id;
        }
        topic.partitions.push_back({text.partition, text.offset, 3, text.metadata});
        const auto response = call<protocol::OffsetCommitResponse>(request, version);
        return response.topics[0].partitions[0].error_code;
    }
    int16_t commit_in_transaction(int64_t producer_id, const CommitText& text) {
        protocol::TxnOffsetCommitRequest request;
        request.transactional_id = "x";
        request.group_id = text.group_id;
        request.producer_id = producer_id;
        request.generation_id = text.generation;
        request.member_id = text.member_id;
        auto& topic = request.topics.emplace_back();
        topic.name = text.topic;
        topic.partitions.push_back({text.partition, text.offset, 3, text.metadata});
        const auto response = call<protocol::TxnOffsetCommitResponse>(request, 4);
        return response.topics[0].partitions[0].error_code;
    }
    /// Partition 0 of t, of one group.
    protocol::OffsetFetchResponse::OffsetFetchResponsePartitions
    fetch(const std::string& group_id = "g", bool require_stable = false) {
        protocol::OffsetFetchRequest request;
        request.require_stable = require_stable;
        auto& group = request.groups.emplace_back();
        group.group_id = group_id;
        group.topics->push_back({"t", {}, {0}});
        return call<protocol::OffsetFetchResponse>(request, 9).groups[0].topics[0].partitions[0];
    }
    int16_t delete_group(const std::string& id) {
        protocol::DeleteGroupsRequest request;
        request.groups_names = {id};
        return call<protocol::DeleteGroupsResponse>(request, 2).results[0].error_code;
    }
};

} // namespace qtool::test
