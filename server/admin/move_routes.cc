// Routes that move partitions to other log directories of this broker, and say how far they are.
#include "lib/base/assert.h"
#include "server/admin/exchange.h"

#include <algorithm>
#include <map>

namespace qtool::admin {

namespace {

class MovePending final : public HttpPending {
public:
    MovePending(const Exchange& exchange, MovePartition move, TopicId topic, size_t to)
        : HttpPending(exchange),
          move_(std::move(move)),
          topic_(topic),
          to_(to) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        std::vector<replica::PartitionRequest> out(1);
        out[0].request = self;
        out[0].key = PartitionKey{topic_, PartitionIndex(move_.partition)};
        out[0].op = replica::MoveOp{to_};
        services.submit(std::move(out));
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        answer(self_,
               reply.result ? reply_json(200, encode(move_)) : reply_error(reply.result.error()),
               services);
    }

private:
    MovePartition move_;
    TopicId topic_;
    size_t to_;
    Token self_;
};

// Asks every partition, as DescribeLogDirs does.
class ListMovesPending final : public HttpPending {
public:
    ListMovesPending(const Exchange& exchange, metadata::ImageRef image)
        : HttpPending(exchange),
          image_(std::move(image)) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        std::vector<replica::PartitionRequest> out;
        for (const auto& [name, topic] : image_->topics_by_name) {
            for (size_t i = 0; i < topic->partitions.size(); i++) {
                const PartitionIndex index(static_cast<int32_t>(i));
                replica::PartitionRequest& request = out.emplace_back();
                request.request = self;
                request.index = static_cast<uint32_t>(asked_.size());
                request.key = PartitionKey{topic->id, index};
                request.op = replica::DescribeOp{};
                asked_.push_back({&name, index});
            }
        }
        waiting_ = out.size();
        services.submit(std::move(out));
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        QT_ASSERT(reply.index < asked_.size() && waiting_ > 0);
        if (reply.result) { // one that is offline goes nowhere
            const auto& described = std::get<replica::DescribeResult>(*reply.result);
            if (described.future_log_dir >= 0) {
                moving_[reply.index] = described;
            }
        }
        if (--waiting_ == 0) {
            answer(self_, reply_json(200, encode(list(services))), services);
        }
    }

private:
    MoveList list(request::Services& services) const {
        const std::vector<replica::LogDirView> dirs = services.log_dirs();
        const auto path = [&](int32_t dir) { return dirs.at(static_cast<size_t>(dir)).path; };
        MoveList out;
        out.broker_id = services.broker_id().value();
        for (const auto& [i, described] : moving_) {
            out.moves.push_back(
                {.topic = *asked_[i].topic,
                 .partition = asked_[i].index.value(),
                 .log_dir = path(described.log_dir),
                 .future_log_dir = path(described.future_log_dir),
                 .future_size_bytes = static_cast<int64_t>(described.future_size_bytes),
                 .future_offset_lag = described.future_offset_lag});
        }
        return out;
    }

    struct Asked {
        const std::string* topic; // of the image
        PartitionIndex index;
    };
    metadata::ImageRef image_;
    std::vector<Asked> asked_;
    std::map<uint32_t, replica::DescribeResult> moving_; // by place in asked_
    Token self_;
    size_t waiting_ = 0;
};

} // namespace

RouteOutcome get_moves(Exchange exchange) {
    metadata::ImageRef image = exchange.services.image();
    const bool is_empty =
        std::all_of(image->topics_by_name.begin(), image->topics_by_name.end(),
                    [](const auto& topic) { return topic.second->partitions.empty(); });
    if (is_empty) {
        MoveList none;
        none.broker_id = exchange.services.broker_id().value();
        return reply_json(200, encode(none));
    }
    return std::make_unique<ListMovesPending>(exchange, std::move(image));
}

RouteOutcome post_move(Exchange exchange) {
    Result<MovePartition> move = decode<MovePartition>(exchange.request.body);
    if (!move) {
        return reply_error(move.error());
    }
    const metadata::TopicImage* topic = exchange.services.image()->topic(move->topic);
    if (topic == nullptr) {
        return reply_error(
            Error(Code::unknown_topic, "topic '" + move->topic + "' does not exist"));
    }
    if (move->partition < 0 || static_cast<size_t>(move->partition) >= topic->partitions.size()) {
        return reply_error(Error(Code::unknown_partition, "topic '" + move->topic +
                                                              "' has no partition " +
                                                              std::to_string(move->partition)));
    }
    const std::vector<replica::LogDirView> dirs = exchange.services.log_dirs();
    const auto to = std::find_if(dirs.begin(), dirs.end(),
                                 [&](const auto& dir) { return dir.path == move->log_dir; });
    if (to == dirs.end()) {
        return reply_error(Error(
            Code::resource_not_found,
            "'" + move->log_dir + "' is no log directory of this broker; /v1/cluster lists them"));
    }
    if (to->failure) {
        return reply_error(*to->failure);
    }
    return std::make_unique<MovePending>(exchange, *std::move(move), topic->id,
                                         static_cast<size_t>(to - dirs.begin()));
}

} // namespace qtool::admin
