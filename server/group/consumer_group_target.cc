#include "server/group/consumer_group_target.h"

#include "lib/base/log.h"
#include "server/group/assignor.h"
#include "server/group/consumer_group_records.h"
#include "server/group/consumer_group_settings.h"
#include "server/group/limits.h"
#include "server/group/topic_regex.h"

#include <algorithm>

namespace qtool::group {
namespace {

using coordinator::Host;
using coordinator::NewBatch;
using coordinator::NewRecord;

// FNV-1a (Fowler, Noll, Vo): small, the same everywhere, and nobody chooses topics to collide.
class Hash {
public:
    void add(ByteView bytes) {
        for (const std::byte byte : bytes) {
            value_ = (value_ ^ static_cast<uint64_t>(byte)) * 0x100000001b3ull;
        }
        value_ = (value_ ^ bytes.size()) * 0x100000001b3ull;
    }
    void add(std::string_view text) { add(as_bytes(text)); }
    [[nodiscard]] int64_t value() const { return static_cast<int64_t>(value_ == 0 ? 1 : value_); }

private:
    uint64_t value_ = 0xcbf29ce484222325ull;
};

std::set<std::string, std::less<>> racks_of(const metadata::PartitionImage& partition,
                                            const metadata::Image& image) {
    std::set<std::string, std::less<>> racks;
    for (const BrokerId replica : partition.replicas) {
        const auto broker = image.brokers.find(replica);
        if (broker != image.brokers.end() && !broker->second.rack.empty()) {
            racks.insert(broker->second.rack);
        }
    }
    return racks;
}

size_t size_of(const NewRecord& record) {
    return record.key.size() + (record.value ? record.value->size() : 0);
}

// Members with the same subscription share one set of topics.
class Subscriptions {
public:
    Subscriptions(const ConsumerGroup& group, const metadata::Image& image)
        : group_(group),
          image_(image) {}

    const std::set<TopicId>& of(const MemberMetadata& metadata) {
        const auto [it, is_new] =
            known_.try_emplace(std::pair(&metadata.topic_names, &metadata.topic_regex));
        if (is_new) {
            for (const std::string& name : metadata.topic_names) {
                add(name, it->second);
            }
            const auto regex = group_.regexes().find(metadata.topic_regex);
            if (!metadata.topic_regex.empty() && regex != group_.regexes().end()) {
                for (const std::string& name : regex->second.topics) {
                    add(name, it->second);
                }
            }
        }
        return it->second;
    }

private:
    using Names = std::set<std::string, std::less<>>;
    struct Less {
        using Key = std::pair<const Names*, const std::string*>;
        bool operator()(const Key& a, const Key& b) const {
            return *a.second != *b.second ? *a.second < *b.second : *a.first < *b.first;
        }
    };

    void add(const std::string& name, std::set<TopicId>& topics) const {
        if (const metadata::TopicImage* topic = image_.topic(name); topic != nullptr) {
            topics.insert(topic->id);
        }
    }

    const ConsumerGroup& group_;
    const metadata::Image& image_;
    std::map<Less::Key, std::set<TopicId>, Less> known_;
};

std::map<std::string_view, Assignment> compute_target(const ConsumerGroup& group,
                                                      std::string_view assignor,
                                                      const metadata::Image& image) {
    Subscriptions subscriptions(group, image);
    AssignorInput input;
    for (const auto& [id, member] : group.members()) {
        AssignorMember& to = input.members.emplace_back();
        to.member_id = id;
        if (member.metadata.instance_id) {
            to.instance_id = *member.metadata.instance_id;
        }
        to.rack = member.metadata.rack_id ? std::string_view(*member.metadata.rack_id)
                                          : std::string_view{};
        to.topics = &subscriptions.of(member.metadata);
        to.current = &group.target(id);
        for (const TopicId& topic_id : *to.topics) {
            const auto [it, is_new] = input.topics.try_emplace(topic_id);
            if (is_new) {
                const metadata::TopicImage& topic = *image.topic(topic_id);
                it->second.partition_count = static_cast<int32_t>(topic.partitions.size());
                for (const metadata::PartitionImage& partition : topic.partitions) {
                    it->second.racks.push_back(racks_of(partition, image));
                }
            }
        }
    }
    std::vector<Assignment> targets = assign(assignor, input);
    std::map<std::string_view, Assignment> by_member;
    for (size_t m = 0; m < targets.size(); m++) {
        by_member.emplace(input.members[m].member_id, std::move(targets[m]));
    }
    return by_member;
}

} // namespace

int64_t topics_hash(const std::set<std::string, std::less<>>& topics,
                    const metadata::Image& image) {
    Hash hash;
    for (const std::string& name : topics) {
        const metadata::TopicImage* topic = image.topic(name);
        if (topic == nullptr) {
            continue;
        }
        hash.add(name);
        hash.add(std::as_bytes(std::span(topic->id.bytes)));
        hash.add(std::to_string(topic->partitions.size()));
        for (const metadata::PartitionImage& partition : topic->partitions) {
            for (const std::string& rack : racks_of(partition, image)) {
                hash.add(rack);
            }
            hash.add(";");
        }
    }
    return hash.value();
}

Result<void> refresh_regexes(ShardState& state, ConsumerGroup& group, Host& host) {
    std::vector<NewRecord> records;
    for (const auto& [regex, resolved] : group.regexes()) {
        if (!group.subscribed_regexes().contains(regex)) {
            records.push_back(regex_tombstone(group.id(), regex));
        }
    }
    if (!records.empty()) {
        QT_TRY(append_decision(std::move(records), host));
    }
    const TimerKey timer{group.id(), TimerKind::consumer_regex, {}};
    if (group.subscribed_regexes().empty()) {
        state.timers.cancel(timer);
        return {};
    }
    const MonoTime now = host.now();
    const Duration refresh_interval =
        clamped_ms(host.config().consumer_groups.regex_refresh_interval_ms);
    const bool has_new =
        std::any_of(group.subscribed_regexes().begin(), group.subscribed_regexes().end(),
                    [&](const auto& entry) { return !group.regexes().contains(entry.first); });
    const std::optional<MonoTime> last = group.now.regex_at;
    const bool is_wanted =
        !last || has_new || group.now.has_topics_changed || now >= *last + refresh_interval;
    if (is_wanted && last && now < *last + kRegexRefreshIntervalMin) {
        state.timers.set(timer, *last + kRegexRefreshIntervalMin);
        return {};
    }
    if (!is_wanted) {
        state.timers.set(timer, *last + refresh_interval);
        return {};
    }
    std::vector<NewRecord> resolved_records;
    for (const auto& [regex, count] : group.subscribed_regexes()) {
        ResolvedRegex resolved;
        resolved.topics = matching_topics(regex, host.image());
        resolved.revision = host.image().revision.value();
        resolved.timestamp_ms = host.wall_now_ms();
        const auto known = group.regexes().find(regex);
        if (known == group.regexes().end() || known->second.topics != resolved.topics) {
            resolved_records.push_back(regex_record(group.id(), regex, resolved));
        }
    }
    if (!resolved_records.empty()) {
        QT_TRY(append_decision(std::move(resolved_records), host));
    }
    group.now.regex_at = now;
    group.now.has_topics_changed = false;
    state.timers.set(timer, now + refresh_interval);
    return {};
}

Result<void> refresh_topics(ConsumerGroup& group, Host& host) {
    if (!group.now.is_metadata_unsure) {
        return {};
    }
    const int64_t hash = topics_hash(group.subscribed_topics(), host.image());
    if (hash != group.metadata_hash()) {
        NewBatch batch;
        batch.records.push_back(group_record(group.id(), group.epoch() + 1, hash));
        QT_TRY(host.append(batch));
    }
    group.now.is_metadata_unsure = false;
    return {};
}

Result<void> refresh_target(ShardState& state, ConsumerGroup& group, Host& host) {
    const TimerKey timer{group.id(), TimerKind::consumer_target, {}};
    if (group.epoch() <= group.target_epoch() || group.is_empty()) {
        state.timers.cancel(timer);
        return {};
    }
    const MonoTime now = host.now();
    const Duration interval = consumer_group_settings(host, group.id()).assignment_interval;
    if (group.now.target_at && now < *group.now.target_at + interval) {
        state.timers.set(timer, *group.now.target_at + interval);
        return {};
    }
    const std::string_view assignor =
        group.assignor(host.config().consumer_groups.assignors.front());
    const std::map<std::string_view, Assignment> targets =
        compute_target(group, assignor, host.image());
    std::vector<NewRecord> records;
    for (const auto& [member_id, target] : targets) {
        if (target != group.target(member_id)) {
            records.push_back(target_record(group.id(), member_id, target));
        }
    }
    // Last, so that the epoch is there only when all of the target is.
    records.push_back(target_epoch_record(group.id(), group.epoch(), host.wall_now_ms()));
    QT_TRY(append_decision(std::move(records), host));
    group.now.target_at = now;
    state.timers.cancel(timer);
    return {};
}

Result<void> append_decision(std::vector<NewRecord> records, Host& host) {
    NewBatch batch;
    size_t size_bytes = 0;
    for (NewRecord& record : records) {
        const size_t record_size = size_of(record);
        if (!batch.records.empty() && size_bytes + record_size > kDecisionBatchBytesMax) {
            QT_TRY(host.append(batch));
            batch.records.clear();
            size_bytes = 0;
        }
        size_bytes += record_size;
        batch.records.push_back(std::move(record));
    }
    if (!batch.records.empty()) {
        QT_TRY(host.append(batch));
    }
    return {};
}

} // namespace qtool::group
