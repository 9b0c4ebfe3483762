#include "lib/client/group_member.h"

#include "lib/base/assert.h"
#include "lib/client/broker_error.h"
#include "lib/protocol/msg/consumer_group_heartbeat.h"
#include "lib/protocol/msg/find_coordinator.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_fetch.h"

#include <algorithm>

namespace qtool::client {

using protocol::ConsumerGroupHeartbeatRequest;
using protocol::ConsumerGroupHeartbeatResponse;
using protocol::FindCoordinatorRequest;
using protocol::FindCoordinatorResponse;
using protocol::KafkaError;

namespace {

constexpr int32_t kLeaveEpoch = -1;
constexpr int32_t kRebalanceTimeoutMs = 60'000; // how long giving back may take
constexpr Duration kCoordinatorPatience = 1s;   // unreachable for so long, it may have moved
// A new member without partitions: others give theirs up within one of their heartbeats (5 s), and
// ours would then come up to another one later.
constexpr Duration kFirstAssignmentPause = 500ms;
constexpr uint32_t kFirstAssignmentBeats = 20;

} // namespace

GroupMember::GroupMember(Cluster& cluster, const config::ClientConfig& config, GroupOptions options,
                         uint64_t seed)
    : cluster_(cluster),
      backoff_{config.retry_backoff_ms, config.retry_backoff_max_ms},
      options_(std::move(options)),
      prng_(seed),
      member_id_(to_string(make_uuid(prng_.next(), prng_.next()))),
      first_beats_left_(kFirstAssignmentBeats) {}

void GroupMember::retry(Call& call, MonoTime now) {
    call.failures++;
    call.retry_at = now + backoff_.delay(call.failures, prng_);
}

void GroupMember::lose_coordinator(MonoTime now) {
    coordinator_ = -1;
    coordinator_asked_ = MonoTime::min();
    retry(find_, now);
    full_ = true; // what the last heartbeat said may not have been heard
    cluster_.metadata().refresh_soon(now);
}

void GroupMember::rejoin() {
    const bool is_lost =
        !owned_.empty() || !revoking_.empty() ||
        std::any_of(changes_.begin(), changes_.end(), [](const auto& one) { return one.lost; });
    changes_.clear();
    if (is_lost) {
        changes_.emplace_back().lost = true;
    }
    if (!is_committed()) {
        commit_result_ = Error(Code::cancelled, "group '" + options_.group_id +
                                                    "' fenced this member before it committed");
    }
    commits_.clear();
    committing_.clear();
    commit_.tag = 0;
    unknown_since_.reset();
    fetch_ = {};
    target_.clear();
    target_open_ = false;
    owned_.clear();
    revoking_.clear();
    adding_.clear();
    epoch_ = 0;
    full_ = true;
    first_beats_left_ = kFirstAssignmentBeats;
    beat_at_ = MonoTime::min();
}

void GroupMember::fail(KafkaError error, std::string_view broker_says) {
    const std::string group = "group '" + options_.group_id + "'";
    if (error == KafkaError::group_id_not_found ||
        error == KafkaError::inconsistent_group_protocol) {
        // Joining makes a group that is not there: what was not found is one of this kind.
        failure_ = Error(Code::invalid_request,
                         group + " has members of another kind (classic protocol, share or "
                                 "streams) and cannot be joined while they are there");
    } else {
        failure_ = error_of_broker(error, group);
    }
    if (!broker_says.empty()) {
        failure_->detail += ": ";
        failure_->detail += broker_says;
    }
}

GroupMember::Verdict GroupMember::judge(Call& call, KafkaError error, MonoTime now) {
    switch (error) {
    case KafkaError::none:
        call.failures = 0;
        return Verdict::pass;
    case KafkaError::coordinator_not_available:
    case KafkaError::not_coordinator:
        lose_coordinator(now);
        retry(call, now);
        return Verdict::retry;
    case KafkaError::stale_member_epoch: // a heartbeat brings the new one
        beat_at_ = MonoTime::min();
        retry(call, now);
        return Verdict::retry;
    case KafkaError::group_id_not_found:
        if (epoch_ == 0) {
            return Verdict::fatal;
        }
        [[fallthrough]]; // all members were fenced, and the group with them
    case KafkaError::fenced_member_epoch:
    case KafkaError::unknown_member_id:
    case KafkaError::illegal_generation:
        rejoin();
        retry(beat_, now);
        return Verdict::rejoin;
    default:
        if (protocol::is_retriable(error)) {
            retry(call, now);
            return Verdict::retry;
        }
        return Verdict::fatal;
    }
}

void GroupMember::find_coordinator(MonoTime now, Outbox& out) {
    if (coordinator_ >= 0 || !find_.may_send(now)) {
        return;
    }
    const auto node_id = cluster_.any_ready(now, out);
    if (!node_id) {
        return;
    }
    const auto version =
        cluster_.pick_version(*node_id, FindCoordinatorRequest::kApiKey, 4, // batched from 4 on
                              FindCoordinatorRequest::kVersionMax);
    if (!version) {
        failure_ = Error(Code::unsupported_version,
                         "the broker is too old for groups of this kind (KIP-848)");
        return;
    }
    FindCoordinatorRequest request;
    request.coordinator_keys.push_back(options_.group_id);
    find_.tag = next_tag_++;
    cluster_.send(*node_id, request, *version, find_.tag, now, true, {}, out);
}

void GroupMember::on_coordinator(const Reply& reply, MonoTime now) {
    find_.tag = 0;
    const auto response = reply.result
                              ? FindCoordinatorResponse::decode(reply.body(), reply.version)
                              : Result<FindCoordinatorResponse>(reply.result.error());
    if (!response || response->coordinators.size() != 1) {
        retry(find_, now);
        return;
    }
    const auto& found = response->coordinators.front();
    const KafkaError error = protocol::kafka_error_of(found.error_code);
    if (error == KafkaError::none) {
        find_.failures = 0;
        coordinator_ = found.node_id;
    } else if (protocol::is_retriable(error)) {
        retry(find_, now);
    } else {
        fail(error, found.error_message.value_or(""));
    }
}

bool GroupMember::coordinator_ready(MonoTime now, Outbox& out) {
    if (coordinator_ < 0) {
        return false;
    }
    if (cluster_.ready(coordinator_, now, out)) {
        coordinator_asked_ = MonoTime::min();
        return true;
    }
    if (coordinator_asked_ == MonoTime::min()) {
        coordinator_asked_ = now;
    } else if (now - coordinator_asked_ > kCoordinatorPatience) {
        lose_coordinator(now);
    }
    if (cluster_.metadata().find_broker(coordinator_) == nullptr) {
        cluster_.metadata().refresh_soon(now);
    }
    return false;
}

std::optional<int16_t> GroupMember::version_of(int16_t api_key, int16_t lowest, int16_t highest) {
    const auto version = cluster_.pick_version(coordinator_, api_key, lowest, highest);
    if (!version) {
        failure_ = Error(Code::unsupported_version,
                         "the broker is too old for groups of this kind (KIP-848), or they are "
                         "switched off");
    }
    return version;
}

void GroupMember::heartbeat(MonoTime now, Outbox& out) {
    if (leaving_) {
        if (!was_heard_) {
            left_ = true; // nobody knows us
        }
        if (left_ || !is_committed()) {
            return;
        }
    } else if (beat_at_ > now && !is_owned_news()) {
        return;
    }
    if (!beat_.may_send(now) || !coordinator_ready(now, out)) {
        return;
    }
    const auto version = version_of(ConsumerGroupHeartbeatRequest::kApiKey, 0,
                                    ConsumerGroupHeartbeatRequest::kVersionMax);
    if (!version) {
        return;
    }
    ConsumerGroupHeartbeatRequest request;
    request.group_id = options_.group_id;
    request.member_id = member_id_;
    request.member_epoch = leaving_ ? kLeaveEpoch : epoch_;
    if (!leaving_ && full_) {
        request.rebalance_timeout_ms = kRebalanceTimeoutMs;
        request.subscribed_topic_names.emplace(options_.topics.begin(), options_.topics.end());
    }
    if (!leaving_ && (full_ || is_owned_news())) {
        auto& topics = request.topic_partitions.emplace();
        for (const auto& [topic_id, partition] : owned_) {
            if (topics.empty() || topics.back().topic_id != topic_id) {
                topics.emplace_back().topic_id = topic_id;
            }
            topics.back().partitions.push_back(partition);
        }
    }
    sent_revision_ = owned_revision_;
    leave_sent_ = leaving_;
    was_heard_ = true; // for all we know
    beat_.tag = next_tag_++;
    cluster_.send(coordinator_, request, *version, beat_.tag, now, true, {}, out);
}

void GroupMember::on_heartbeat(const Reply& reply, MonoTime now) {
    beat_.tag = 0;
    const auto response = reply.result
                              ? ConsumerGroupHeartbeatResponse::decode(reply.body(), reply.version)
                              : Result<ConsumerGroupHeartbeatResponse>(reply.result.error());
    if (!response) {
        lose_coordinator(now);
        retry(beat_, now);
        return;
    }
    const KafkaError error = protocol::kafka_error_of(response->error_code);
    const Verdict verdict = judge(beat_, error, now);
    if (leave_sent_) {
        left_ = verdict != Verdict::retry; // one that is not known has left too
        return;
    }
    if (verdict == Verdict::fatal) {
        fail(error, response->error_message.value_or(""));
    }
    if (verdict != Verdict::pass) {
        return;
    }
    epoch_ = response->member_epoch;
    full_ = false;
    told_revision_ = sent_revision_;
    if (response->assignment) {
        target_.clear();
        for (const auto& topic : response->assignment->topic_partitions) {
            for (const int32_t partition : topic.partitions) {
                target_.emplace(topic.topic_id, partition);
            }
        }
        target_open_ = true;
    }
    Duration pause = std::chrono::milliseconds(std::max(1, response->heartbeat_interval_ms));
    if (!target_.empty()) {
        first_beats_left_ = 0;
    } else if (first_beats_left_ > 0) {
        first_beats_left_--;
        pause = std::min(pause, kFirstAssignmentPause);
    }
    beat_at_ = now + pause;
}

/// The name of the partition's topic; nullptr: our metadata does not know the partition (yet).
const std::string* GroupMember::topic_of(const Key& key) const {
    for (const std::string& name : options_.topics) {
        const TopicInfo* info = cluster_.metadata().find(name);
        if (info != nullptr && info->id == key.first && key.second >= 0 &&
            static_cast<size_t>(key.second) < info->partitions.size()) {
            return &name;
        }
    }
    return nullptr;
}

void GroupMember::reconcile(MonoTime now) {
    if (!target_open_ || !revoking_.empty() || !adding_.empty() || leaving_) {
        return;
    }
    GroupChange change;
    for (const Key& key : owned_) {
        if (!target_.contains(key)) {
            revoking_.insert(key);
            change.revoked.push_back({names_.at(key.first), key.second});
        }
    }
    if (!revoking_.empty()) {
        changes_.push_back(std::move(change));
        return;
    }
    bool all_known = true;
    for (const Key& key : target_) {
        if (owned_.contains(key)) {
            continue;
        }
        if (const std::string* name = topic_of(key); name != nullptr) {
            names_[key.first] = *name;
            adding_.insert(key);
        } else {
            all_known = false; // just made: a topic, or more partitions of it
            cluster_.metadata().refresh_soon(now);
        }
    }
    target_open_ = !all_known;
}

std::optional<GroupChange> GroupMember::take_change() {
    if (changes_.empty()) {
        return std::nullopt;
    }
    GroupChange change = std::move(changes_.front());
    changes_.pop_front();
    return change;
}

void GroupMember::give_back() {
    for (const Key& key : std::exchange(revoking_, {})) {
        owned_.erase(key);
        owned_revision_++;
    }
}

void GroupMember::step(std::vector<Reply> replies, MonoTime now, Outbox& out) {
    for (const std::string& topic : options_.topics) {
        if (const auto wanted = cluster_.metadata().want(topic); !wanted && !failure_) {
            failure_ = wanted.error();
        }
    }
    for (const Reply& reply : replies) {
        if (reply.tag == find_.tag) {
            on_coordinator(reply, now);
        } else if (reply.tag == beat_.tag) {
            on_heartbeat(reply, now);
        } else if (reply.tag == fetch_.tag) {
            on_offsets(reply, now);
        } else if (reply.tag == commit_.tag) {
            on_commit(reply, now);
        }
    }
    if (failure_ || left_) {
        return;
    }
    reconcile(now);
    find_coordinator(now, out);
    send_commits(now, out);
    fetch_offsets(now, out);
    heartbeat(now, out);
}

MonoTime GroupMember::next_due(MonoTime now) const {
    MonoTime due = kMonoNever;
    const MonoTime lookup = coordinator_asked_ == MonoTime::min()
                                ? kMonoNever
                                : coordinator_asked_ + kCoordinatorPatience + 1ms;
    for (const MonoTime at :
         {beat_at_, find_.retry_at, beat_.retry_at, fetch_.retry_at, commit_.retry_at, lookup}) {
        if (at > now) {
            due = std::min(due, at);
        }
    }
    return due;
}

} // namespace qtool::client
