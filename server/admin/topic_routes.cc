// Routes that read topics. The description of one topic asks its partitions for their offsets.
#include "server/admin/exchange.h"
#include "server/admin/service.h"

namespace qtool::admin {

namespace {

// Beyond this many partitions one answer would keep every core busy with questions, so offsets are
// left out (null); ListOffsets has them, for the partitions that are asked for.
constexpr size_t kDescribedOffsetsMax = 1000;

class DescribeTopicPending final : public HttpPending {
public:
    DescribeTopicPending(const Exchange& exchange, TopicDescription description, TopicId id)
        : HttpPending(exchange),
          description_(std::move(description)),
          id_(id) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        std::vector<replica::PartitionRequest> out(description_.partitions.size());
        for (uint32_t index = 0; index < out.size(); index++) {
            out[index].request = self;
            out[index].index = index;
            out[index].key = PartitionKey{id_, PartitionIndex(static_cast<int32_t>(index))};
            out[index].op = replica::DescribeOp{};
        }
        waiting_ = out.size();
        services.submit(std::move(out));
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        QT_ASSERT(reply.index < description_.partitions.size() && waiting_ > 0);
        // A partition that cannot answer (offline, led elsewhere) keeps its offsets absent.
        if (reply.result) {
            add_offsets(description_.partitions[reply.index],
                        std::get<replica::DescribeResult>(*reply.result), services.log_dirs());
        }
        if (--waiting_ == 0) {
            answer(self_, reply_json(200, encode(description_)), services);
        }
    }

private:
    TopicDescription description_;
    TopicId id_;
    Token self_;
    size_t waiting_ = 0;
};

} // namespace

RouteOutcome get_topics(Exchange exchange) {
    return reply_json(200, encode(view_topics(*exchange.services.image())));
}

RouteOutcome get_topic(Exchange exchange) {
    const metadata::TopicImage* topic = exchange.services.image()->topic(exchange.name);
    if (topic == nullptr) {
        return reply_error(
            Error(Code::unknown_topic, "topic '" + exchange.name + "' does not exist"));
    }
    TopicDescription description = view_topic(*topic, exchange.services.config());
    const size_t count = description.partitions.size();
    if (count == 0 || count > kDescribedOffsetsMax) {
        return reply_json(200, encode(description));
    }
    return std::make_unique<DescribeTopicPending>(exchange, std::move(description), topic->id);
}

} // namespace qtool::admin
