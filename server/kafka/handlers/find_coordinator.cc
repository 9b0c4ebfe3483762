// FindCoordinator (key 10): which broker coordinates a group or a transactional id: the leader of
// its partition of the internal topic. The first request makes that topic.
#include "lib/protocol/msg/find_coordinator.h"

#include "server/coordinator/machine.h"
#include "server/kafka/handlers/change_pending.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/internal_topic.h"

namespace qtool::kafka {

namespace {

using protocol::FindCoordinatorRequest;
using protocol::FindCoordinatorResponse;

constexpr int8_t kGroup = 0;
constexpr int8_t kTransaction = 1;
constexpr int16_t kBatchedVersionMin = 4;

std::string_view internal_topic(int8_t key_type) {
    return key_type == kGroup ? metadata::kGroupTopic : metadata::kTransactionTopic;
}

struct Found {
    int16_t error_code = 0;
    const char* error_message = nullptr;
    const metadata::BrokerImage* broker = nullptr;
};

Found find(const metadata::Image& image, const metadata::TopicImage* topic, std::string_view key) {
    Found found;
    if (topic != nullptr) {
        const auto count = static_cast<int32_t>(topic->partitions.size());
        const PartitionIndex shard = coordinator::shard_of(key, count);
        const BrokerId leader = topic->partitions[static_cast<size_t>(shard.value())].leader;
        if (image.is_live(leader)) {
            found.broker = image.find_broker(leader);
            return found;
        }
    }
    found.error_code = static_cast<int16_t>(protocol::KafkaError::coordinator_not_available);
    found.error_message = "The coordinator is not available.";
    return found;
}

template <class Out>
void fill(Out& out, const Found& found) {
    out.error_code = found.error_code;
    if (found.error_message != nullptr) {
        out.error_message = found.error_message;
    } else {
        out.error_message.reset();
    }
    out.node_id = found.broker == nullptr ? -1 : found.broker->id.value();
    out.host = found.broker == nullptr ? std::string_view() : found.broker->host;
    out.port = found.broker == nullptr ? -1 : found.broker->port;
}

Answer answer(const ReplyHead& head, const FindCoordinatorRequest& request,
              const metadata::Image& image) {
    const metadata::TopicImage* topic = image.topic(internal_topic(request.key_type));
    FindCoordinatorResponse response;
    if (head.api_version < kBatchedVersionMin) {
        const Found found = find(image, topic, request.key);
        fill(response, found);
    }
    for (const std::string_view key : request.coordinator_keys) {
        const Found found = find(image, topic, key);
        auto& out = response.coordinators.emplace_back();
        out.key = key;
        fill(out, found);
    }
    return Answer{make_answer(head, response)};
}

Answer refuse(const ReplyHead& head, const FindCoordinatorRequest& request) {
    Found refused;
    refused.error_code = static_cast<int16_t>(protocol::KafkaError::invalid_request);
    refused.error_message = "Only coordinators of groups and transactions are served.";
    FindCoordinatorResponse response;
    if (head.api_version < kBatchedVersionMin) {
        fill(response, refused);
    }
    for (const std::string_view key : request.coordinator_keys) {
        auto& out = response.coordinators.emplace_back();
        out.key = key;
        fill(out, refused);
    }
    return Answer{make_answer(head, response)};
}

class CreatePending final : public ChangePending<metadata::CreateTopics> {
public:
    CreatePending(const Context& context, FindCoordinatorRequest request)
        : ChangePending(context,
                        metadata::CreateTopics({new_internal_topic(internal_topic(request.key_type),
                                                                   context.services)},
                                               false, context.services.config()),
                        kInternalTopicTimeoutMs),
          request_(std::move(request)) {}

private:
    // The image has the topic by now, whoever made it; if not, the client asks again.
    Answer answer(request::Services& services) override {
        return kafka::answer(head(), request_, *services.image());
    }

    FindCoordinatorRequest request_; // views of the frame, which ChangePending keeps alive
};

} // namespace

Outcome handle_find_coordinator(const Context& context) {
    KAFKA_DECODE(FindCoordinatorRequest, request, context);
    if (request.key_type != kGroup && request.key_type != kTransaction) {
        return refuse(context.head, request);
    }
    const metadata::ImageRef& image = context.services.image();
    if (image->topic(internal_topic(request.key_type)) == nullptr) {
        return std::make_unique<CreatePending>(context, std::move(request));
    }
    return answer(context.head, request, *image);
}

} // namespace qtool::kafka
