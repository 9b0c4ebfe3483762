#include "server/group/consumer_group.h"

#include "lib/base/assert.h"
#include "server/group/consumer_group_records.h"

#include <algorithm>

namespace qtool::group {
namespace {

constexpr int16_t kOffsetCommitVersionMin = 9; // of members that speak the new protocol

const Assignment kNoPartitions;

} // namespace

const ConsumerMember* ConsumerGroup::member(std::string_view id) const {
    const auto it = members_.find(id);
    return it == members_.end() ? nullptr : &it->second;
}

const ConsumerMember* ConsumerGroup::static_member(std::string_view instance_id) const {
    const auto it = static_members_.find(instance_id);
    return it == static_members_.end() ? nullptr : member(it->second);
}

const Assignment& ConsumerGroup::target(std::string_view member_id) const {
    const auto it = targets_.find(member_id);
    return it == targets_.end() ? kNoPartitions : it->second;
}

const std::string* ConsumerGroup::owner(const PartitionKey& partition) const {
    const auto it = owners_.find(partition);
    return it == owners_.end() ? nullptr : &it->second;
}

std::set<std::string, std::less<>> ConsumerGroup::subscribed_topics() const {
    std::set<std::string, std::less<>> topics;
    for (const auto& [name, count] : name_counts_) {
        topics.insert(name);
    }
    for (const auto& [regex, count] : regex_counts_) {
        const auto it = regexes_.find(regex);
        if (it != regexes_.end()) {
            topics.insert(it->second.topics.begin(), it->second.topics.end());
        }
    }
    return topics;
}

std::string_view ConsumerGroup::assignor(std::string_view fallback) const {
    std::map<std::string_view, size_t> votes;
    for (const auto& [id, member] : members_) {
        if (member.metadata.assignor) {
            votes[*member.metadata.assignor]++;
        }
    }
    std::string_view best = fallback;
    size_t best_votes = 0;
    for (const auto& [name, count] : votes) {
        if (count > best_votes) {
            best = name;
            best_votes = count;
        }
    }
    return best;
}

std::string_view ConsumerGroup::state_name() const {
    if (members_.empty()) {
        return "Empty";
    }
    if (epoch_ > target_epoch_) {
        return "Assigning";
    }
    const bool is_stable = std::all_of(members_.begin(), members_.end(), [&](const auto& entry) {
        const MemberProgress& progress = entry.second.progress;
        return entry.second.is_away() ||
               (progress.state == MemberState::stable && progress.epoch == target_epoch_);
    });
    return is_stable ? "Stable" : "Reconciling";
}

KafkaError ConsumerGroup::check_commit(const CommitCheck& check) const {
    if (check.generation_or_epoch < 0 && members_.empty()) {
        return KafkaError::none; // somebody who only keeps offsets here
    }
    const ConsumerMember* found = member(check.member_id);
    if (found == nullptr) {
        return KafkaError::unknown_member_id;
    }
    const bool is_classic = found->metadata.classic.has_value();
    if (!is_classic && !check.is_transactional && check.api_version < kOffsetCommitVersionMin) {
        return KafkaError::unsupported_version;
    }
    if (check.generation_or_epoch == found->progress.epoch) {
        return KafkaError::none;
    }
    if (is_classic) {
        return KafkaError::illegal_generation;
    }
    if (check.generation_or_epoch > found->progress.epoch) {
        return KafkaError::stale_member_epoch;
    }
    // An older epoch passes for partitions that have been the member's since then (KIP-1251).
    for (const CommitPartition& partition : check.partitions) {
        const auto topic = found->progress.assigned.find(partition.topic_id);
        if (topic == found->progress.assigned.end()) {
            return KafkaError::stale_member_epoch;
        }
        const auto since = topic->second.find(partition.partition);
        if (since == topic->second.end() || check.generation_or_epoch < since->second) {
            return KafkaError::stale_member_epoch;
        }
    }
    return KafkaError::none;
}

KafkaError ConsumerGroup::check_fetch(const std::optional<std::string_view>& member_id,
                                      int32_t member_epoch) const {
    if ((!member_id || member_id->empty()) && member_epoch < 0) {
        return KafkaError::none;
    }
    const ConsumerMember* found = member(member_id.value_or(std::string_view{}));
    if (found == nullptr) {
        return KafkaError::unknown_member_id;
    }
    if (member_epoch == found->progress.epoch) {
        return KafkaError::none;
    }
    return found->metadata.classic ? KafkaError::illegal_generation
                                   : KafkaError::stale_member_epoch;
}

bool ConsumerGroup::is_subscribed(std::string_view topic) const {
    if (name_counts_.contains(topic)) {
        return true;
    }
    return std::any_of(regex_counts_.begin(), regex_counts_.end(), [&](const auto& entry) {
        const auto it = regexes_.find(entry.first);
        return it != regexes_.end() && it->second.topics.contains(topic);
    });
}

std::optional<ExpiryRule> ConsumerGroup::expiry_rule() const {
    ExpiryRule rule;
    rule.since = ExpiryRule::Since::commit;
    rule.spares_subscribed = true;
    return rule;
}

void ConsumerGroup::add_tombstones(std::vector<coordinator::NewRecord>& records) const {
    for (const auto& [member_id, entry] : members_) {
        add_member_tombstones(id(), member_id, records);
    }
    for (const auto& [member_id, target] : targets_) {
        if (!members_.contains(member_id)) {
            records.push_back(target_tombstone(id(), member_id));
        }
    }
    records.push_back(target_epoch_tombstone(id()));
    for (const auto& [regex, resolved] : regexes_) {
        records.push_back(regex_tombstone(id(), regex));
    }
    records.push_back(group_tombstone(id()));
}

void ConsumerGroup::replay_epoch(int32_t epoch, int64_t metadata_hash) {
    epoch_ = epoch;
    metadata_hash_ = metadata_hash;
}

void ConsumerGroup::replay_member(std::string_view member_id, MemberMetadata metadata) {
    ConsumerMember& entry = member_or_new(member_id);
    count_subscription(entry.metadata, -1);
    entry.metadata = std::move(metadata);
    count_subscription(entry.metadata, 1);
    if (entry.metadata.instance_id) {
        static_members_[*entry.metadata.instance_id] = entry.id;
    }
}

void ConsumerGroup::replay_member_gone(std::string_view member_id) {
    const auto it = members_.find(member_id);
    if (it == members_.end()) {
        return;
    }
    ConsumerMember& entry = it->second;
    disown(entry.progress.assigned, entry.id);
    disown(entry.progress.revoking, entry.id);
    count_subscription(entry.metadata, -1);
    if (entry.metadata.instance_id) {
        // Unless another member took the instance id over.
        const auto instance = static_members_.find(*entry.metadata.instance_id);
        if (instance != static_members_.end() && instance->second == entry.id) {
            static_members_.erase(instance);
        }
    }
    members_.erase(it);
}

void ConsumerGroup::replay_target(std::string_view member_id, Assignment target) {
    targets_.insert_or_assign(std::string(member_id), std::move(target));
}

void ConsumerGroup::replay_target_gone(std::string_view member_id) {
    const auto it = targets_.find(member_id);
    if (it != targets_.end()) {
        targets_.erase(it);
    }
}

void ConsumerGroup::replay_progress(std::string_view member_id, MemberProgress progress) {
    ConsumerMember& entry = member_or_new(member_id);
    disown(entry.progress.assigned, entry.id);
    disown(entry.progress.revoking, entry.id);
    entry.progress = std::move(progress);
    own(entry.progress.assigned, entry.id);
    own(entry.progress.revoking, entry.id);
}

void ConsumerGroup::replay_regex(std::string_view regex, ResolvedRegex resolved) {
    ResolvedRegex& entry = regexes_[std::string(regex)];
    if (entry.topics != resolved.topics) {
        now.is_metadata_unsure = true;
    }
    entry = std::move(resolved);
}

void ConsumerGroup::replay_regex_gone(std::string_view regex) {
    const auto it = regexes_.find(regex);
    if (it != regexes_.end()) {
        regexes_.erase(it);
        now.is_metadata_unsure = true;
    }
}

ConsumerMember& ConsumerGroup::member_or_new(std::string_view id) {
    const auto it = members_.find(id);
    if (it != members_.end()) {
        return it->second;
    }
    ConsumerMember& entry = members_[std::string(id)];
    entry.id = id;
    return entry;
}

// After compaction the record that gives a partition away may come after the one that hands it on:
// the later owner stands, and the earlier member's record does not take it from there.
void ConsumerGroup::own(const EpochAssignment& partitions, const std::string& member_id) {
    for (const auto& [topic, entries] : partitions) {
        for (const auto& [partition, epoch] : entries) {
            owners_[PartitionKey{topic, PartitionIndex(partition)}] = member_id;
        }
    }
}

void ConsumerGroup::disown(const EpochAssignment& partitions, const std::string& member_id) {
    for (const auto& [topic, entries] : partitions) {
        for (const auto& [partition, epoch] : entries) {
            const auto it = owners_.find(PartitionKey{topic, PartitionIndex(partition)});
            if (it != owners_.end() && it->second == member_id) {
                owners_.erase(it);
            }
        }
    }
}

void ConsumerGroup::count_subscription(const MemberMetadata& metadata, int by) {
    const auto count = [&](Counts& counts, const std::string& name) {
        size_t& members = counts[name];
        QT_ASSERT(by > 0 || members > 0);
        members += static_cast<size_t>(by);
        if (members == 0 || (members == 1 && by > 0)) {
            now.is_metadata_unsure = true;
        }
        if (members == 0) {
            counts.erase(name);
        }
    };
    for (const std::string& name : metadata.topic_names) {
        count(name_counts_, name);
    }
    if (!metadata.topic_regex.empty()) {
        count(regex_counts_, metadata.topic_regex);
    }
    if (metadata.classic) {
        classic_count_ += static_cast<size_t>(by);
    }
}

} // namespace qtool::group
