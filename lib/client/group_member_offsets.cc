// The group member's offsets: fetched before a partition is taken on, committed when the caller
// says so. Topics go by name (the highest versions that have it): both sides mean the topic of that
// name, also when it was made again.
#include "lib/client/broker_error.h"
#include "lib/client/group_member.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_fetch.h"

#include <algorithm>

namespace qtool::client {

using protocol::KafkaError;
using protocol::OffsetCommitRequest;
using protocol::OffsetCommitResponse;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;

namespace {

constexpr int16_t kOffsetVersion = 9; // of both; the first with a member epoch, the last with names

} // namespace

void GroupMember::fetch_offsets(MonoTime now, Outbox& out) {
    if (adding_.empty() || leaving_ || !fetch_.may_send(now) || !coordinator_ready(now, out)) {
        return;
    }
    const auto version = version_of(OffsetFetchRequest::kApiKey, kOffsetVersion, kOffsetVersion);
    if (!version) {
        return;
    }
    OffsetFetchRequest request;
    auto& group = request.groups.emplace_back();
    group.group_id = options_.group_id;
    group.member_id = member_id_;
    group.member_epoch = epoch_;
    request.require_stable = true; // offsets of open transactions are waited for
    for (const auto& [topic_id, partition] : adding_) {
        const std::string& name = names_.at(topic_id);
        if (group.topics->empty() || group.topics->back().name != name) {
            group.topics->emplace_back().name = name;
        }
        group.topics->back().partition_indexes.push_back(partition);
    }
    fetch_.tag = next_tag_++;
    cluster_.send(coordinator_, request, *version, fetch_.tag, now, true, {}, out);
}

void GroupMember::on_offsets(const Reply& reply, MonoTime now) {
    fetch_.tag = 0;
    const auto response = reply.result ? OffsetFetchResponse::decode(reply.body(), reply.version)
                                       : Result<OffsetFetchResponse>(reply.result.error());
    if (!response || response->groups.size() != 1) {
        lose_coordinator(now);
        retry(fetch_, now);
        return;
    }
    const auto& group = response->groups.front();
    KafkaError error = protocol::kafka_error_of(group.error_code);
    Offsets fetched;
    for (const auto& topic : group.topics) {
        for (const auto& partition : topic.partitions) {
            if (error == KafkaError::none) {
                error = protocol::kafka_error_of(partition.error_code);
            }
            fetched[{std::string(topic.name), partition.partition_index}] =
                partition.committed_offset;
        }
    }
    const Verdict verdict = judge(fetch_, error, now);
    if (verdict == Verdict::fatal) {
        fail(error, {});
    }
    if (verdict != Verdict::pass) {
        // What is assigned may have changed meanwhile; then it is asked for anew.
        if (verdict == Verdict::retry && target_open_) {
            adding_.clear();
        }
        return;
    }
    GroupChange change;
    for (const auto& [topic_id, partition] : adding_) {
        const std::string& name = names_.at(topic_id);
        const auto found = fetched.find({name, partition});
        change.assigned.push_back(
            {name, partition, found == fetched.end() ? int64_t{-1} : found->second});
    }
    owned_.merge(adding_);
    adding_.clear();
    owned_revision_++;
    changes_.push_back(std::move(change));
}

void GroupMember::commit(const std::vector<PartitionOffset>& offsets) {
    if (epoch_ == 0 || failure_) {
        if (!offsets.empty()) {
            commit_result_ =
                Error(Code::cancelled, "group '" + options_.group_id + "' has fenced this member");
        }
        return;
    }
    for (const PartitionOffset& one : offsets) {
        commits_[{one.topic, one.partition}] = one.offset;
    }
}

void GroupMember::send_commits(MonoTime now, Outbox& out) {
    if (commits_.empty() || epoch_ == 0 || !commit_.may_send(now) || !coordinator_ready(now, out)) {
        return;
    }
    const auto version = version_of(OffsetCommitRequest::kApiKey, kOffsetVersion, kOffsetVersion);
    if (!version) {
        return;
    }
    committing_ = std::exchange(commits_, {});
    OffsetCommitRequest request;
    request.group_id = options_.group_id;
    request.generation_id_or_member_epoch = epoch_;
    request.member_id = member_id_;
    for (const auto& [place, offset] : committing_) {
        if (request.topics.empty() || request.topics.back().name != place.first) {
            request.topics.emplace_back().name = place.first;
        }
        request.topics.back().partitions.push_back({place.second, offset, -1, std::string_view{}});
    }
    commit_.tag = next_tag_++;
    cluster_.send(coordinator_, request, *version, commit_.tag, now, true, {}, out);
}

void GroupMember::on_commit(const Reply& reply, MonoTime now) {
    commit_.tag = 0;
    Offsets asked = std::exchange(committing_, {});
    const auto response = reply.result ? OffsetCommitResponse::decode(reply.body(), reply.version)
                                       : Result<OffsetCommitResponse>(reply.result.error());
    KafkaError worst = KafkaError::none;
    bool any_unknown = false;
    if (!response) {
        lose_coordinator(now);
        retry(commit_, now);
    } else {
        for (const auto& topic : response->topics) {
            for (const auto& partition : topic.partitions) {
                const KafkaError error = protocol::kafka_error_of(partition.error_code);
                const bool is_unknown = error == KafkaError::unknown_topic_or_partition;
                any_unknown = any_unknown || is_unknown;
                if (error == KafkaError::none || (is_unknown && unknown_since_ &&
                                                  now - *unknown_since_ > kUnknownTopicPatience)) {
                    asked.erase({std::string(topic.name), partition.partition_index});
                } else if (worst == KafkaError::none || !protocol::is_retriable(error)) {
                    worst = error;
                }
            }
        }
        if (!any_unknown) {
            unknown_since_.reset();
        } else if (!unknown_since_) {
            unknown_since_ = now;
        }
        if (asked.empty()) {
            commit_.failures = 0;
            return;
        }
        if (worst == KafkaError::none) { // partitions without an answer: asked again
            retry(commit_, now);
        }
    }
    // Before the verdict: one that ends the membership drops these with all others.
    commits_.merge(asked); // later offsets, if any came meanwhile, stay
    if (worst == KafkaError::none) {
        return;
    }
    if (judge(commit_, worst, now) == Verdict::fatal) {
        commit_result_ = error_of_broker(worst, "group '" + options_.group_id + "'");
        commits_.clear();
    }
}

} // namespace qtool::client
