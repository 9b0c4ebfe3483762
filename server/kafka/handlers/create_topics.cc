// CreateTopics (key 19): each topic succeeds or fails on its own; what the rules are is known to
// metadata::CreateTopics.
#include "lib/protocol/msg/create_topics.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/mutation_quota.h"
#include "server/metadata/decide_topics.h"

namespace qtool::kafka {

namespace {

using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;

constexpr int16_t kQuotaErrorVersionMin = 6; // KIP-599

metadata::NewTopic to_new_topic(const CreateTopicsRequest::CreatableTopic& topic) {
    metadata::NewTopic out;
    out.name = topic.name;
    out.partition_count = topic.num_partitions;
    out.replication_factor = topic.replication_factor;
    for (const auto& assignment : topic.assignments) {
        auto& replicas = out.assignments.emplace_back();
        replicas.partition = assignment.partition_index;
        for (const int32_t broker : assignment.broker_ids) {
            replicas.replicas.emplace_back(broker);
        }
    }
    for (const auto& option : topic.configs) {
        auto& config = out.configs.emplace_back();
        config.name = option.name;
        if (option.value) {
            config.value = std::string(*option.value);
        }
    }
    return out;
}

class CreateTopicsPending final : public ChangePending<metadata::CreateTopics> {
public:
    CreateTopicsPending(const Context& context, CreateTopicsRequest request)
        : CreateTopicsPending(context, request, refused_topics(context, request)) {}

private:
    CreateTopicsPending(const Context& context, CreateTopicsRequest& request,
                        std::vector<bool> refused)
        : ChangePending(context,
                        metadata::CreateTopics(new_topics(request, refused), request.validate_only,
                                               context.services.config()),
                        request.timeout_ms),
          request_(std::move(request)),
          refused_(std::move(refused)) {}

    // By the quota of topic changes. A topic that cannot be made costs nothing.
    static std::vector<bool> refused_topics(const Context& context,
                                            const CreateTopicsRequest& request) {
        MutationQuota quota(context, kQuotaErrorVersionMin);
        std::vector<bool> refused;
        for (const auto& topic : request.topics) {
            int64_t partitions = static_cast<int64_t>(topic.assignments.size());
            if (partitions == 0) {
                partitions = topic.num_partitions == -1 ? context.services.config().num_partitions
                                                        : topic.num_partitions;
            }
            const bool is_change = !request.validate_only && partitions > 0 &&
                                   context.services.image()->topic(topic.name) == nullptr;
            refused.push_back(is_change && quota.refuses(static_cast<size_t>(partitions)));
        }
        return refused;
    }

    static std::vector<metadata::NewTopic> new_topics(const CreateTopicsRequest& request,
                                                      const std::vector<bool>& refused) {
        std::vector<metadata::NewTopic> topics;
        topics.reserve(request.topics.size());
        for (size_t i = 0; i < request.topics.size(); i++) {
            if (!refused[i]) {
                topics.push_back(to_new_topic(request.topics[i]));
            }
        }
        return topics;
    }

    Answer answer(request::Services& services) override {
        const auto& results = operation_.results();
        CreateTopicsResponse response;
        std::vector<std::vector<config::DescribedOption>> options(results.size()); // viewed below
        size_t next = 0;
        for (size_t i = 0; i < request_.topics.size(); i++) {
            auto& out = response.topics.emplace_back();
            out.name = request_.topics[i].name;
            if (refused_[i]) {
                fill_refused(out);
                out.configs.reset();
                continue;
            }
            QT_ASSERT(next < results.size());
            const size_t at = next++;
            const metadata::CreatedTopic& result = results[at];
            fill_error(result.error ? &*result.error : nullptr, out);
            if (result.error) {
                out.configs.reset();
                continue;
            }
            out.topic_id = result.id;
            out.num_partitions = result.partition_count;
            out.replication_factor = result.replication_factor;
            options[at] = config::describe_topic(result.configs, services.config());
            fill_configs(options[at], *out.configs);
        }
        return Answer{make_answer(head(), response)};
    }

    static void fill_configs(const std::vector<config::DescribedOption>& options,
                             std::vector<CreateTopicsResponse::CreatableTopicConfigs>& out) {
        out.reserve(options.size());
        for (const config::DescribedOption& option : options) {
            auto& entry = out.emplace_back();
            entry.name = option.name;
            entry.value = option.value;
            entry.read_only = option.read_only;
            entry.config_source = static_cast<int8_t>(option.source);
            entry.is_sensitive = option.sensitive;
        }
    }

    CreateTopicsRequest request_;
    std::vector<bool> refused_; // one a topic; the others are the operation's, in order
};

} // namespace

Outcome handle_create_topics(const Context& context) {
    KAFKA_DECODE(CreateTopicsRequest, request, context);
    return std::make_unique<CreateTopicsPending>(context, std::move(request));
}

} // namespace qtool::kafka
