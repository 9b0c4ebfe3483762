// ConsumerGroup: a group whose members get their partitions from the broker (KIP-848).
//
// Three epochs: of the group (what its members subscribe to, what these topics look like), of the
// target (the last assignment computed, for some epoch of the group), and of each member (the
// target it has come to). Everything here but the part called volatile changes in replay alone.
//
// One owner at a time: `owner(partition)` is the member that may own it, from the record that
// assigns it to the record that no longer names it, neither as assigned nor as to be given back.
//
// Source: KIP-848; SEMANTICS section 11.
#pragma once

#include "lib/base/time.h"
#include "server/group/consumer_member.h"
#include "server/group/group.h"

#include <map>
#include <set>
#include <string>
#include <string_view>

namespace qtool::group {

/// A regular expression as resolved last. Record 16.
struct ResolvedRegex {
    std::set<std::string, std::less<>> topics;
    int64_t revision = 0; // of the metadata it was resolved on
    int64_t timestamp_ms = 0;

    bool operator==(const ResolvedRegex&) const = default;
};

class ConsumerGroup final : public Group {
public:
    explicit ConsumerGroup(std::string id) : Group(GroupKind::consumer, std::move(id)) {}

    using Members = std::map<std::string, ConsumerMember, std::less<>>;
    [[nodiscard]] const Members& members() const { return members_; }
    /// nullptr: no such member. Valid until the next replay.
    [[nodiscard]] const ConsumerMember* member(std::string_view id) const;
    [[nodiscard]] const ConsumerMember* static_member(std::string_view instance_id) const;
    [[nodiscard]] int32_t epoch() const { return epoch_; }
    [[nodiscard]] int64_t metadata_hash() const { return metadata_hash_; }
    [[nodiscard]] int32_t target_epoch() const { return target_epoch_; }
    /// What the member is to have in the end; empty when it has no target yet.
    [[nodiscard]] const Assignment& target(std::string_view member_id) const;
    /// nullptr: it is free.
    [[nodiscard]] const std::string* owner(const PartitionKey& partition) const;
    using Regexes = std::map<std::string, ResolvedRegex, std::less<>>;
    [[nodiscard]] const Regexes& regexes() const { return regexes_; }
    /// Names and expressions that members subscribe to, with the number of members.
    using Counts = std::map<std::string, size_t, std::less<>>;
    [[nodiscard]] const Counts& subscribed_names() const { return name_counts_; }
    [[nodiscard]] const Counts& subscribed_regexes() const { return regex_counts_; }
    /// The same, expressions resolved, as of now.
    [[nodiscard]] std::set<std::string, std::less<>> subscribed_topics() const;
    /// Members that speak the classic protocol.
    [[nodiscard]] size_t classic_count() const { return classic_count_; }
    /// The assignor most members ask for, else `fallback`.
    [[nodiscard]] std::string_view assignor(std::string_view fallback) const;

    // Group.
    [[nodiscard]] std::string_view state_name() const override;
    [[nodiscard]] std::string_view protocol_type() const override { return "consumer"; }
    [[nodiscard]] bool is_empty() const override { return members_.empty(); }
    [[nodiscard]] size_t member_count() const override { return members_.size(); }
    [[nodiscard]] KafkaError check_commit(const CommitCheck& check) const override;
    [[nodiscard]] KafkaError check_fetch(const std::optional<std::string_view>& member_id,
                                         int32_t member_epoch) const override;
    [[nodiscard]] KafkaError check_offset_delete() const override { return KafkaError::none; }
    [[nodiscard]] bool is_subscribed(std::string_view topic) const override;
    [[nodiscard]] std::optional<ExpiryRule> expiry_rule() const override;
    void add_tombstones(std::vector<coordinator::NewRecord>& records) const override;

    // Replay; each is one record of consumer_group_records.h.
    void replay_epoch(int32_t epoch, int64_t metadata_hash);
    void replay_member(std::string_view member_id, MemberMetadata metadata);
    void replay_member_gone(std::string_view member_id);
    void replay_target_epoch(int32_t epoch) { target_epoch_ = epoch; }
    void replay_target(std::string_view member_id, Assignment target);
    void replay_target_gone(std::string_view member_id);
    void replay_progress(std::string_view member_id, MemberProgress progress);
    void replay_regex(std::string_view regex, ResolvedRegex resolved);
    void replay_regex_gone(std::string_view regex);

    /// Volatile: what the coordinator remembers between its decisions. A restart begins anew.
    struct Volatile {
        /// The set of topics or what they look like may differ from metadata_hash.
        bool is_metadata_unsure = true;
        std::optional<MonoTime> target_at; // when the target was computed last
        std::optional<MonoTime> regex_at;  // when expressions were resolved last
        bool has_topics_changed = false;   // since regex_at
    };
    Volatile now;

private:
    ConsumerMember& member_or_new(std::string_view id);
    void own(const EpochAssignment& partitions, const std::string& member_id);
    void disown(const EpochAssignment& partitions, const std::string& member_id);
    void count_subscription(const MemberMetadata& metadata, int by);

    int32_t epoch_ = 0;
    int64_t metadata_hash_ = 0;
    int32_t target_epoch_ = 0;
    Members members_;
    std::map<std::string, std::string, std::less<>> static_members_; // instance id -> member id
    std::map<std::string, Assignment, std::less<>> targets_;         // by member id
    std::map<PartitionKey, std::string> owners_;                     // member ids
    Regexes regexes_;
    Counts name_counts_;
    Counts regex_counts_;
    size_t classic_count_ = 0;
};

} // namespace qtool::group
