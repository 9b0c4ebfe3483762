// DescribeGroups (key 15): each group is described by its coordinator.
#include "lib/protocol/msg/describe_groups.h"

#include "server/kafka/handlers/group_fan_out.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::DescribeGroupsRequest;
using protocol::DescribeGroupsResponse;
using Groups = std::vector<DescribeGroupsResponse::DescribedGroup>;

class DescribeGroupsPending final
    : public GroupFanOut<DescribeGroupsRequest, DescribeGroupsResponse, Groups> {
public:
    using GroupFanOut::GroupFanOut;

private:
    [[nodiscard]] size_t group_count() const override { return request().groups.size(); }
    [[nodiscard]] std::string_view group_id(size_t index) const override {
        return request().groups[index];
    }
    [[nodiscard]] DescribeGroupsRequest part(const std::vector<size_t>& groups) const override {
        DescribeGroupsRequest part;
        part.include_authorized_operations = request().include_authorized_operations;
        for (const size_t index : groups) {
            part.groups.push_back(request().groups[index]);
        }
        return part;
    }
    [[nodiscard]] Groups& outcomes(DescribeGroupsResponse& response) const override {
        return response.groups;
    }
    void fail(Groups::value_type& outcome, size_t index, int16_t error_code) const override {
        outcome.group_id = group_id(index);
        outcome.error_code = error_code;
    }
};

} // namespace

Outcome handle_describe_groups(const Context& context) {
    KAFKA_DECODE(DescribeGroupsRequest, request, context);
    return std::make_unique<DescribeGroupsPending>(context, std::move(request));
}

} // namespace qtool::kafka
