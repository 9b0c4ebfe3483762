// CreatePartitions (key 37): raises the partition count of topics.
#include "lib/protocol/msg/create_partitions.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/mutation_quota.h"
#include "server/metadata/decide_topics.h"

namespace qtool::kafka {

namespace {

using protocol::CreatePartitionsRequest;
using protocol::CreatePartitionsResponse;

constexpr int16_t kQuotaErrorVersionMin = 3; // KIP-599

class CreatePartitionsPending final : public ChangePending<metadata::CreatePartitions> {
public:
    CreatePartitionsPending(const Context& context, CreatePartitionsRequest request)
        : CreatePartitionsPending(context, request, refused_topics(context, request)) {}

private:
    CreatePartitionsPending(const Context& context, CreatePartitionsRequest& request,
                            std::vector<bool> refused)
        : ChangePending(
              context,
              metadata::CreatePartitions(more_partitions(request, refused), request.validate_only),
              request.timeout_ms),
          request_(std::move(request)),
          refused_(std::move(refused)) {}

    // By the quota of topic changes.
    static std::vector<bool> refused_topics(const Context& context,
                                            const CreatePartitionsRequest& request) {
        MutationQuota quota(context, kQuotaErrorVersionMin);
        std::vector<bool> refused;
        for (const auto& topic : request.topics) {
            const metadata::TopicImage* image = context.services.image()->topic(topic.name);
            const int64_t before =
                image == nullptr ? topic.count : static_cast<int64_t>(image->partitions.size());
            const bool is_change = !request.validate_only && topic.count > before;
            refused.push_back(is_change &&
                              quota.refuses(static_cast<size_t>(topic.count - before)));
        }
        return refused;
    }

    static std::vector<metadata::MorePartitions>
    more_partitions(const CreatePartitionsRequest& request, const std::vector<bool>& refused) {
        std::vector<metadata::MorePartitions> topics;
        for (size_t i = 0; i < request.topics.size(); i++) {
            if (refused[i]) {
                continue;
            }
            const auto& topic = request.topics[i];
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
        CreatePartitionsResponse response;
        size_t next = 0;
        for (size_t i = 0; i < request_.topics.size(); i++) {
            auto& out = response.results.emplace_back();
            out.name = request_.topics[i].name;
            if (refused_[i]) {
                fill_refused(out);
                continue;
            }
            QT_ASSERT(next < results.size());
            const std::optional<Error>& error = results[next++];
            fill_error(error ? &*error : nullptr, out);
        }
        return Answer{make_answer(head(), response)};
    }

    CreatePartitionsRequest request_;
    std::vector<bool> refused_; // one a topic; the others are the operation's, in order
};

} // namespace

Outcome handle_create_partitions(const Context& context) {
    KAFKA_DECODE(CreatePartitionsRequest, request, context);
    return std::make_unique<CreatePartitionsPending>(context, std::move(request));
}

} // namespace qtool::kafka
