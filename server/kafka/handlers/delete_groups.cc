// DeleteGroups (key 42): each group is deleted by its coordinator.
#include "lib/protocol/msg/delete_groups.h"

#include "server/kafka/handlers/group_fan_out.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::DeleteGroupsRequest;
using protocol::DeleteGroupsResponse;
using Results = std::vector<DeleteGroupsResponse::DeletableGroupResult>;

class DeleteGroupsPending final
    : public GroupFanOut<DeleteGroupsRequest, DeleteGroupsResponse, Results> {
public:
    using GroupFanOut::GroupFanOut;

private:
    [[nodiscard]] size_t group_count() const override { return request().groups_names.size(); }
    [[nodiscard]] std::string_view group_id(size_t index) const override {
        return request().groups_names[index];
    }
    [[nodiscard]] DeleteGroupsRequest part(const std::vector<size_t>& groups) const override {
        DeleteGroupsRequest part;
        for (const size_t index : groups) {
            part.groups_names.push_back(request().groups_names[index]);
        }
        return part;
    }
    [[nodiscard]] Results& outcomes(DeleteGroupsResponse& response) const override {
        return response.results;
    }
    void fail(Results::value_type& outcome, size_t index, int16_t error_code) const override {
        outcome.group_id = group_id(index);
        outcome.error_code = error_code;
    }
};

} // namespace

Outcome handle_delete_groups(const Context& context) {
    KAFKA_DECODE(DeleteGroupsRequest, request, context);
    return std::make_unique<DeleteGroupsPending>(context, std::move(request));
}

} // namespace qtool::kafka
