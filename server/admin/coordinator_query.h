// CoordinatorQuery: a pending HTTP request that asks coordinators (groups, transactions) in Kafka's
// protocol, as the Kafka door does, and partitions. Lives on the core of the connection.
#pragma once

#include "lib/base/byte_writer.h"
#include "lib/protocol/kafka_error.h"
#include "server/admin/exchange.h"
#include "server/coordinator/machine.h"

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtool::admin {

/// A coordinator's error in our codes; the detail is Kafka's sentence.
Error coordinator_answer_error(int16_t error_code, std::string_view what);
/// The coordinator did not look: it is loading, or another broker's by now.
bool is_coordinator_away(int16_t error_code);

class CoordinatorQuery : public HttpPending {
public:
    CoordinatorQuery(const Exchange& exchange, std::string_view internal_topic)
        : HttpPending(exchange),
          topic_(internal_topic) {}

    void start(Token self, request::Services& services) final {
        self_ = self;
        image_ = services.image();
        broker_ = services.broker_id();
        begin();
        submit(services);
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) final {
        QT_ASSERT(waiting_ > 0);
        waiting_--;
        take(reply.index, std::move(reply.result));
        submit(services);
    }

protected:
    /// Calls ask_* for the first questions.
    virtual void begin() = 0;
    /// The answer to question `index`; may ask more.
    virtual void take(uint32_t index, Result<replica::PartitionResult> result) = 0;
    /// No question is left.
    virtual stream::HttpReply finish() = 0;

    [[nodiscard]] const metadata::Image& image() const { return *image_; }
    /// 0: the internal topic does not exist: nobody ever used a group or a transaction.
    [[nodiscard]] int32_t shard_count() const {
        const metadata::TopicImage* topic = image_->topic(topic_);
        return topic == nullptr ? 0 : static_cast<int32_t>(topic->partitions.size());
    }
    /// Where to ask for a list of all: each shard that is led here, and one of each other broker,
    /// whose answer is about all of its own.
    [[nodiscard]] std::vector<PartitionIndex> listing_shards() const {
        std::vector<PartitionIndex> shards;
        std::set<BrokerId> asked;
        for (int32_t shard = 0; shard < shard_count(); shard++) {
            const BrokerId leader =
                image_->topic(topic_)->partitions[static_cast<size_t>(shard)].leader;
            if (leader == broker_ || !image_->is_live(leader) || asked.insert(leader).second) {
                shards.emplace_back(shard);
            }
        }
        return shards;
    }
    template <class Request>
    void ask_shard(uint32_t index, PartitionIndex shard, int16_t version, const Request& request) {
        ByteWriter writer;
        request.encode(writer, version);
        replica::CoordinatorOp op;
        op.api_key = Request::kApiKey;
        op.api_version = version;
        op.client_id = "admin";
        op.client_host = "/";
        op.body = writer.take();
        ask(index, PartitionKey{image_->topic(topic_)->id, shard}, std::move(op));
    }
    template <class Request>
    void ask_coordinator_of(std::string_view key, uint32_t index, int16_t version,
                            const Request& request) {
        ask_shard(index, coordinator::shard_of(key, shard_count()), version, request);
    }
    void ask(uint32_t index, const PartitionKey& key, replica::PartitionOp op) {
        replica::PartitionRequest& request = asked_.emplace_back();
        request.request = self_;
        request.index = index;
        request.key = key;
        request.op = std::move(op);
    }

    /// The response in the answer of ask_shard. Errors: those of the coordinator's shard; internal.
    template <class Response>
    static Result<Response> decode_answer(const Result<replica::PartitionResult>& result,
                                          int16_t version) {
        if (!result) {
            return result.error();
        }
        return Response::decode(std::get<replica::CoordinatorResult>(*result).body, version);
    }

private:
    void submit(request::Services& services) {
        waiting_ += asked_.size();
        if (waiting_ == 0) {
            answer(self_, finish(), services);
            return;
        }
        if (!asked_.empty()) {
            services.submit_to_leaders(std::exchange(asked_, {}));
        }
    }

    std::string_view topic_; // a constant of metadata/image.h
    Token self_;
    BrokerId broker_ = kNoBroker; // this one
    metadata::ImageRef image_;
    std::vector<replica::PartitionRequest> asked_;
    size_t waiting_ = 0;
};

/// What all shards of an internal topic list, as one list. `Listing` names Request, Response, List,
/// kTopic and kVersion, and has add(response, list) and sort(list).
template <class Listing>
class ListQuery final : public CoordinatorQuery {
public:
    explicit ListQuery(const Exchange& exchange) : CoordinatorQuery(exchange, Listing::kTopic) {}

private:
    void begin() override {
        for (const PartitionIndex shard : listing_shards()) {
            ask_shard(0, shard, Listing::kVersion, typename Listing::Request{});
        }
    }
    void take(uint32_t, Result<replica::PartitionResult> result) override {
        const auto response = decode_answer<typename Listing::Response>(result, Listing::kVersion);
        if (!response) {
            failure_ = response.error();
        } else if (response->error_code != 0) { // of another broker, whose shards are loading
            failure_ = coordinator_answer_error(response->error_code, "the list");
        } else {
            Listing::add(*response, list_);
        }
    }
    stream::HttpReply finish() override {
        if (failure_) {
            return reply_error(*failure_); // half a list would be taken for the whole
        }
        Listing::sort(list_);
        return reply_json(200, encode(list_));
    }

    typename Listing::List list_;
    std::optional<Error> failure_;
};

/// Asks for a change of the group or transaction that the path names: 204, or the first failure.
class ChangeQuery : public CoordinatorQuery {
public:
    ChangeQuery(const Exchange& exchange, std::string_view internal_topic)
        : CoordinatorQuery(exchange, internal_topic),
          name_(exchange.name) {}

protected:
    [[nodiscard]] const std::string& name() const { return name_; }
    void fail(Error error) {
        if (!failure_) {
            failure_ = std::move(error);
        }
    }
    /// An error code in a coordinator's response; 0 is none.
    void fail(int16_t error_code, std::string_view what) {
        if (error_code != 0) {
            fail(coordinator_answer_error(error_code, what));
        }
    }
    [[nodiscard]] bool has_failed() const { return failure_.has_value(); }

private:
    stream::HttpReply finish() final {
        if (failure_) {
            return reply_error(*failure_);
        }
        return reply_done();
    }

    std::string name_;
    std::optional<Error> failure_;
};

} // namespace qtool::admin
