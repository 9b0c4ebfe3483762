// DescribeTopicPartitions (key 75): topics by name in pages of partitions (KIP-966). The cursor
// names the first partition of the next page; a topic that ends a page may go on in the next one.
#include "lib/protocol/msg/describe_topic_partitions.h"

#include "server/kafka/error_map.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/topic_view.h"

#include <algorithm>
#include <set>

namespace qtool::kafka {

namespace {

using protocol::DescribeTopicPartitionsRequest;
using protocol::DescribeTopicPartitionsResponse;

constexpr int32_t kPartitionsMax = 2000; // of one answer (Kafka's max.request.partition.size.limit)

// The asked names from the cursor's topic on, sorted, each once; no names: all topics.
std::set<std::string_view> names_of(const DescribeTopicPartitionsRequest& request,
                                    const metadata::Image& image) {
    std::set<std::string_view> names;
    for (const auto& topic : request.topics) {
        names.insert(topic.name);
    }
    if (request.topics.empty()) {
        for (const auto& [name, topic] : image.topics_by_name) {
            names.insert(name);
        }
    }
    if (request.cursor) {
        names.erase(names.begin(), names.lower_bound(request.cursor->topic_name));
    }
    return names;
}

// Describes as many partitions as `left` allows; returns the number of the first one left out.
int32_t describe(const metadata::Image& image, const metadata::TopicImage& topic, int32_t first,
                 int32_t left,
                 DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponseTopic& out) {
    out.topic_id = topic.id;
    out.is_internal = topic.is_internal();
    out.topic_authorized_operations = kTopicOperations;
    const auto count = static_cast<int32_t>(topic.partitions.size());
    const int32_t end = std::min(count, first < count ? first + std::min(left, count - first) : 0);
    for (int32_t index = first; index < end; index++) {
        auto& partition = out.partitions.emplace_back();
        const metadata::PartitionImage& from = topic.partitions[static_cast<size_t>(index)];
        fill_partition(image, index, from, partition);
        partition.eligible_leader_replicas.emplace();
        for (const BrokerId broker : from.elr) {
            partition.eligible_leader_replicas->push_back(broker.value());
        }
        partition.last_known_elr.emplace();
        if (from.last_known_leader != kNoBroker) {
            partition.last_known_elr->push_back(from.last_known_leader.value());
        }
    }
    return std::max(first, end);
}

} // namespace

Outcome handle_describe_topic_partitions(const Context& context) {
    KAFKA_DECODE(DescribeTopicPartitionsRequest, request, context);
    const metadata::Image& image = *context.services.image();
    DescribeTopicPartitionsResponse response;
    if (request.cursor && request.cursor->partition_index < 0) {
        // The answer has no error code of its own: like Kafka, each topic asked for says it.
        for (const auto& topic : request.topics) {
            auto& out = response.topics.emplace_back();
            out.name = topic.name;
            out.error_code = error_code(Code::invalid_request);
        }
        return Answer{make_answer(context.head, response)};
    }
    int32_t left = std::clamp(request.response_partition_limit, 1, kPartitionsMax);
    for (const std::string_view name : names_of(request, image)) {
        const bool resumes = request.cursor && request.cursor->topic_name == name;
        const int32_t first = resumes ? request.cursor->partition_index : 0;
        const metadata::TopicImage* topic = image.topic(name);
        if (left == 0) {
            response.next_cursor.emplace();
            response.next_cursor->topic_name = name;
            response.next_cursor->partition_index = first;
            break;
        }
        auto& out = response.topics.emplace_back();
        out.name = name;
        if (topic == nullptr) {
            out.error_code = error_code(Code::unknown_topic);
            continue;
        }
        const int32_t next = describe(image, *topic, first, left, out);
        left -= static_cast<int32_t>(out.partitions.size());
        if (static_cast<size_t>(next) < topic->partitions.size()) {
            response.next_cursor.emplace();
            response.next_cursor->topic_name = name;
            response.next_cursor->partition_index = next;
            break;
        }
    }
    return Answer{make_answer(context.head, response)};
}

} // namespace qtool::kafka
