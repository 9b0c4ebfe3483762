// ListPartitionReassignments (key 46): partitions whose replicas change just now (KIP-455).
#include "lib/protocol/msg/list_partition_reassignments.h"

#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/topic_view.h"

namespace qtool::kafka {

namespace {

using protocol::ListPartitionReassignmentsRequest;
using protocol::ListPartitionReassignmentsResponse;

std::vector<int32_t> numbers(const std::vector<BrokerId>& brokers) {
    std::vector<int32_t> out;
    for (const BrokerId broker : brokers) {
        out.push_back(broker.value());
    }
    return out;
}

class Lister {
public:
    /// Partitions that are not there, or do not change, are left out, as in Apache Kafka.
    void add(const metadata::TopicImage& topic, int32_t index) {
        const metadata::PartitionImage* partition = find_partition(topic, index);
        if (partition == nullptr || !partition->is_reassigning()) {
            return;
        }
        if (response.topics.empty() || response.topics.back().name != topic.name) {
            response.topics.emplace_back().name = topic.name;
        }
        auto& out = response.topics.back().partitions.emplace_back();
        out.partition_index = index;
        out.replicas = numbers(partition->replicas);
        out.adding_replicas = numbers(partition->adding_replicas);
        out.removing_replicas = numbers(partition->removing_replicas);
    }

    ListPartitionReassignmentsResponse response;
};

} // namespace

Outcome handle_list_partition_reassignments(const Context& context) {
    KAFKA_DECODE(ListPartitionReassignmentsRequest, request, context);
    const metadata::Image& image = *context.services.image();
    Lister lister;
    lister.response.error_message.reset();
    if (!request.topics) {
        for (const auto& [name, topic] : image.topics_by_name) {
            for (size_t i = 0; i < topic->partitions.size(); i++) {
                lister.add(*topic, static_cast<int32_t>(i));
            }
        }
    } else {
        for (const auto& asked : *request.topics) {
            if (const metadata::TopicImage* topic = image.topic(asked.name)) {
                for (const int32_t index : asked.partition_indexes) {
                    lister.add(*topic, index);
                }
            }
        }
    }
    return Answer{make_answer(context.head, lister.response)};
}

} // namespace qtool::kafka
