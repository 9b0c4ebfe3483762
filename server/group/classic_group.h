// ClassicGroup: a group whose clients assign partitions among themselves (JoinGroup, SyncGroup).
// Here are its members and what can be said of them; classic_rebalance.h moves it on.
//
//   Empty                no members            -> PreparingRebalance: somebody joins
//   PreparingRebalance   members join          -> CompletingRebalance: all joined, or time is up
//                                              -> Empty: nobody is left
//   CompletingRebalance  the leader assigns    -> Stable: its assignments are in the log
//                                              -> PreparingRebalance: a member came, left, changed
//   Stable                                     -> PreparingRebalance: a member came, left, changed
//
// Dead is a group that is not in the shard's map any more.
// Source: SEMANTICS section 9; KIP-62, KIP-345 (static members), KIP-394 (known member ids).
#pragma once

#include "lib/protocol/msg/group_metadata_record.h"
#include "server/group/group.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace qtool::group {

enum class ClassicState : uint8_t { empty, preparing_rebalance, completing_rebalance, stable };

std::string_view to_string(ClassicState state) noexcept; // "PreparingRebalance"

/// A request that waits for its answer.
struct Parked {
    Token request;
    int16_t api_version = 0;
};

struct ClassicMember {
    struct Protocol {
        std::string name;
        std::vector<std::byte> metadata;

        bool operator==(const Protocol&) const = default;
    };

    std::string id;
    std::optional<std::string> instance_id; // a static member (KIP-345)
    std::string client_id;
    std::string client_host;
    int32_t rebalance_timeout_ms = 0;
    int32_t session_timeout_ms = 0;
    std::vector<Protocol> protocols; // as the member prefers them
    std::vector<std::byte> assignment;
    // In memory only.
    std::optional<Parked> join;
    std::optional<Parked> sync;
    bool is_new = false;    // in its first join: the session timeout does not count yet
    bool owes_sync = false; // got its generation, has not synced

    /// nullptr: does not know the protocol.
    [[nodiscard]] const Protocol* find_protocol(std::string_view name) const;
};

class ClassicGroup final : public Group {
public:
    explicit ClassicGroup(std::string id) : Group(GroupKind::classic, std::move(id)) {}

    [[nodiscard]] std::string_view state_name() const override { return to_string(state); }
    [[nodiscard]] std::string_view protocol_type() const override { return type; }
    [[nodiscard]] bool is_empty() const override;
    [[nodiscard]] size_t member_count() const override { return members.size(); }
    [[nodiscard]] KafkaError check_commit(const CommitCheck& check) const override;
    [[nodiscard]] KafkaError check_fetch(const std::optional<std::string_view>& member_id,
                                         int32_t member_epoch) const override;
    [[nodiscard]] KafkaError check_offset_delete() const override;
    [[nodiscard]] bool is_subscribed(std::string_view topic) const override;
    [[nodiscard]] std::optional<ExpiryRule> expiry_rule() const override;
    void add_tombstones(std::vector<coordinator::NewRecord>& records) const override;

    /// nullptr: no such member. Valid until it is removed or renamed.
    ClassicMember* find_member(std::string_view member_id);
    [[nodiscard]] const ClassicMember* find_member(std::string_view member_id) const;
    ClassicMember* find_static(std::string_view instance_id);
    /// none, unknown_member_id, or fenced_instance_id when the instance is another member now.
    [[nodiscard]] KafkaError check_member(std::string_view member_id,
                                          const std::optional<std::string_view>& instance_id) const;
    /// Every member knows one of these protocols, and the type is the group's.
    [[nodiscard]] bool supports(std::string_view protocol_type,
                                const std::vector<ClassicMember::Protocol>& protocols) const;
    /// The protocol most members want of those that all know. At least one member, and a common
    /// protocol.
    [[nodiscard]] std::string select_protocol() const;
    /// The longest of the members; how long a rebalance may take.
    [[nodiscard]] int32_t rebalance_timeout_ms() const;
    [[nodiscard]] bool all_joined() const; // every member's join is parked, nobody is expected

    /// Empty when there is none. Valid until the next change.
    [[nodiscard]] std::string_view protocol_name() const {
        return protocol ? std::string_view(*protocol) : std::string_view();
    }
    [[nodiscard]] std::string_view leader_id() const {
        return leader ? std::string_view(*leader) : std::string_view();
    }

    ClassicMember& add_member(ClassicMember member);
    void remove_member(std::string_view member_id);
    /// A static member under a new id; what waits in it stays with it.
    ClassicMember& rename_member(std::string_view member_id, std::string_view new_id);

    /// The group's record as it would be now. `assignments` of members replace theirs.
    [[nodiscard]] coordinator::NewRecord record(int64_t now_ms) const;
    /// The record replayed: what it says becomes so, what waits in members that stay goes on.
    void apply(const protocol::GroupMetadataValue& value);

    // The state, moved by classic_rebalance.cc; generation, protocol, leader, members' assignments
    // and empty_since_ms are also in the record.
    ClassicState state = ClassicState::empty;
    std::string type; // protocol type; empty: a group of offsets alone
    int32_t generation = 0;
    std::optional<std::string> protocol; // the selected one
    std::optional<std::string> leader;   // a member id
    int64_t state_since_ms = -1;         // wall time of the record
    std::map<std::string, ClassicMember, std::less<>> members;
    std::map<std::string, std::string, std::less<>> static_members; // instance id -> member id
    std::set<std::string, std::less<>> pending_members; // ids handed out (KIP-394), not used yet
    // Of the rebalance under way.
    bool in_initial_delay = false;    // waits for more members before the first generation
    bool member_added = false;        // since the delay was set
    MonoTime delay_ends_at_most = {}; // the delay is not prolonged beyond
    MonoTime rebalance_started = {};
};

} // namespace qtool::group
