#include "server/group/consumer_group_classic.h"

#include "lib/base/assert.h"
#include "server/group/classic_rebalance.h"
#include "server/group/consumer_group_changes.h"
#include "server/group/consumer_group_migration.h"
#include "server/group/consumer_protocol.h"
#include "server/group/limits.h"

#include <algorithm>

namespace qtool::group {
namespace {

using coordinator::Host;

constexpr int16_t kMemberIdRequiredFrom = 4; // KIP-394
constexpr int16_t kRebalanceTimeoutFrom = 1;
constexpr int16_t kGroupProtocolTypeFrom = 7;

// The member a request of the classic protocol is about, or why there is none.
KafkaError check_classic(const ConsumerGroup& group, std::string_view member_id,
                         const std::optional<std::string_view>& instance_id) {
    if (instance_id) {
        const ConsumerMember* holder = group.static_member(*instance_id);
        if (holder == nullptr) {
            return KafkaError::unknown_member_id;
        }
        if (holder->id != member_id) {
            return KafkaError::fenced_instance_id;
        }
    }
    const ConsumerMember* member = group.member(member_id);
    return member != nullptr && member->metadata.classic ? KafkaError::none
                                                         : KafkaError::unknown_member_id;
}

// Some partition of the member's target that it does not have is free now.
bool has_free_target(const ConsumerGroup& group, const ConsumerMember& member) {
    bool found = false;
    for_each_partition(
        without(group.target(member.id), plain(member.progress.assigned)),
        [&](const PartitionKey& key) { found = found || group.owner(key) == nullptr; });
    return found;
}

// By the target and not by the group's epoch: within the assignment interval a join would bring
// nothing, and the member would be sent round in circles.
bool must_join_again(const ConsumerGroup& group, const ConsumerMember& member) {
    const MemberProgress& progress = member.progress;
    return progress.epoch < group.target_epoch() || progress.state == MemberState::unrevoked ||
           (progress.state == MemberState::unreleased && has_free_target(group, member));
}

void expect_join(ShardState& state, const ConsumerGroup& group, const ConsumerMember& member,
                 Host& host) {
    const TimerKey timer{group.id(), TimerKind::consumer_join, member.id};
    if (!state.timers.is_set(timer)) {
        state.timers.set(timer, host.now() + clamped_ms(member.metadata.rebalance_timeout_ms));
    }
}

// All classic members, this one included, know one protocol together.
bool supports(const ConsumerGroup& group, std::string_view member_id,
              const protocol::JoinGroupRequest& request) {
    return std::any_of(
        request.protocols.begin(), request.protocols.end(), [&](const auto& offered) {
            return std::all_of(
                group.members().begin(), group.members().end(), [&](const auto& entry) {
                    const auto& classic = entry.second.metadata.classic;
                    return entry.first == member_id || !classic ||
                           std::any_of(classic->protocols.begin(), classic->protocols.end(),
                                       [&](const ClassicMetadata::Protocol& known) {
                                           return known.name == offered.name;
                                       });
                });
        });
}

MemberMetadata metadata_of(const MemberMetadata& before, const protocol::JoinGroupRequest& request,
                           const protocol::ConsumerProtocolSubscription& subscription,
                           const coordinator::Request& from) {
    MemberMetadata after = before;
    after.client_id = from.client_id;
    after.client_host = from.client_host;
    if (request.group_instance_id) {
        after.instance_id = *request.group_instance_id;
    }
    if (subscription.rack_id) {
        after.rack_id = *subscription.rack_id;
    }
    after.topic_names = {subscription.topics.begin(), subscription.topics.end()};
    after.topic_regex.clear();
    after.assignor.reset();
    after.rebalance_timeout_ms = from.api_version >= kRebalanceTimeoutFrom
                                     ? request.rebalance_timeout_ms
                                     : request.session_timeout_ms;
    ClassicMetadata& classic = after.classic.emplace();
    classic.session_timeout_ms = request.session_timeout_ms;
    for (const auto& offered : request.protocols) {
        classic.protocols.push_back(
            {std::string(offered.name), {offered.metadata.begin(), offered.metadata.end()}});
    }
    return after;
}

class Join {
public:
    Join(ShardState& state, std::string_view group_id, const protocol::JoinGroupRequest& request,
         const coordinator::Request& from, Host& host)
        : state_(state),
          group_id_(group_id),
          request_(request),
          from_(from),
          host_(host),
          member_id_(request.member_id) {}

    void run() {
        const ConsumerGroup& group = *find_consumer_group(state_, group_id_);
        const auto& options = host_.config().consumer_groups;
        const bool is_allowed = options.may_upgrade || options.may_downgrade;
        if (!is_allowed || request_.protocol_type != kConsumerProtocolType ||
            request_.protocols.empty() || !supports(group, member_id_, request_)) {
            return refuse(KafkaError::inconsistent_group_protocol);
        }
        const auto subscription = read_subscription(request_.protocols.front().metadata);
        if (!subscription) {
            return refuse(KafkaError::inconsistent_group_protocol);
        }
        const KafkaError error = identify(group);
        if (error != KafkaError::none) {
            return refuse(error);
        }
        if (const Result<void> joined = join(*subscription); !joined) {
            refuse(append_error(joined.error().code));
        }
    }

private:
    void refuse(KafkaError error) {
        answer_join_error(error, member_id_, {from_.id, from_.api_version}, host_);
    }

    // Finds out who it is; a member that is new gets its id. replaced_: whose place it takes.
    KafkaError identify(const ConsumerGroup& group) {
        const ConsumerMember* holder =
            request_.group_instance_id ? group.static_member(*request_.group_instance_id) : nullptr;
        if (!member_id_.empty()) {
            if (holder != nullptr && holder->id != member_id_) {
                return KafkaError::fenced_instance_id;
            }
            if (request_.group_instance_id && holder == nullptr) {
                return KafkaError::unknown_member_id;
            }
            return group.member(member_id_) != nullptr ? KafkaError::none : check_room(group);
        }
        member_id_ = make_member_id(
            request_.group_instance_id ? *request_.group_instance_id : from_.client_id, host_);
        if (holder != nullptr) {
            replaced_ = holder->id;
            return KafkaError::none;
        }
        if (!request_.group_instance_id && from_.api_version >= kMemberIdRequiredFrom) {
            return KafkaError::member_id_required;
        }
        return check_room(group);
    }

    KafkaError check_room(const ConsumerGroup& group) const {
        const auto size_max = static_cast<size_t>(host_.config().consumer_groups.size_max);
        return group.members().size() < std::min(size_max, kMembersMax)
                   ? KafkaError::none
                   : KafkaError::group_max_size_reached;
    }

    Result<void> join(const protocol::ConsumerProtocolSubscription& subscription) {
        ConsumerGroup& group = *find_consumer_group(state_, group_id_);
        if (replaced_) {
            QT_TRY(replace_static_member(state_, group, *replaced_, member_id_, host_));
        }
        const ConsumerMember* before = group.member(member_id_);
        const Result<bool> written =
            write_member(state_, group_id_, member_id_,
                         metadata_of(before == nullptr ? MemberMetadata{} : before->metadata,
                                     request_, subscription, from_),
                         host_);
        if (!written) {
            return written.error();
        }
        QT_TRY(refresh(state_, group, host_));
        // A member that asks again after a lost answer may still work on what it says it owns,
        // whatever generation it was told that in.
        const Assignment owned = to_assignment(subscription.owned_partitions, host_.image());
        const Result<bool> stepped = reconcile_member(state_, group, member_id_, &owned, host_);
        if (!stepped) {
            return stepped.error();
        }
        const ConsumerMember& member = *group.member(member_id_);
        renew_consumer_session(state_, group, member, host_);
        state_.timers.cancel({group.id(), TimerKind::consumer_join, member_id_});
        state_.timers.set({group.id(), TimerKind::consumer_sync, member_id_},
                          host_.now() + clamped_ms(member.metadata.rebalance_timeout_ms));
        protocol::JoinGroupResponse response;
        response.member_id = member_id_;
        response.generation_id = member.progress.epoch;
        if (from_.api_version >= kGroupProtocolTypeFrom) {
            response.protocol_type = kConsumerProtocolType;
        }
        response.protocol_name = request_.protocols.front().name;
        answer(response, from_.id, from_.api_version, host_);
        return {};
    }

    ShardState& state_;
    std::string_view group_id_;
    const protocol::JoinGroupRequest& request_;
    const coordinator::Request& from_;
    Host& host_;
    std::string member_id_;
    std::optional<std::string> replaced_; // the member whose instance id it has
};

} // namespace

void join_consumer_group(ShardState& state, std::string_view group_id,
                         const protocol::JoinGroupRequest& request,
                         const coordinator::Request& from, Host& host) {
    Join(state, group_id, request, from, host).run();
}

void sync_consumer_group(ShardState& state, ConsumerGroup& group,
                         const protocol::SyncGroupRequest& request,
                         const coordinator::Request& from, Host& host) {
    protocol::SyncGroupResponse response;
    const auto refuse = [&](KafkaError error) {
        response.error_code = static_cast<int16_t>(error);
        answer(response, from.id, from.api_version, host);
    };
    const KafkaError error = check_classic(group, request.member_id, request.group_instance_id);
    if (error != KafkaError::none) {
        return refuse(error);
    }
    const ConsumerMember& member = *group.member(request.member_id);
    if (request.generation_id != member.progress.epoch) {
        return refuse(KafkaError::illegal_generation);
    }
    const std::string& protocol = member.metadata.classic->protocols.front().name;
    if ((request.protocol_type && *request.protocol_type != kConsumerProtocolType) ||
        (request.protocol_name && *request.protocol_name != protocol)) {
        return refuse(KafkaError::inconsistent_group_protocol);
    }
    if (member.progress.epoch < group.target_epoch() &&
        member.progress.state == MemberState::stable) {
        expect_join(state, group, member, host);
        return refuse(KafkaError::rebalance_in_progress);
    }
    state.timers.cancel({group.id(), TimerKind::consumer_sync, member.id});
    renew_consumer_session(state, group, member, host);
    const std::vector<std::byte> assignment = classic_assignment(member, host.image());
    response.protocol_type = kConsumerProtocolType;
    response.protocol_name = protocol;
    response.assignment = assignment;
    answer(response, from.id, from.api_version, host);
}

KafkaError beat_consumer_group(ShardState& state, ConsumerGroup& group,
                               const protocol::HeartbeatRequest& request, Host& host) {
    const KafkaError error = check_classic(group, request.member_id, request.group_instance_id);
    if (error != KafkaError::none) {
        return error;
    }
    const ConsumerMember& member = *group.member(request.member_id);
    if (request.generation_id != member.progress.epoch) {
        return KafkaError::illegal_generation;
    }
    renew_consumer_session(state, group, member, host);
    if (!must_join_again(group, member)) {
        return KafkaError::none;
    }
    expect_join(state, group, member, host);
    return KafkaError::rebalance_in_progress;
}

KafkaError leave_consumer_group(ShardState& state, std::string_view group_id,
                                std::string_view member_id,
                                const std::optional<std::string_view>& instance_id, Host& host) {
    ConsumerGroup& group = *find_consumer_group(state, group_id);
    std::string leaver(member_id);
    if (member_id.empty() && instance_id) { // an admin tool gives the instance id alone
        const ConsumerMember* holder = group.static_member(*instance_id);
        if (holder == nullptr) {
            return KafkaError::unknown_member_id;
        }
        leaver = holder->id;
    } else if (const KafkaError error = check_classic(group, member_id, instance_id);
               error != KafkaError::none) {
        return error;
    }
    const Result<void> removed = remove_consumer_member(state, group, leaver, host);
    return removed ? KafkaError::none : append_error(removed.error().code);
}

} // namespace qtool::group
