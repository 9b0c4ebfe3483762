// ListGroups (key 16): the groups of this shard, by state and type.
#include "lib/protocol/msg/list_groups.h"

#include "lib/base/assert.h"
#include "server/group/requests.h"

#include <algorithm>

namespace qtool::group {

namespace {

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    const auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](char x, char y) { return lower(x) == lower(y); });
}

bool passes(const std::vector<std::string_view>& filter, std::string_view value) {
    return filter.empty() || std::any_of(filter.begin(), filter.end(), [&](auto wanted) {
               return equals_ignoring_case(wanted, value);
           });
}

} // namespace

void serve_list_groups(ShardState& state, const coordinator::Request& from,
                       coordinator::Host& host) {
    const auto request = protocol::ListGroupsRequest::decode(from.body, from.api_version);
    QT_ASSERT(request);
    protocol::ListGroupsResponse response;
    for (const auto& [id, group] : state.groups) {
        if (passes(request->states_filter, group->state_name()) &&
            passes(request->types_filter, to_string(group->kind()))) {
            auto& out = response.groups.emplace_back();
            out.group_id = id;
            out.protocol_type = group->protocol_type();
            out.group_state = group->state_name();
            out.group_type = to_string(group->kind());
        }
    }
    answer(response, from.id, from.api_version, host);
}

} // namespace qtool::group
