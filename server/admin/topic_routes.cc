// Routes that read topics.
#include "server/admin/describe_topic.h"
#include "server/admin/exchange.h"
#include "server/admin/service.h"

namespace qtool::admin {

namespace {

// Beyond this many partitions one answer would keep every core busy with questions, so offsets are
// left out (null); ListOffsets has them, for the partitions that are asked for.
constexpr size_t kDescribedOffsetsMax = 1000;

} // namespace

RouteOutcome get_topics(Exchange exchange) {
    return reply_json(200, encode(view_topics(*exchange.services.image())));
}

RouteOutcome get_topic(Exchange exchange) {
    const auto& topics = exchange.services.image()->topics_by_name;
    const auto found = topics.find(exchange.name);
    if (found == topics.end()) {
        return reply_error(
            Error(Code::unknown_topic, "topic '" + exchange.name + "' does not exist"));
    }
    TopicDescription description = view_topic(*found->second, exchange.services.config());
    const size_t count = description.partitions.size();
    if (count == 0 || count > kDescribedOffsetsMax) {
        return reply_json(200, encode(description));
    }
    return describe_topic(exchange, std::move(description), found->second);
}

} // namespace qtool::admin
