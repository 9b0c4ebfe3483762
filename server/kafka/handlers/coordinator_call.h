// What handlers of group and transaction APIs share: they hand a request to the coordinator of its
// key, as the bytes it came in, and pass on the bytes of the answer. Requests that name several
// groups are split by shard and their decoded answers joined.
// Lives on the core of the connection, like every pending request.
#pragma once

#include "server/coordinator/machine.h"
#include "server/kafka/handlers/partition_fan_out.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qtool::kafka {

/// What a client hears when the coordinator could not look at its request: the partition's errors
/// become the coordinator's (SEMANTICS, section 8).
int16_t coordinator_error(const Error& error);

/// The client as coordinators note it: "/127.0.0.1".
std::string coordinator_client_host(const Context& context);

/// Asks shards of one internal topic. Derived classes call ask_key or ask_shard in ask_all, and
/// read slots() in answer.
class CoordinatorFanOut : public FanOut<replica::CoordinatorResult> {
public:
    CoordinatorFanOut(const Context& context, std::string_view internal_topic)
        : FanOut(context),
          topic_(internal_topic),
          client_id_(context.client_id),
          client_host_(coordinator_client_host(context)) {}

    void on_draining(request::Services&) override {}

protected:
    /// 0: the internal topic does not exist yet.
    [[nodiscard]] int32_t shard_count() const {
        const metadata::TopicImage* topic = image().topic(topic_);
        return topic == nullptr ? 0 : static_cast<int32_t>(topic->partitions.size());
    }
    /// Which shard a group or transactional id belongs to; 0 when there is none at all.
    [[nodiscard]] PartitionIndex shard_of(std::string_view key) const {
        const int32_t count = shard_count();
        return count == 0 ? PartitionIndex(0) : coordinator::shard_of(key, count);
    }
    /// `body` is a request of this API, encoded at `version`, without header.
    void ask_shard(PartitionIndex shard, int16_t api_key, int16_t version,
                   std::vector<std::byte> body) {
        ask(topic_, shard.value(), kNoLeaderEpoch,
            replica::CoordinatorOp{api_key, version, client_id_, client_host_, std::move(body)});
    }
    template <class Request>
    void ask_shard(PartitionIndex shard, int16_t version, const Request& request) {
        ByteWriter writer;
        request.encode(writer, version);
        ask_shard(shard, Request::kApiKey, version, writer.take());
    }

private:
    std::string_view topic_; // a constant of metadata/image.h
    std::string client_id_;
    std::string client_host_;
};

/// A request about one group or transactional id: bytes in, bytes out. `make_error` builds the
/// response when the coordinator did not answer.
template <class Request, class Response>
class CoordinatorCall final : public CoordinatorFanOut {
public:
    using MakeError = Response (*)(const Request& request, int16_t error_code);

    CoordinatorCall(const Context& context, std::string_view internal_topic, Request request,
                    std::string_view key, MakeError make_error)
        : CoordinatorFanOut(context, internal_topic),
          request_(std::move(request)),
          key_(key),
          body_(context.body.begin(), context.body.end()),
          make_error_(make_error) {}

private:
    void ask_all() override {
        ask_shard(shard_of(key_), Request::kApiKey, head().api_version, std::move(body_));
    }

    std::vector<port::Piece> answer() override {
        const Slot& slot = slots().front();
        if (slot.error) {
            return make_answer(head(), make_error_(request_, coordinator_error(*slot.error)));
        }
        if (head().counters != nullptr) {
            const auto response = Response::decode(slot.result.body, head().api_version);
            QT_ASSERT(response.has_value()); // our own coordinator encoded it
            count_errors(*head().counters, *response);
        }
        ByteWriter writer = begin_answer(head());
        writer.bytes(slot.result.body);
        return end_answer(std::move(writer));
    }

    Request request_; // views of the frame, which FanOut keeps alive
    std::string_view key_;
    std::vector<std::byte> body_;
    MakeError make_error_;
};

} // namespace qtool::kafka
