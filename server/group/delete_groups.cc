// DeleteGroups (key 42): empty groups go, with their offsets.
#include "lib/protocol/msg/delete_groups.h"

#include "lib/base/assert.h"
#include "server/group/offset_expiry.h"
#include "server/group/requests.h"

namespace qtool::group {

namespace {

using coordinator::Host;

// Offsets first: should an append fail in between, the group is still there to be deleted.
KafkaError delete_group(ShardState& state, std::string_view group_id, Host& host) {
    const Group* group = state.find(group_id);
    if (group == nullptr) {
        return KafkaError::group_id_not_found;
    }
    if (!group->is_empty()) {
        return KafkaError::non_empty_group;
    }
    std::vector<coordinator::NewRecord> tombstones;
    add_offset_tombstones(state, group_id, tombstones);
    group->add_tombstones(tombstones);
    const auto appended = append_in_batches(std::move(tombstones), host);
    return appended ? KafkaError::none : append_error(appended.error().code);
}

} // namespace

void serve_delete_groups(ShardState& state, const coordinator::Request& from, Host& host) {
    const auto request = protocol::DeleteGroupsRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    protocol::DeleteGroupsResponse response;
    for (const std::string_view group_id : request->groups_names) {
        auto& out = response.results.emplace_back();
        out.group_id = group_id;
        out.error_code = static_cast<int16_t>(delete_group(state, group_id, host));
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
