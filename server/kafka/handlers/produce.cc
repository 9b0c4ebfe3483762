// Produce (key 0): splits by partition, waits for every partition's answer.
#include "lib/protocol/msg/produce.h"

#include "server/kafka/error_map.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/leader_hint.h"

#include <algorithm>

namespace qtool::kafka {

namespace {

using protocol::ProduceRequest;
using protocol::ProduceResponse;

constexpr int16_t kZstdVersionMin = 7;            // Produce version that may carry zstd (KIP-110)
constexpr int16_t kRecordErrorsVersionMin = 8;    // record_errors and error_message (KIP-467)
constexpr int16_t kLeaderHintVersionMin = 10;     // current_leader and node_endpoints (KIP-951)
constexpr int32_t kTimeoutMaxMs = 15 * 60 * 1000; // how long an append may wait, whatever is asked

// One partition of the request, by its place in the response.
struct Slot {
    PartitionKey key;
    Error error; // code internal with empty detail: no error
    bool failed = false;
    replica::AppendResult result;
};

class ProducePending final : public request::Pending {
public:
    ProducePending(const Context& context, ProduceRequest request)
        : head_(context.head),
          chunk_(context.chunk),
          counters_(context.counters),
          request_(std::move(request)) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        image_ = services.image();
        const auto timeout_ms = std::clamp(request_.timeout_ms, 0, kTimeoutMaxMs);
        const MonoTime deadline = services.now() + std::chrono::milliseconds(timeout_ms);
        std::vector<replica::PartitionRequest> out;
        for (const auto& topic : request_.topic_data) {
            for (const auto& partition : topic.partition_data) {
                add_partition(topic, partition, deadline, out);
            }
        }
        waiting_ = out.size();
        if (waiting_ == 0) {
            answer(services);
            return;
        }
        services.submit(std::move(out));
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        QT_ASSERT(reply.index < slots_.size() && waiting_ > 0);
        Slot& slot = slots_[reply.index];
        if (reply.result) {
            slot.result = std::get<replica::AppendResult>(*reply.result);
            if (slot.result.verification_guard != 0) {
                fail(slot, Error(Code::invalid_txn_state, "transactions are not verified yet"));
            }
        } else {
            fail(slot, std::move(reply.result).error());
        }
        if (--waiting_ == 0) {
            answer(services);
        }
    }

    [[nodiscard]] bool holds_borrowed_bytes() const override { return waiting_ > 0; }

private:
    static void fail(Slot& slot, Error error) {
        slot.failed = true;
        slot.error = std::move(error);
    }

    void add_partition(const ProduceRequest::TopicProduceData& topic,
                       const ProduceRequest::PartitionProduceData& partition, MonoTime deadline,
                       std::vector<replica::PartitionRequest>& out) {
        const auto index = static_cast<uint32_t>(slots_.size());
        Slot& slot = slots_.emplace_back();
        const bool by_id = head_.api_version >= 13;
        const metadata::TopicImage* image =
            by_id ? image_->topic(topic.topic_id) : image_->topic(topic.name);
        if (request_.acks != 0 && request_.acks != 1 && request_.acks != -1) {
            fail(slot, Error(Code::invalid_required_acks,
                             "acks=" + std::to_string(request_.acks) + " is not 0, 1 or -1"));
            return;
        }
        if (image == nullptr) {
            fail(slot, Error(by_id ? Code::unknown_topic_id : Code::unknown_topic));
            return;
        }
        if (partition.index < 0 ||
            static_cast<size_t>(partition.index) >= image->partitions.size()) {
            fail(slot, Error(Code::unknown_partition));
            return;
        }
        if (image->is_internal()) {
            fail(slot, Error(Code::invalid_topic_name,
                             "topic '" + image->name + "' is internal: clients may not write it"));
            return;
        }
        slot.key = PartitionKey{image->id, PartitionIndex(partition.index)};
        if (!partition.records || partition.records->empty()) {
            fail(slot, Error(Code::invalid_record, "no record batch"));
            return;
        }
        if (head_.api_version < kZstdVersionMin && uses_zstd(*partition.records)) {
            fail(slot,
                 Error(Code::unsupported_compression, "zstd needs Produce version 7 or newer"));
            return;
        }
        replica::PartitionRequest& ask = out.emplace_back();
        ask.request = self_;
        ask.index = index;
        ask.key = slot.key;
        // The decoded view is of our own chunk, which nobody else reads any more: the leader sets
        // base offset and epoch in place.
        const ByteSpan batch(const_cast<std::byte*>(partition.records->data()), // NOLINT
                             partition.records->size());
        ask.op =
            replica::AppendOp{batch, request_.acks == 0 ? int16_t{1} : request_.acks, deadline};
    }

    static bool uses_zstd(ByteView batch) {
        constexpr size_t kAttributesLow = 22; // low byte of attributes in a v2 batch
        return batch.size() > kAttributesLow &&
               (batch[kAttributesLow] & std::byte{7}) == std::byte{4};
    }

    void answer(request::Services& services) {
        const bool failed =
            std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.failed; });
        if (failed) {
            counters_.api[ProduceRequest::kApiKey].errors.add();
        }
        if (request_.acks == 0) {
            // No answer is owed; a failure can only be told by closing (as Kafka does).
            if (failed) {
                services.finish_and_close(self_);
            } else {
                services.finish(self_, {});
            }
            return;
        }
        ProduceResponse response;
        LeaderHints hints(*image_);
        size_t next = 0;
        for (const auto& topic : request_.topic_data) {
            auto& topic_response = response.responses.emplace_back();
            topic_response.name = topic.name;
            topic_response.topic_id = topic.topic_id;
            for (const auto& partition : topic.partition_data) {
                encode_partition(topic_response.partition_responses.emplace_back(), partition.index,
                                 slots_[next++], hints);
            }
        }
        if (head_.api_version >= kLeaderHintVersionMin) {
            hints.fill_endpoints(response.node_endpoints);
        }
        services.finish(self_, make_answer(head_, response));
    }

    void encode_partition(ProduceResponse::PartitionProduceResponse& out, int32_t index,
                          const Slot& slot, LeaderHints& hints) const {
        out.index = index;
        if (!slot.failed) {
            out.base_offset = slot.result.base_offset.value();
            out.log_append_time_ms = slot.result.log_append_time_ms;
            out.log_start_offset = slot.result.log_start_offset.value();
            return;
        }
        out.error_code = error_code(slot.error.code);
        out.base_offset = -1;
        out.log_start_offset = -1;
        if (head_.api_version >= kRecordErrorsVersionMin && !slot.error.detail.empty()) {
            out.error_message = slot.error.detail;
        }
        if (head_.api_version >= kLeaderHintVersionMin && slot.error.code == Code::not_leader) {
            hints.fill_leader(slot.key, out.current_leader);
        }
    }

    ReplyHead head_;
    ChunkRef chunk_; // the batches and the names in request_ are views of it
    metrics::CoreCounters& counters_;
    ProduceRequest request_;
    Token self_;
    metadata::ImageRef image_;
    std::vector<Slot> slots_; // in request order
    size_t waiting_ = 0;
};

} // namespace

Outcome handle_produce(const Context& context) {
    KAFKA_DECODE(ProduceRequest, request, context);
    return std::make_unique<ProducePending>(context, std::move(request));
}

} // namespace qtool::kafka
