// OffsetStore: the committed offsets of a shard's groups, and those that transactions have written
// but not ended. Changed by replay alone. Lives in a GroupShard.
//
// A transaction's offsets are pending until its marker: commit applies each unless a later record
// of the same partition is there already, abort drops them.
#pragma once

#include "lib/base/ids.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace qtool::group {

struct CommittedOffset {
    Offset position = kNoOffset; // of the record in the shard's log: later ones win
    int64_t offset = -1;
    int32_t leader_epoch = -1;
    std::string metadata;
    int64_t commit_ms = -1;
    int64_t expire_ms = -1; // -1: by the retention of the broker
    TopicId topic_id;       // zero: the record has none
};

using PartitionOffsets = std::map<int32_t, CommittedOffset>;
using TopicOffsets = std::map<std::string, PartitionOffsets, std::less<>>;

class OffsetStore {
public:
    /// A commit; with `producer_id` it is pending.
    void put(std::string_view group, std::string_view topic, int32_t partition,
             CommittedOffset offset, ProducerId producer_id);
    /// A tombstone: the offset and whatever is pending for it.
    void erase(std::string_view group, std::string_view topic, int32_t partition);
    void end_transaction(ProducerId producer_id, bool is_commit);

    /// nullptr: nothing committed. Valid until the next change.
    [[nodiscard]] const CommittedOffset* find(std::string_view group, std::string_view topic,
                                              int32_t partition) const;
    /// All of a group; nullptr: none.
    [[nodiscard]] const TopicOffsets* find_group(std::string_view group) const;
    [[nodiscard]] bool has_pending(std::string_view group, std::string_view topic,
                                   int32_t partition) const;
    [[nodiscard]] bool has_pending(std::string_view group) const;
    /// Committed and pending ones.
    [[nodiscard]] size_t size() const { return size_; }

    using Groups = std::map<std::string, TopicOffsets, std::less<>>;
    [[nodiscard]] const Groups& groups() const { return committed_; }
    /// Which producers have pending offsets, by group, topic and partition.
    using OpenPartitions = std::map<int32_t, std::set<ProducerId>>;
    using OpenTopics = std::map<std::string, OpenPartitions, std::less<>>;
    using OpenGroups = std::map<std::string, OpenTopics, std::less<>>;
    [[nodiscard]] const OpenGroups& open() const { return open_; }

private:
    void put_committed(std::string_view group, std::string_view topic, int32_t partition,
                       CommittedOffset offset);

    Groups committed_;                     // no empty maps inside
    std::map<ProducerId, Groups> pending_; // no empty maps inside
    OpenGroups open_;                      // index of pending_, same content
    size_t size_ = 0;
};

} // namespace qtool::group
