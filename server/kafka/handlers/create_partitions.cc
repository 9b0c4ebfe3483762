// CreatePartitions (key 37): raises the partition count of topics.
#include "lib/protocol/msg/create_partitions.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/metadata/decide_topics.h"

namespace qtool::kafka {

namespace {

using protocol::CreatePartitionsRequest;
using protocol::CreatePartitionsResponse;

class CreatePartitionsPending final : public ChangePending<metadata::CreatePartitions> {
public:
    CreatePartitionsPending(const Context& context, CreatePartitionsRequest request)
        : ChangePending(context,
                        metadata::CreatePartitions(more_partitions(request), request.validate_only),
                        request.timeout_ms),
          request_(std::move(request)) {}

private:
    static std::vector<metadata::MorePartitions>
    more_partitions(const CreatePartitionsRequest& request) {
        std::vector<metadata::MorePartitions> topics;
        for (const auto& topic : request.topics) {
            metadata::MorePartitions& more = topics.emplace_back();
            more.name = topic.name;
            more.count = topic.count;
            if (!topic.assignments) {
                continue; // the broker places them
            }
            more.assignments.emplace();
            for (const auto& assignment : *topic.assignments) {
                auto& replicas = more.assignments->emplace_back();
                for (const int32_t broker : assignment.broker_ids) {
                    replicas.emplace_back(broker);
                }
            }
        }
        return topics;
    }

    Answer answer(request::Services&) override {
        const auto& results = operation_.results();
        QT_ASSERT(results.size() == request_.topics.size());
        CreatePartitionsResponse response;
        bool failed = false;
        for (size_t i = 0; i < results.size(); i++) {
            auto& out = response.results.emplace_back();
            out.name = request_.topics[i].name;
            fill_error(results[i] ? &*results[i] : nullptr, out);
            failed = failed || results[i].has_value();
        }
        return Answer{make_answer(head(), response), failed};
    }

    CreatePartitionsRequest request_;
};

} // namespace

Outcome handle_create_partitions(const Context& context) {
    KAFKA_DECODE(CreatePartitionsRequest, request, context);
    return std::make_unique<CreatePartitionsPending>(context, std::move(request));
}

} // namespace qtool::kafka
