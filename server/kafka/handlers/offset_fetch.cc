// OffsetFetch (key 9): one group up to version 7, a list of groups, each with its coordinator, from
// version 8 on.
#include "lib/protocol/msg/offset_fetch.h"

#include "server/kafka/handlers/group_fan_out.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;
using Groups = std::vector<OffsetFetchResponse::OffsetFetchResponseGroup>;

constexpr int16_t kGroupsFrom = 8;

class OffsetFetchPending final
    : public GroupFanOut<OffsetFetchRequest, OffsetFetchResponse, Groups> {
public:
    using GroupFanOut::GroupFanOut;

private:
    [[nodiscard]] size_t group_count() const override { return request().groups.size(); }
    [[nodiscard]] std::string_view group_id(size_t index) const override {
        return request().groups[index].group_id;
    }
    [[nodiscard]] OffsetFetchRequest part(const std::vector<size_t>& groups) const override {
        OffsetFetchRequest part;
        part.require_stable = request().require_stable;
        for (const size_t index : groups) {
            part.groups.push_back(request().groups[index]);
        }
        return part;
    }
    [[nodiscard]] Groups& outcomes(OffsetFetchResponse& response) const override {
        return response.groups;
    }
    void fail(Groups::value_type& outcome, size_t index, int16_t error_code) const override {
        outcome.group_id = group_id(index);
        outcome.error_code = error_code;
    }
};

// Version 1 has no error at the top; there it stands on the partitions.
OffsetFetchResponse make_error(const OffsetFetchRequest& request, int16_t error_code) {
    OffsetFetchResponse response;
    response.error_code = error_code;
    if (!request.topics) {
        return response;
    }
    for (const auto& topic : *request.topics) {
        auto& topic_out = response.topics.emplace_back();
        topic_out.name = topic.name;
        for (const int32_t partition : topic.partition_indexes) {
            auto& out = topic_out.partitions.emplace_back();
            out.partition_index = partition;
            out.committed_offset = -1;
            out.error_code = error_code;
        }
    }
    return response;
}

} // namespace

Outcome handle_offset_fetch(const Context& context) {
    KAFKA_DECODE(OffsetFetchRequest, request, context);
    if (context.head.api_version >= kGroupsFrom) {
        return std::make_unique<OffsetFetchPending>(context, std::move(request));
    }
    const std::string_view group_id = request.group_id;
    return std::make_unique<CoordinatorCall<OffsetFetchRequest, OffsetFetchResponse>>(
        context, metadata::kGroupTopic, std::move(request), group_id, make_error);
}

} // namespace qtool::kafka
