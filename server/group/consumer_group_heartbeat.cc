// ConsumerGroupHeartbeat (KIP-848): members join, report what they own, learn what they may own,
// and leave.
#include "lib/protocol/msg/consumer_group_heartbeat.h"

#include "server/group/consumer_group_changes.h"
#include "server/group/consumer_group_migration.h"
#include "server/group/consumer_group_settings.h"
#include "server/group/limits.h"
#include "server/group/requests.h"
#include "server/group/topic_regex.h"

#include <algorithm>

namespace qtool::group {
namespace {

using coordinator::Host;
using protocol::ConsumerGroupHeartbeatRequest;
using protocol::ConsumerGroupHeartbeatResponse;

constexpr int16_t kClientChoosesIdVersionMin = 1;

/// Why a heartbeat is refused.
struct Refusal {
    KafkaError error = KafkaError::none;
    std::string message = {};
};

Refusal invalid(std::string message) {
    return {KafkaError::invalid_request, std::move(message)};
}

bool is_empty_text(const std::optional<std::string_view>& text) {
    return text && text->empty();
}

std::optional<Refusal> check_join(const ConsumerGroupHeartbeatRequest& request) {
    if (request.rebalance_timeout_ms < 0) {
        return invalid("RebalanceTimeoutMs is needed to join.");
    }
    if (!request.topic_partitions || !request.topic_partitions->empty()) {
        return invalid("TopicPartitions must be empty to join.");
    }
    const bool has_names =
        request.subscribed_topic_names && !request.subscribed_topic_names->empty();
    const bool has_regex =
        request.subscribed_topic_regex && !request.subscribed_topic_regex->empty();
    if (!has_names && !has_regex) {
        return invalid("SubscribedTopicNames or SubscribedTopicRegex is needed to join.");
    }
    return std::nullopt;
}

std::optional<Refusal> check_request(const ConsumerGroupHeartbeatRequest& request,
                                     int16_t api_version, const Host& host) {
    if (request.group_id.empty()) {
        return invalid("GroupId can't be empty.");
    }
    if (request.member_id.empty() &&
        (api_version >= kClientChoosesIdVersionMin || request.member_epoch != kEpochJoin)) {
        return invalid("MemberId can't be empty.");
    }
    if (request.member_id.size() > kMemberIdSizeMax) {
        return invalid("MemberId is too long.");
    }
    if (is_empty_text(request.instance_id) || is_empty_text(request.rack_id)) {
        return invalid("InstanceId and RackId can't be empty.");
    }
    if (request.member_epoch < kEpochStaticLeft) {
        return invalid("MemberEpoch is invalid.");
    }
    if (request.member_epoch == kEpochStaticLeft && !request.instance_id) {
        return invalid("InstanceId is needed to leave for a while.");
    }
    if (request.member_epoch == kEpochJoin) {
        if (auto refusal = check_join(request)) {
            return refusal;
        }
    }
    if (request.subscribed_topic_names &&
        request.subscribed_topic_names->size() > kSubscribedTopicsMax) {
        return invalid("SubscribedTopicNames has too many names.");
    }
    const auto& assignors = host.config().consumer_groups.assignors;
    if (request.server_assignor && std::find(assignors.begin(), assignors.end(),
                                             *request.server_assignor) == assignors.end()) {
        std::string known;
        for (const std::string& name : assignors) {
            known += (known.empty() ? "" : ", ") + name;
        }
        return Refusal{KafkaError::unsupported_assignor,
                       "ServerAssignor " + std::string(*request.server_assignor) +
                           " is not supported. Supported assignors: " + known + "."};
    }
    if (request.subscribed_topic_regex && !request.subscribed_topic_regex->empty()) {
        if (const Result<void> checked = check_regex(*request.subscribed_topic_regex); !checked) {
            return Refusal{KafkaError::invalid_regular_expression,
                           "SubscribedTopicRegex is not valid: " + checked.error().detail};
        }
    }
    return std::nullopt;
}

std::optional<Assignment> owned_of(const ConsumerGroupHeartbeatRequest& request) {
    if (!request.topic_partitions) {
        return std::nullopt;
    }
    Assignment owned;
    for (const auto& topic : *request.topic_partitions) {
        std::vector<int32_t>& partitions = owned[topic.topic_id];
        partitions.insert(partitions.end(), topic.partitions.begin(), topic.partitions.end());
    }
    return normalized(std::move(owned));
}

// The member as the request changes it: what is null or -1 stays.
MemberMetadata merged(const MemberMetadata& before, const ConsumerGroupHeartbeatRequest& request,
                      const coordinator::Request& from) {
    MemberMetadata after = before;
    after.client_id = from.client_id;
    after.client_host = from.client_host;
    after.classic.reset();
    if (request.instance_id) {
        after.instance_id = *request.instance_id;
    }
    if (request.rack_id) {
        after.rack_id = *request.rack_id;
    }
    if (request.rebalance_timeout_ms >= 0) {
        after.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if (request.subscribed_topic_names) {
        after.topic_names = {request.subscribed_topic_names->begin(),
                             request.subscribed_topic_names->end()};
    }
    if (request.subscribed_topic_regex) {
        after.topic_regex = *request.subscribed_topic_regex;
    }
    if (request.server_assignor) {
        after.assignor = *request.server_assignor;
    }
    return after;
}

// SEMANTICS section 11: epoch 0 begins anew; a lower epoch passes only as the one before, by a
// member that owns nothing it should not: the answer with the higher epoch was lost.
std::optional<Refusal> check_epoch(const ConsumerMember& member, int32_t epoch,
                                   const std::optional<Assignment>& owned) {
    const MemberProgress& progress = member.progress;
    if (epoch == kEpochJoin || epoch == progress.epoch) {
        return std::nullopt;
    }
    const bool is_lost_answer = epoch < progress.epoch && epoch == progress.previous_epoch &&
                                owned && is_subset(*owned, plain(progress.assigned));
    if (is_lost_answer) {
        return std::nullopt;
    }
    return Refusal{KafkaError::fenced_member_epoch,
                   "The member epoch " + std::to_string(epoch) + " is not " +
                       std::to_string(progress.epoch) + "; leave all partitions and join again."};
}

class Heartbeat {
public:
    Heartbeat(ShardState& state, const ConsumerGroupHeartbeatRequest& request,
              const coordinator::Request& from, Host& host)
        : state_(state),
          request_(request),
          from_(from),
          host_(host),
          member_id_(request.member_id),
          owned_(owned_of(request)) {}

    void run() {
        if (const auto refusal = check_request(request_, from_.api_version, host_)) {
            return refuse(*refusal);
        }
        if (request_.member_epoch < kEpochJoin) {
            return leave();
        }
        const Result<std::optional<Refusal>> refusal = beat();
        if (!refusal) {
            return refuse({append_error(refusal.error().code), {}});
        }
        if (*refusal) {
            refuse(**refusal);
        }
    }

private:
    void refuse(const Refusal& refusal) {
        ConsumerGroupHeartbeatResponse response;
        response.error_code = static_cast<int16_t>(refusal.error);
        if (!refusal.message.empty()) {
            response.error_message = refusal.message;
        }
        answer(response, from_.id, from_.api_version, host_);
    }

    // Nothing: it was answered. The error is one of an append.
    Result<std::optional<Refusal>> beat() {
        QT_TRY_ASSIGN(const bool is_there, find_group());
        if (!is_there) {
            return std::optional(
                Refusal{KafkaError::group_id_not_found,
                        "Group " + std::string(request_.group_id) + " not found."});
        }
        const ConsumerMember* member = nullptr;
        if (group_ != nullptr) {
            member = request_.instance_id ? group_->static_member(*request_.instance_id)
                                          : group_->member(member_id_);
        }
        if (auto refusal = check_member(member)) {
            return std::optional(std::move(*refusal));
        }
        if (member_id_.empty()) {
            member_id_ = to_string(make_uuid(host_.random().next(), host_.random().next()));
        }
        QT_TRY(update(member));
        QT_TRY(respond());
        return std::optional<Refusal>();
    }

    // False: there is none, and the request may not make one. A name that no group has stays
    // unused until the member's record is written.
    Result<bool> find_group() {
        const Group* found = state_.find(request_.group_id);
        if (found != nullptr && found->kind() == GroupKind::classic) {
            if (request_.member_epoch != kEpochJoin) {
                return false;
            }
            QT_TRY_ASSIGN(const bool is_open, open_to_consumers(state_, request_.group_id, host_));
            if (!is_open) {
                return false;
            }
        }
        group_ = find_consumer_group(state_, request_.group_id);
        return group_ != nullptr || request_.member_epoch == kEpochJoin;
    }

    std::optional<Refusal> check_member(const ConsumerMember* member) {
        const bool is_join = request_.member_epoch == kEpochJoin;
        if (member == nullptr) {
            if (!is_join) {
                return Refusal{KafkaError::unknown_member_id,
                               "Member " + member_id_ + " is not a member of the group."};
            }
            return check_room();
        }
        if (member->id != member_id_) { // a static member under another id
            if (!is_join) {
                return Refusal{KafkaError::fenced_instance_id,
                               "The instance id belongs to another member."};
            }
            // A classic process says no goodbye when its place is to be kept.
            if (!member->is_away() && !member->metadata.classic) {
                return Refusal{KafkaError::unreleased_instance_id,
                               "The instance id is still held by another member."};
            }
            return std::nullopt;
        }
        return check_epoch(*member, request_.member_epoch, owned_);
    }

    std::optional<Refusal> check_room() {
        if (group_ == nullptr) {
            return state_.has_room() ? std::optional<Refusal>()
                                     : Refusal{KafkaError::policy_violation, "Too many groups."};
        }
        const auto size_max = static_cast<size_t>(host_.config().consumer_groups.size_max);
        return group_->members().size() < std::min(size_max, kMembersMax)
                   ? std::optional<Refusal>()
                   : Refusal{KafkaError::group_max_size_reached, "The group is full."};
    }

    Result<void> update(const ConsumerMember* member) {
        if (member != nullptr && member->id != member_id_) {
            QT_TRY(replace_static_member(state_, *group_, member->id, member_id_, host_));
            member = group_->member(member_id_);
        }
        const MemberMetadata before = member == nullptr ? MemberMetadata{} : member->metadata;
        const Result<bool> written = write_member(state_, request_.group_id, member_id_,
                                                  merged(before, request_, from_), host_);
        if (!written) {
            return written.error();
        }
        group_ = find_consumer_group(state_, request_.group_id);
        return refresh(state_, *group_, host_);
    }

    Result<void> respond() {
        const MemberProgress before = group_->member(member_id_)->progress;
        // Who joins owns nothing.
        const Assignment none;
        const Assignment* owned = request_.member_epoch == kEpochJoin ? &none
                                  : owned_                            ? &*owned_
                                                                      : nullptr;
        QT_TRY_ASSIGN(const bool has_changed,
                      reconcile_member(state_, *group_, member_id_, owned, host_));
        const ConsumerMember& member = *group_->member(member_id_);
        renew_consumer_session(state_, *group_, member, host_);

        const bool is_full = request_.rebalance_timeout_ms >= 0 && owned_ &&
                             (request_.subscribed_topic_names || request_.subscribed_topic_regex);
        // A lower epoch, or other partitions than it may have: an answer got lost, or is to be
        // acted on yet.
        const bool is_behind = request_.member_epoch != before.epoch ||
                               (owned_ && *owned_ != plain(member.progress.assigned));
        ConsumerGroupHeartbeatResponse response;
        response.member_id = member_id_;
        response.member_epoch = member.progress.epoch;
        response.heartbeat_interval_ms =
            consumer_group_settings(host_, group_->id()).heartbeat_interval_ms;
        if (has_changed || is_full || is_behind) {
            auto& assignment = response.assignment.emplace();
            for (auto& [topic, partitions] : plain(member.progress.assigned)) {
                auto& to = assignment.topic_partitions.emplace_back();
                to.topic_id = topic;
                to.partitions = partitions;
            }
        }
        answer(response, from_.id, from_.api_version, host_);
        return {};
    }

    void leave() {
        group_ = find_consumer_group(state_, request_.group_id);
        if (group_ == nullptr) {
            return refuse({KafkaError::group_id_not_found,
                           "Group " + std::string(request_.group_id) + " not found."});
        }
        const ConsumerMember* member = request_.instance_id
                                           ? group_->static_member(*request_.instance_id)
                                           : group_->member(member_id_);
        if (member == nullptr) {
            return refuse({KafkaError::unknown_member_id, {}});
        }
        if (member->id != member_id_) {
            return refuse({KafkaError::fenced_instance_id, {}});
        }
        const Result<void> left = request_.member_epoch == kEpochStaticLeft
                                      ? leave_for_a_while(*member)
                                      : remove_consumer_member(state_, *group_, member->id, host_);
        if (!left) {
            return refuse({append_error(left.error().code), {}});
        }
        ConsumerGroupHeartbeatResponse response;
        response.member_id = member_id_;
        response.member_epoch = request_.member_epoch;
        answer(response, from_.id, from_.api_version, host_);
    }

    // Its partitions stay with it; what it was to give back is given back.
    Result<void> leave_for_a_while(const ConsumerMember& member) {
        MemberProgress progress = member.progress;
        progress.epoch = kEpochStaticLeft;
        progress.previous_epoch = member.progress.epoch;
        progress.state = MemberState::stable;
        progress.revoking.clear();
        state_.timers.cancel({group_->id(), TimerKind::consumer_revocation, member.id});
        return write_progress(*group_, member.id, progress, host_);
    }

    ShardState& state_;
    const ConsumerGroupHeartbeatRequest& request_;
    const coordinator::Request& from_;
    Host& host_;
    std::string member_id_;
    std::optional<Assignment> owned_;
    ConsumerGroup* group_ = nullptr;
};

} // namespace

void serve_consumer_group_heartbeat(ShardState& state, const coordinator::Request& request,
                                    Host& host) {
    const auto decoded = ConsumerGroupHeartbeatRequest::decode(request.body, request.api_version);
    if (!decoded) {
        ConsumerGroupHeartbeatResponse response;
        response.error_code = static_cast<int16_t>(KafkaError::invalid_request);
        return answer(response, request.id, request.api_version, host);
    }
    Heartbeat(state, *decoded, request, host).run();
}

} // namespace qtool::group
