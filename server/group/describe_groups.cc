// DescribeGroups (key 15): classic groups and their members.
#include "lib/protocol/msg/describe_groups.h"

#include "lib/base/assert.h"
#include "server/group/classic_group.h"
#include "server/group/requests.h"

namespace qtool::group {

namespace {

using coordinator::Host;
using protocol::DescribeGroupsRequest;
using protocol::DescribeGroupsResponse;

constexpr int16_t kNotFoundFrom = 6; // below, an unknown group is Dead without an error

// What may be done with a group where nobody is refused anything: read, delete, describe, and
// describe and alter its configs (KIP-430, bit n for AclOperation n).
constexpr int32_t kAllOperations = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

void describe(const ClassicGroup& group, DescribeGroupsResponse::DescribedGroup& out) {
    const bool is_stable = group.state == ClassicState::stable;
    out.group_state = group.state_name();
    out.protocol_type = group.type;
    out.protocol_data = is_stable && group.protocol ? std::string_view(*group.protocol) : "";
    for (const auto& [member_id, member] : group.members) {
        auto& member_out = out.members.emplace_back();
        member_out.member_id = member_id;
        member_out.group_instance_id = member.instance_id;
        member_out.client_id = member.client_id;
        member_out.client_host = member.client_host;
        if (is_stable) {
            const ClassicMember::Protocol* metadata =
                group.protocol ? member.find_protocol(*group.protocol) : nullptr;
            member_out.member_metadata =
                metadata == nullptr ? ByteView() : ByteView(metadata->metadata);
            member_out.member_assignment = member.assignment;
        }
    }
}

} // namespace

void serve_describe_groups(ShardState& state, const coordinator::Request& from, Host& host) {
    const auto request = DescribeGroupsRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    DescribeGroupsResponse response;
    std::vector<std::string> messages; // views of these stand in the response
    messages.reserve(request->groups.size());
    for (const std::string_view group_id : request->groups) {
        auto& out = response.groups.emplace_back();
        out.group_id = group_id;
        if (request->include_authorized_operations) {
            out.authorized_operations = kAllOperations;
        }
        if (const ClassicGroup* group = state.find_classic(group_id); group != nullptr) {
            describe(*group, out);
            continue;
        }
        out.group_state = "Dead";
        if (from.api_version >= kNotFoundFrom) {
            const bool is_other = state.find(group_id) != nullptr;
            messages.push_back("Group " + std::string(group_id) +
                               (is_other ? " is not a classic group." : " not found."));
            out.error_code = static_cast<int16_t>(KafkaError::group_id_not_found);
            out.error_message = messages.back();
        }
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
