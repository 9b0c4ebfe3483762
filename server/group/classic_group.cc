#include "server/group/classic_group.h"

#include "lib/base/assert.h"
#include "server/group/consumer_protocol.h"
#include "server/group/replay.h"

#include <algorithm>

namespace qtool::group {

namespace {

std::vector<std::byte> copy(ByteView bytes) {
    return {bytes.begin(), bytes.end()};
}

// v4 is flexible and says nothing more than v3, which older tools read too.
constexpr int16_t kGroupMetadataVersion = 3;

} // namespace

std::string_view to_string(ClassicState state) noexcept {
    switch (state) {
    case ClassicState::empty:
        return "Empty";
    case ClassicState::preparing_rebalance:
        return "PreparingRebalance";
    case ClassicState::completing_rebalance:
        return "CompletingRebalance";
    case ClassicState::stable:
        return "Stable";
    }
    QT_UNREACHABLE();
}

const ClassicMember::Protocol* ClassicMember::find_protocol(std::string_view name) const {
    const auto found = std::find_if(protocols.begin(), protocols.end(),
                                    [&](const Protocol& known) { return known.name == name; });
    return found == protocols.end() ? nullptr : &*found;
}

bool ClassicGroup::is_empty() const {
    return state == ClassicState::empty && pending_members.empty();
}

KafkaError ClassicGroup::check_commit(const CommitCheck& check) const {
    const bool names_member =
        check.generation_or_epoch >= 0 || !check.member_id.empty() || check.instance_id.has_value();
    if (check.generation_or_epoch < 0 && state == ClassicState::empty) {
        return KafkaError::none; // a tool, or a consumer that assigns itself
    }
    if (names_member) {
        const KafkaError error = check_member(check.member_id, check.instance_id);
        if (error != KafkaError::none) {
            return error;
        }
        if (check.generation_or_epoch != generation) {
            return KafkaError::illegal_generation;
        }
    } else if (!check.is_transactional) {
        return KafkaError::unknown_member_id; // members use the group
    }
    if (!check.is_transactional && state == ClassicState::completing_rebalance) {
        return KafkaError::rebalance_in_progress;
    }
    return KafkaError::none;
}

KafkaError ClassicGroup::check_fetch(const std::optional<std::string_view>& /*member_id*/,
                                     int32_t /*member_epoch*/) const {
    return KafkaError::none; // members of classic groups do not say who they are
}

KafkaError ClassicGroup::check_offset_delete() const {
    return state == ClassicState::empty || type == kConsumerProtocolType
               ? KafkaError::none
               : KafkaError::non_empty_group;
}

bool ClassicGroup::is_subscribed(std::string_view topic) const {
    if (type != kConsumerProtocolType || !protocol) {
        return false;
    }
    return std::any_of(members.begin(), members.end(), [&](const auto& entry) {
        const ClassicMember::Protocol* metadata = entry.second.find_protocol(*protocol);
        if (metadata == nullptr) {
            return false;
        }
        const auto topics = subscribed_topics(metadata->metadata);
        return topics && std::find(topics->begin(), topics->end(), topic) != topics->end();
    });
}

std::optional<ExpiryRule> ClassicGroup::expiry_rule() const {
    if (type.empty()) {
        return ExpiryRule{.since = ExpiryRule::Since::commit};
    }
    if (state == ClassicState::empty) {
        // Records of old versions do not say since when.
        return state_since_ms < 0 ? ExpiryRule{.since = ExpiryRule::Since::commit}
                                  : ExpiryRule{.since = ExpiryRule::Since::group_empty,
                                               .group_empty_ms = state_since_ms};
    }
    if (state == ClassicState::stable && type == kConsumerProtocolType) {
        return ExpiryRule{.since = ExpiryRule::Since::commit, .spares_subscribed = true};
    }
    return std::nullopt;
}

void ClassicGroup::add_tombstones(std::vector<coordinator::NewRecord>& records) const {
    records.push_back(make_tombstone(protocol::GroupMetadataKey{.group = id()}));
}

ClassicMember* ClassicGroup::find_member(std::string_view member_id) {
    const auto found = members.find(member_id);
    return found == members.end() ? nullptr : &found->second;
}

const ClassicMember* ClassicGroup::find_member(std::string_view member_id) const {
    const auto found = members.find(member_id);
    return found == members.end() ? nullptr : &found->second;
}

ClassicMember* ClassicGroup::find_static(std::string_view instance_id) {
    const auto found = static_members.find(instance_id);
    return found == static_members.end() ? nullptr : find_member(found->second);
}

KafkaError ClassicGroup::check_member(std::string_view member_id,
                                      const std::optional<std::string_view>& instance_id) const {
    if (instance_id) {
        const auto found = static_members.find(*instance_id);
        if (found == static_members.end()) {
            return KafkaError::unknown_member_id;
        }
        if (found->second != member_id) {
            return KafkaError::fenced_instance_id;
        }
    }
    return members.contains(member_id) ? KafkaError::none : KafkaError::unknown_member_id;
}

bool ClassicGroup::supports(std::string_view protocol_type,
                            const std::vector<ClassicMember::Protocol>& protocols) const {
    if (protocol_type.empty() || protocols.empty()) {
        return false;
    }
    if (state == ClassicState::empty || members.empty()) {
        return true;
    }
    return protocol_type == type &&
           std::any_of(protocols.begin(), protocols.end(), [&](const auto& offered) {
               return std::all_of(members.begin(), members.end(), [&](const auto& entry) {
                   return entry.second.find_protocol(offered.name) != nullptr;
               });
           });
}

std::string ClassicGroup::select_protocol() const {
    QT_ASSERT(!members.empty());
    const auto known_to_all = [&](const std::string& name) {
        return std::all_of(members.begin(), members.end(), [&](const auto& entry) {
            return entry.second.find_protocol(name) != nullptr;
        });
    };
    std::vector<std::string> candidates;
    for (const ClassicMember::Protocol& offered : members.begin()->second.protocols) {
        if (known_to_all(offered.name)) {
            candidates.push_back(offered.name);
        }
    }
    QT_ASSERT(!candidates.empty());
    std::map<std::string, size_t> votes;
    for (const auto& [member_id, member] : members) {
        for (const ClassicMember::Protocol& wanted : member.protocols) {
            if (std::find(candidates.begin(), candidates.end(), wanted.name) != candidates.end()) {
                votes[wanted.name]++;
                break;
            }
        }
    }
    return std::max_element(votes.begin(), votes.end(),
                            [](const auto& a, const auto& b) { return a.second < b.second; })
        ->first;
}

int32_t ClassicGroup::rebalance_timeout_ms() const {
    int32_t longest = 0;
    for (const auto& [member_id, member] : members) {
        longest = std::max(longest, member.rebalance_timeout_ms);
    }
    return longest;
}

bool ClassicGroup::all_joined() const {
    return pending_members.empty() &&
           std::all_of(members.begin(), members.end(),
                       [](const auto& entry) { return entry.second.join.has_value(); });
}

ClassicMember& ClassicGroup::add_member(ClassicMember member) {
    QT_ASSERT(!members.contains(member.id));
    if (member.instance_id) {
        static_members[*member.instance_id] = member.id;
    }
    if (!leader) {
        leader = member.id;
    }
    const auto added = members.emplace(member.id, std::move(member)).first;
    return added->second;
}

void ClassicGroup::remove_member(std::string_view member_id) {
    const auto found = members.find(member_id);
    if (found == members.end()) {
        return;
    }
    if (found->second.instance_id) {
        const auto bound = static_members.find(*found->second.instance_id);
        if (bound != static_members.end() && bound->second == member_id) {
            static_members.erase(bound);
        }
    }
    const bool was_leader = leader && *leader == member_id;
    members.erase(found);
    if (was_leader) {
        leader = members.empty() ? std::nullopt : std::optional(members.begin()->first);
    }
}

ClassicMember& ClassicGroup::rename_member(std::string_view member_id, std::string_view new_id) {
    auto node = members.extract(members.find(member_id));
    QT_ASSERT(!node.empty());
    if (leader && *leader == node.key()) {
        leader = std::string(new_id);
    }
    node.key() = std::string(new_id);
    node.mapped().id = std::string(new_id);
    if (node.mapped().instance_id) {
        static_members[*node.mapped().instance_id] = std::string(new_id);
    }
    const auto inserted = members.insert(std::move(node));
    QT_ASSERT(inserted.inserted);
    return inserted.position->second;
}

coordinator::NewRecord ClassicGroup::record(int64_t now_ms) const {
    protocol::GroupMetadataValue value;
    value.protocol_type = type;
    value.generation = generation;
    value.protocol = protocol;
    value.leader = leader;
    value.current_state_timestamp = now_ms;
    for (const auto& [member_id, member] : members) {
        auto& out = value.members.emplace_back();
        out.member_id = member_id;
        out.group_instance_id = member.instance_id;
        out.client_id = member.client_id;
        out.client_host = member.client_host;
        out.rebalance_timeout = member.rebalance_timeout_ms;
        out.session_timeout = member.session_timeout_ms;
        const ClassicMember::Protocol* known = protocol ? member.find_protocol(*protocol) : nullptr;
        out.subscription = known == nullptr ? ByteView() : ByteView(known->metadata);
        out.assignment = member.assignment;
    }
    return make_record(protocol::GroupMetadataKey{.group = id()}, value, kGroupMetadataVersion);
}

void ClassicGroup::apply(const protocol::GroupMetadataValue& value) {
    type = value.protocol_type;
    generation = value.generation;
    protocol = value.protocol ? std::optional(std::string(*value.protocol)) : std::nullopt;
    state_since_ms = value.current_state_timestamp;
    state = value.members.empty() ? ClassicState::empty : ClassicState::stable;

    std::map<std::string, ClassicMember, std::less<>> known = std::move(members);
    members.clear();
    static_members.clear();
    for (const auto& in : value.members) {
        auto node = known.extract(std::string(in.member_id));
        ClassicMember member = node.empty() ? ClassicMember() : std::move(node.mapped());
        member.id = in.member_id;
        member.instance_id =
            in.group_instance_id ? std::optional(std::string(*in.group_instance_id)) : std::nullopt;
        member.client_id = in.client_id;
        member.client_host = in.client_host;
        member.rebalance_timeout_ms =
            in.rebalance_timeout < 0 ? in.session_timeout : in.rebalance_timeout;
        member.session_timeout_ms = in.session_timeout;
        member.assignment = copy(in.assignment);
        if (member.protocols.empty() && protocol) {
            member.protocols.push_back({*protocol, copy(in.subscription)});
        }
        if (member.instance_id) {
            static_members[*member.instance_id] = member.id;
        }
        members.emplace(member.id, std::move(member));
    }
    leader = value.leader ? std::optional(std::string(*value.leader)) : std::nullopt;
}

} // namespace qtool::group
