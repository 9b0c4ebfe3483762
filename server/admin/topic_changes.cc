// Routes that change topics: the same operations as Kafka's requests, answered in JSON.
#include "server/admin/change_pending.h"
#include "server/admin/service.h"
#include "server/metadata/decide_configs.h"
#include "server/metadata/decide_topics.h"

namespace qtool::admin {

namespace {

class CreateTopicPending final : public ChangePending<metadata::CreateTopics> {
public:
    CreateTopicPending(const Exchange& exchange, CreateTopicRequest request)
        : ChangePending(exchange,
                        {new_topics(request), request.validate_only, exchange.services.config()}),
          request_(std::move(request)) {}

private:
    stream::HttpReply reply(request::Services&) override {
        const metadata::CreatedTopic& result = operation_.results().at(0);
        if (result.error) {
            return reply_error(*result.error);
        }
        TopicSummary summary;
        summary.name = request_.name;
        summary.id = to_string(result.id);
        summary.internal = metadata::is_internal_topic(request_.name);
        summary.partition_count = result.partition_count;
        summary.replication_factor = result.replication_factor;
        return reply_json(request_.validate_only ? 200 : 201, encode(summary));
    }

    static std::vector<metadata::NewTopic> new_topics(const CreateTopicRequest& request) {
        std::vector<metadata::NewTopic> topics(1);
        metadata::NewTopic& topic = topics[0];
        topic.name = request.name;
        topic.partition_count = request.partitions.value_or(-1);
        topic.replication_factor = static_cast<int16_t>(request.replication_factor.value_or(-1));
        for (const auto& [name, value] : request.configs) {
            topic.configs.push_back({name, value});
        }
        return topics;
    }

    CreateTopicRequest request_;
};

// Configs first, then partitions: two changes, of which the first stays when the second fails.
class AlterTopicPending final : public HttpPending {
public:
    AlterTopicPending(const Exchange& exchange, std::string name, AlterTopicRequest request)
        : HttpPending(exchange),
          name_(std::move(name)),
          request_(std::move(request)),
          configs_({{name_, to_alterations(request_.configs)}}, request_.validate_only,
                   exchange.services.config()),
          partitions_({{name_, request_.partitions.value_or(0), std::nullopt}},
                      request_.validate_only) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        deadline_ = services.now() + kChangeMax;
        if (request_.configs.empty() && request_.partitions) {
            change_partitions(services);
        } else {
            services.change(self, configs_, deadline_);
        }
    }

    void on_changed(request::Services& services) override {
        const std::optional<Error>& error =
            in_partitions_ ? partitions_.results().at(0) : configs_.results().at(0);
        if (error) {
            answer(self_, reply_error(*error), services);
            return;
        }
        if (request_.partitions && !in_partitions_) {
            change_partitions(services);
            return;
        }
        answer_summary(services);
    }

private:
    void change_partitions(request::Services& services) {
        in_partitions_ = true;
        services.change(self_, partitions_, deadline_);
    }

    // With validate_only this is the topic as it still is.
    void answer_summary(request::Services& services) {
        const metadata::TopicImage* topic = services.image()->topic(name_);
        if (topic == nullptr) { // deleted by somebody else meanwhile
            answer(self_,
                   reply_error(
                       Error(Code::unknown_topic, "topic '" + name_ + "' does not exist any more")),
                   services);
            return;
        }
        answer(self_, reply_json(200, encode(view_summary(*topic))), services);
    }

    std::string name_;
    AlterTopicRequest request_;
    metadata::AlterConfigs configs_;
    metadata::CreatePartitions partitions_;
    MonoTime deadline_{};
    Token self_;
    bool in_partitions_ = false;
};

class DeleteTopicPending final : public ChangePending<metadata::DeleteTopics> {
public:
    explicit DeleteTopicPending(const Exchange& exchange)
        : ChangePending(exchange, metadata::DeleteTopics({{exchange.name, TopicId{}}})) {}

private:
    stream::HttpReply reply(request::Services&) override {
        const std::optional<Error>& error = operation_.results().at(0).error;
        return error ? reply_error(*error) : reply_done();
    }
};

} // namespace

RouteOutcome post_topic(Exchange exchange) {
    Result<CreateTopicRequest> request = decode<CreateTopicRequest>(exchange.request.body);
    if (!request) {
        return reply_error(request.error());
    }
    const int32_t factor = request->replication_factor.value_or(-1);
    if (factor < -1 || factor > INT16_MAX) {
        return reply_error(Error(Code::invalid_replication_factor,
                                 "replication_factor " + std::to_string(factor) +
                                     " is not 1 to 32767, or -1 for the broker's default"));
    }
    return std::make_unique<CreateTopicPending>(exchange, *std::move(request));
}

RouteOutcome patch_topic(Exchange exchange) {
    Result<AlterTopicRequest> request = decode<AlterTopicRequest>(exchange.request.body);
    if (!request) {
        return reply_error(request.error());
    }
    std::string name = exchange.name;
    return std::make_unique<AlterTopicPending>(exchange, std::move(name), *std::move(request));
}

RouteOutcome delete_topic(Exchange exchange) {
    if (!exchange.services.config().delete_topic_enable) {
        return reply_error(
            Error(Code::feature_disabled, "delete.topic.enable is false on this broker"));
    }
    return std::make_unique<DeleteTopicPending>(exchange);
}

} // namespace qtool::admin
