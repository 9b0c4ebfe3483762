// DeleteTopics (key 20): by name, from version 6 on also by id. One topic is one or the other.
#include "lib/protocol/msg/delete_topics.h"

#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/mutation_quota.h"
#include "server/metadata/decide_topics.h"

namespace qtool::kafka {

namespace {

using protocol::DeleteTopicsRequest;
using protocol::DeleteTopicsResponse;

constexpr int16_t kTopicStatesVersionMin = 6; // names and ids in one list (KIP-516)
constexpr int16_t kQuotaErrorVersionMin = 5;  // THROTTLING_QUOTA_EXCEEDED (KIP-599)
constexpr int16_t kDisabledVersionMin = 3;    // TOPIC_DELETION_DISABLED; INVALID_REQUEST before

// One topic of the request: what is asked of the operation, or why nothing is.
struct Item {
    std::string_view name;
    TopicId id;
    std::optional<Error> error; // else the next result of the operation is this topic's
    bool over_quota = false;    // beside the error: told by another code
};

std::vector<Item> items_of(const DeleteTopicsRequest& request, const Context& context) {
    const int16_t version = context.head.api_version;
    std::vector<Item> items;
    for (const std::string_view name : request.topic_names) {
        items.push_back(Item{name, {}, {}, false});
    }
    for (const auto& topic : request.topics) {
        Item& item = items.emplace_back(Item{topic.name.value_or(""), topic.topic_id, {}, false});
        if (topic.name.has_value() == !topic.topic_id.is_zero()) {
            item.error = Error(Code::invalid_request,
                               "a topic is named by its name or its id, by exactly one of them");
        }
    }
    for (Item& item : items) {
        if (!context.services.config().delete_topic_enable) {
            item.error = Error(version >= kDisabledVersionMin ? Code::feature_disabled
                                                              : Code::invalid_request,
                               "delete.topic.enable is false on this broker");
        }
    }
    MutationQuota quota(context, kQuotaErrorVersionMin);
    const metadata::Image& image = *context.services.image();
    for (Item& item : items) {
        const metadata::TopicImage* topic =
            item.id.is_zero() ? image.topic(item.name) : image.topic(item.id);
        if (!item.error && topic != nullptr && quota.refuses(topic->partitions.size())) {
            item.over_quota = true;
            item.error = Error(Code::overloaded);
        }
    }
    return items;
}

std::vector<metadata::TopicToDelete> accepted(const std::vector<Item>& items) {
    std::vector<metadata::TopicToDelete> topics;
    for (const Item& item : items) {
        if (!item.error) {
            topics.push_back({std::string(item.name), item.id});
        }
    }
    return topics;
}

class DeleteTopicsPending final : public ChangePending<metadata::DeleteTopics> {
public:
    DeleteTopicsPending(const Context& context, std::vector<Item> items, int32_t timeout_ms)
        : ChangePending(context, metadata::DeleteTopics(accepted(items)), timeout_ms),
          items_(std::move(items)) {}

private:
    Answer answer(request::Services&) override {
        const auto& results = operation_.results();
        DeleteTopicsResponse response;
        size_t next = 0;
        for (const Item& item : items_) {
            auto& out = response.responses.emplace_back();
            out.name = item.name;
            out.topic_id = item.id;
            const Error* error = item.error ? &*item.error : nullptr;
            if (!item.error) {
                QT_ASSERT(next < results.size());
                const metadata::DeletedTopic& result = results[next++];
                error = result.error ? &*result.error : nullptr;
                out.name = result.name;
                out.topic_id = result.id;
            }
            if (head().api_version >= kTopicStatesVersionMin && out.name->empty()) {
                out.name.reset(); // asked by an id that nobody knows
            }
            fill_error(error, out);
            if (item.over_quota) {
                fill_refused(out);
            }
        }
        return Answer{make_answer(head(), response)};
    }

    std::vector<Item> items_;
};

} // namespace

Outcome handle_delete_topics(const Context& context) {
    KAFKA_DECODE(DeleteTopicsRequest, request, context);
    std::vector<Item> items = items_of(request, context);
    return std::make_unique<DeleteTopicsPending>(context, std::move(items), request.timeout_ms);
}

} // namespace qtool::kafka
