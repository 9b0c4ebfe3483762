// ConsumerGroupDescribe (key 69): each group is described by its coordinator.
#include "lib/protocol/msg/consumer_group_describe.h"

#include "server/kafka/handlers/group_fan_out.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::ConsumerGroupDescribeRequest;
using protocol::ConsumerGroupDescribeResponse;
using Groups = std::vector<ConsumerGroupDescribeResponse::DescribedGroup>;

class ConsumerGroupDescribePending final
    : public GroupFanOut<ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, Groups> {
public:
    using GroupFanOut::GroupFanOut;

private:
    [[nodiscard]] size_t group_count() const override { return request().group_ids.size(); }
    [[nodiscard]] std::string_view group_id(size_t index) const override {
        return request().group_ids[index];
    }
    [[nodiscard]] ConsumerGroupDescribeRequest
    part(const std::vector<size_t>& groups) const override {
        ConsumerGroupDescribeRequest part;
        part.include_authorized_operations = request().include_authorized_operations;
        for (const size_t index : groups) {
            part.group_ids.push_back(request().group_ids[index]);
        }
        return part;
    }
    [[nodiscard]] Groups& outcomes(ConsumerGroupDescribeResponse& response) const override {
        return response.groups;
    }
    void fail(Groups::value_type& outcome, size_t index, int16_t error_code) const override {
        outcome.group_id = group_id(index);
        outcome.error_code = error_code;
    }
};

} // namespace

Outcome handle_consumer_group_describe(const Context& context) {
    KAFKA_DECODE(ConsumerGroupDescribeRequest, request, context);
    return std::make_unique<ConsumerGroupDescribePending>(context, std::move(request));
}

} // namespace qtool::kafka
