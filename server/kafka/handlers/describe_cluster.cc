// DescribeCluster (key 60): the brokers and who answers admin requests.
#include "lib/protocol/msg/describe_cluster.h"

#include "server/kafka/handlers/handlers.h"
#include "server/kafka/handlers/topic_view.h"

namespace qtool::kafka {

namespace {

using protocol::DescribeClusterRequest;
using protocol::DescribeClusterResponse;
using protocol::KafkaError;

constexpr int8_t kEndpointBrokers = 1;
constexpr int8_t kEndpointControllers = 2;

// The endpoint type of a refusal is the default of the field, as Apache Kafka answers.
Outcome refuse(const Context& context, KafkaError error, std::string_view message) {
    DescribeClusterResponse response;
    response.error_code = static_cast<int16_t>(error);
    response.error_message = message;
    return Answer{make_answer(context.head, response)};
}

} // namespace

Outcome handle_describe_cluster(const Context& context) {
    KAFKA_DECODE(DescribeClusterRequest, request, context);
    if (request.endpoint_type == kEndpointControllers) {
        return refuse(context, KafkaError::mismatched_endpoint_type,
                      "this listener is one of brokers: ask for endpoint type 1");
    }
    if (request.endpoint_type != kEndpointBrokers) {
        return refuse(context, KafkaError::unsupported_endpoint_type,
                      "endpoint types are 1 (brokers) and 2 (controllers)");
    }
    const metadata::Image& image = *context.services.image();
    DescribeClusterResponse response;
    response.cluster_id = image.cluster_id;
    response.controller_id = controller_of(image, context.services.broker_id()).value();
    for (const auto& [id, broker] : image.brokers) {
        if (!broker.is_live() && !request.include_fenced_brokers) {
            continue;
        }
        auto& out = response.brokers.emplace_back();
        out.broker_id = id.value();
        out.is_fenced = !broker.is_live();
        fill_broker(broker, out);
    }
    response.cluster_authorized_operations =
        request.include_cluster_authorized_operations ? kClusterOperations : kOperationsNotAsked;
    return Answer{make_answer(context.head, response)};
}

} // namespace qtool::kafka
