// Group: what all kinds of groups have in common for those who only look at them: the offsets, the
// lists, deletion. Each kind keeps its members and rules in its own class and files.
#pragma once

#include "lib/base/ids.h"
#include "lib/protocol/kafka_error.h"
#include "server/coordinator/machine.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qtool::group {

using protocol::KafkaError;

enum class GroupKind : uint8_t { classic, consumer };

/// "classic", "consumer", as ListGroups says.
std::string_view to_string(GroupKind kind) noexcept;

/// One partition of a commit. Views into the request.
struct CommitPartition {
    std::string_view topic;
    TopicId topic_id; // zero: the topic does not exist
    int32_t partition = 0;
};

/// Who commits, as the request says.
struct CommitCheck {
    std::string_view member_id;
    std::optional<std::string_view> instance_id;
    int32_t generation_or_epoch = -1;
    int16_t api_version = 0;
    bool is_transactional = false;
    std::span<const CommitPartition> partitions; // all of the request
};

/// Which offsets of a group may expire, and since when the retention counts.
struct ExpiryRule {
    enum class Since : uint8_t { commit, group_empty };
    Since since = Since::commit;
    int64_t group_empty_ms = -1;    // with group_empty
    bool spares_subscribed = false; // offsets of topics that is_subscribed() stay
};

class Group {
public:
    Group(GroupKind kind, std::string id) : kind_(kind), id_(std::move(id)) {}
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;
    virtual ~Group() = default;

    [[nodiscard]] GroupKind kind() const { return kind_; }
    [[nodiscard]] const std::string& id() const { return id_; }

    /// As ListGroups and DescribeGroups write it: "Stable".
    [[nodiscard]] virtual std::string_view state_name() const = 0;
    /// "consumer"; empty: none, a group of committed offsets alone.
    [[nodiscard]] virtual std::string_view protocol_type() const = 0;
    /// No members, and none on their way in: may be deleted, or become another kind.
    [[nodiscard]] virtual bool is_empty() const = 0;
    [[nodiscard]] virtual size_t member_count() const = 0;

    /// none, or what every partition of the commit is answered.
    [[nodiscard]] virtual KafkaError check_commit(const CommitCheck& check) const = 0;
    /// The group's error of an OffsetFetch; `member_epoch` -1 and no member: not given.
    [[nodiscard]] virtual KafkaError check_fetch(const std::optional<std::string_view>& member_id,
                                                 int32_t member_epoch) const = 0;
    /// none, or the top-level error of an OffsetDelete.
    [[nodiscard]] virtual KafkaError check_offset_delete() const = 0;
    [[nodiscard]] virtual bool is_subscribed(std::string_view topic) const = 0;
    /// Nothing: no offset of the group expires now.
    [[nodiscard]] virtual std::optional<ExpiryRule> expiry_rule() const = 0;
    /// What removes the group itself (not its offsets) from the log. Replayed, the group is gone.
    virtual void add_tombstones(std::vector<coordinator::NewRecord>& records) const = 0;

private:
    GroupKind kind_;
    std::string id_;
};

} // namespace qtool::group
