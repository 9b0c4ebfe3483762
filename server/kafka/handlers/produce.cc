// Produce (key 0): splits by partition, waits for every partition's answer. The first batch of a
// transaction in a partition comes back with a guard: the transaction's coordinator is asked
// whether the partition belongs to it, or to add it (KIP-890), and the batch is sent again.
//
//   appending --all answered--> answered
//      |  ^
//      |  +--verified: those partitions again
//      +--some want verification--> verifying --not now, asked again a little later--+
//                                       ^                                            |
//                                       +--------------------------------------------+
//
// Requests of a connection are handled as they come: a batch that follows may overtake one whose
// transaction is being verified, and is out of order then. It waits and is sent again, as if the
// connection had one request in work.
#include "lib/protocol/msg/produce.h"

#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "server/kafka/error_map.h"
#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"
#include "server/kafka/leader_hint.h"

#include <algorithm>
#include <utility>

namespace qtool::kafka {

namespace {

using protocol::ProduceRequest;
using protocol::ProduceResponse;

constexpr int16_t kZstdVersionMin = 7;         // Produce version that may carry zstd (KIP-110)
constexpr int16_t kRecordErrorsVersionMin = 8; // record_errors and error_message (KIP-467)
constexpr int16_t kLeaderHintVersionMin = 10;  // current_leader and node_endpoints (KIP-951)
// From here on Produce itself adds the partition to the transaction (KIP-890, version 2 of
// transactions), and the client knows CONCURRENT_TRANSACTIONS.
constexpr int16_t kAddsPartitionVersionMin = 12;
constexpr int16_t kAbortableVersionMin = 11;  // TRANSACTION_ABORTABLE (KIP-890)
constexpr int16_t kVerifyApiVersion = 4;      // of AddPartitionsToTxn: the first for brokers
constexpr Duration kVerifyPause = 20ms;       // while a transaction of before ends
constexpr Duration kVerifyPausesMax = 100ms;  // then the client is to wait itself
constexpr Duration kOvertakenPause = 5ms;     // until the batch before may be there
constexpr Duration kOvertakenMax = 2s;        // then it never came: the sequence is out of order
constexpr int kVerificationsMax = 3;          // of one batch whose guard goes void each time
constexpr uint32_t kVerifyIndex = UINT32_MAX; // of the coordinator's answer
constexpr int32_t kTimeoutMaxMs = 15 * 60 * 1000; // how long an append may wait, whatever is asked

// One partition of the request, by its place in the response.
struct Slot {
    PartitionKey key;
    std::string_view topic; // the image's
    int16_t error_code = 0;
    bool wants_leader_hint = false;
    std::string message; // of the error
    replica::AppendRefusal refusal;
    ByteSpan batch;
    uint64_t guard = 0; // the transaction is to be verified, then append with it
    int verifications = 0;
    bool has_overtaken = false; // another batch of the transaction, maybe: is sent again
    replica::AppendResult result;
};

// What the coordinator said of a partition, as the client of this version understands it.
int16_t verification_error(int16_t code, int16_t version) {
    using enum protocol::KafkaError;
    switch (static_cast<protocol::KafkaError>(code)) {
    case producer_fenced:
        return static_cast<int16_t>(invalid_producer_epoch);
    case transaction_abortable:
        return version < kAbortableVersionMin ? static_cast<int16_t>(invalid_txn_state) : code;
    case concurrent_transactions:
        return version < kAddsPartitionVersionMin ? static_cast<int16_t>(not_enough_replicas)
                                                  : code;
    case coordinator_load_in_progress:
    case coordinator_not_available:
    case not_coordinator:
        return static_cast<int16_t>(not_enough_replicas); // every client sends again
    default:
        return code;
    }
}

class ProducePending final : public request::Pending {
public:
    ProducePending(const Context& context, ProduceRequest request)
        : head_(context.head),
          chunk_(context.chunk),
          counters_(context.counters),
          request_(std::move(request)),
          client_id_(context.client_id),
          client_host_(coordinator_client_host(context)) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        image_ = services.image();
        const auto timeout_ms = std::clamp(request_.timeout_ms, 0, kTimeoutMaxMs);
        deadline_ = services.now() + std::chrono::milliseconds(timeout_ms);
        overtaken_until_ = services.now() + kOvertakenMax;
        is_unauthorized_ = lacks_transactional_id();
        for (const auto& topic : request_.topic_data) {
            for (const auto& partition : topic.partition_data) {
                add_partition(topic, partition);
            }
        }
        append(services);
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        if (reply.index == kVerifyIndex) {
            on_verified(reply.result, services);
            return;
        }
        QT_ASSERT(reply.index < slots_.size() && appending_ > 0);
        Slot& slot = slots_[reply.index];
        if (reply.result) {
            slot.result = std::get<replica::AppendResult>(*reply.result);
            slot.guard = slot.result.verification_guard;
        } else if (reply.result.error().code == Code::out_of_order_sequence &&
                   request_.transactional_id && services.now() < overtaken_until_) {
            slot.has_overtaken = true;
        } else {
            fail(slot, reply.result.error());
            slot.refusal = std::move(reply.refusal);
        }
        if (--appending_ == 0) {
            finish_appends(services);
        }
    }

    void on_deadline(request::Services& services) override { // of a pause
        if (std::exchange(appends_next_, false)) {
            append(services);
        } else {
            verify(services);
        }
    }

    /// While the coordinator is asked nobody else has the bytes.
    [[nodiscard]] bool holds_borrowed_bytes() const override { return appending_ > 0; }

private:
    static void fail(Slot& slot, const Error& error) {
        fail(slot, error_code(error.code), error.detail);
        slot.wants_leader_hint = error.code == Code::not_leader;
    }
    static void fail(Slot& slot, protocol::KafkaError code, std::string message) {
        fail(slot, static_cast<int16_t>(code), std::move(message));
    }
    static void fail(Slot& slot, int16_t code, std::string message) {
        slot.error_code = code;
        slot.message = std::move(message);
        slot.guard = 0;
    }

    // Kafka asks whether the transactional id may be used before it looks at anything else.
    [[nodiscard]] bool lacks_transactional_id() const {
        if (request_.transactional_id) {
            return false;
        }
        const auto& topics = request_.topic_data;
        return std::any_of(topics.begin(), topics.end(), [](const auto& topic) {
            return std::any_of(topic.partition_data.begin(), topic.partition_data.end(),
                               [](const auto& partition) {
                                   return partition.records && is_transactional(*partition.records);
                               });
        });
    }

    // What is wrong with several things at once is refused in Kafka's order.
    void add_partition(const ProduceRequest::TopicProduceData& topic,
                       const ProduceRequest::PartitionProduceData& partition) {
        Slot& slot = slots_.emplace_back();
        const bool by_id = head_.api_version >= 13;
        const metadata::TopicImage* image =
            by_id ? image_->topic(topic.topic_id) : image_->topic(topic.name);
        if (is_unauthorized_) {
            fail(slot, protocol::KafkaError::transactional_id_authorization_failed,
                 "a transactional batch in a request without transactional id");
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
        slot.key = PartitionKey{image->id, PartitionIndex(partition.index)};
        slot.topic = image->name;
        if (!partition.records || partition.records->empty()) {
            fail(slot, Error(Code::invalid_record, "no record batch"));
            return;
        }
        if (head_.api_version < kZstdVersionMin && uses_zstd(*partition.records)) {
            fail(slot,
                 Error(Code::unsupported_compression, "zstd needs Produce version 7 or newer"));
            return;
        }
        if (request_.acks != 0 && request_.acks != 1 && request_.acks != -1) {
            fail(slot, Error(Code::invalid_required_acks,
                             "acks=" + std::to_string(request_.acks) + " is not 0, 1 or -1"));
            return;
        }
        if (image->is_internal()) {
            fail(slot, Error(Code::invalid_topic_name,
                             "topic '" + image->name + "' is internal: clients may not write it"));
            return;
        }
        // The decoded view is of our own chunk, which nobody else reads any more: the leader sets
        // base offset and epoch in place.
        slot.batch = ByteSpan(const_cast<std::byte*>(partition.records->data()), // NOLINT
                              partition.records->size());
    }

    static constexpr size_t kAttributesLow = 22; // low byte of attributes in a v2 batch
    static bool uses_zstd(ByteView batch) {
        return batch.size() > kAttributesLow &&
               (batch[kAttributesLow] & std::byte{7}) == std::byte{4};
    }
    static bool is_transactional(ByteView batch) {
        return batch.size() > kAttributesLow &&
               (batch[kAttributesLow] & std::byte{protocol::kBatchTransactional}) != std::byte{0};
    }

    // ---- appending ----------------------------------------------------------------------------

    // Sends what has not failed and is not in a log yet.
    void append(request::Services& services) {
        std::vector<replica::PartitionRequest> out;
        for (uint32_t index = 0; index < slots_.size(); index++) {
            Slot& slot = slots_[index];
            if (slot.error_code != 0 || slot.result.base_offset != kNoOffset) {
                continue;
            }
            replica::PartitionRequest& ask = out.emplace_back();
            ask.request = self_;
            ask.index = index;
            ask.key = slot.key;
            replica::AppendOp op;
            op.batch = slot.batch;
            op.acks = request_.acks == 0 ? int16_t{1} : request_.acks;
            op.deadline = deadline_;
            op.verification_guard = slot.guard;
            slot.has_overtaken = false;
            op.transaction_version = head_.api_version >= kAddsPartitionVersionMin ? 2 : 1;
            ask.op = op;
        }
        appending_ = out.size();
        if (appending_ == 0) {
            answer(services);
        } else {
            services.submit(std::move(out));
        }
    }

    void finish_appends(request::Services& services) {
        bool any = false;
        bool waits = false;
        for (Slot& slot : slots_) {
            if (slot.has_overtaken) { // keeps the guard it may have
                waits = true;
                continue;
            }
            if (slot.guard == 0) {
                continue;
            }
            if (++slot.verifications > kVerificationsMax) {
                fail(slot, protocol::KafkaError::not_enough_replicas,
                     "the transaction was ended each time while it was verified");
                continue;
            }
            any = true;
        }
        if (!any && waits) {
            appends_next_ = true;
            services.set_deadline(self_, services.now() + kOvertakenPause);
            return;
        }
        if (!any) {
            answer(services);
            return;
        }
        verify_until_ = services.now() + kVerifyPausesMax;
        verify(services);
    }

    // ---- verifying ----------------------------------------------------------------------------

    // One question for all partitions that want it; they have one transaction.
    void verify(request::Services& services) {
        const metadata::TopicImage* transactions = image_->topic(metadata::kTransactionTopic);
        protocol::AddPartitionsToTxnRequest request;
        auto& transaction = request.transactions.emplace_back();
        transaction.transactional_id = *request_.transactional_id;
        transaction.verify_only = head_.api_version < kAddsPartitionVersionMin;
        for (Slot& slot : slots_) {
            if (slot.guard == 0) {
                continue;
            }
            const Result<protocol::BatchHeader> header = protocol::parse_batch_header(slot.batch);
            QT_ASSERT(header.has_value()); // the partition has read it
            if (transaction.topics.empty()) {
                transaction.producer_id = header->producer_id.value();
                transaction.producer_epoch = header->producer_epoch.value();
            } else if (transaction.producer_id != header->producer_id.value() ||
                       transaction.producer_epoch != header->producer_epoch.value()) {
                fail(slot, protocol::KafkaError::invalid_producer_id_mapping,
                     "batches of several producers in the request of one transaction");
                continue;
            }
            if (transaction.topics.empty() || transaction.topics.back().name != slot.topic) {
                transaction.topics.emplace_back().name = slot.topic;
            }
            transaction.topics.back().partitions.push_back(slot.key.index.value());
        }
        if (transactions == nullptr) {
            refuse(protocol::KafkaError::not_enough_replicas, "there are no transactions yet");
            append(services);
            return;
        }
        ByteWriter body;
        request.encode(body, kVerifyApiVersion);
        std::vector<replica::PartitionRequest> out(1);
        out[0].request = self_;
        out[0].index = kVerifyIndex;
        out[0].key = PartitionKey{
            transactions->id,
            coordinator::shard_of(transaction.transactional_id,
                                  static_cast<int32_t>(transactions->partitions.size()))};
        out[0].op =
            replica::CoordinatorOp{protocol::AddPartitionsToTxnRequest::kApiKey, kVerifyApiVersion,
                                   client_id_, client_host_, body.take()};
        services.submit_to_leaders(std::move(out));
    }

    void on_verified(const Result<replica::PartitionResult>& result, request::Services& services) {
        if (!result) {
            refuse(protocol::KafkaError::not_enough_replicas,
                   "the transaction's coordinator did not answer: " + to_string(result.error()));
            append(services);
            return;
        }
        const auto& body = std::get<replica::CoordinatorResult>(*result).body;
        const auto response = protocol::AddPartitionsToTxnResponse::decode(body, kVerifyApiVersion);
        if (!response || response->error_code != 0 ||
            response->results_by_transaction.size() != 1) {
            const int16_t code = response && response->error_code != 0 ? response->error_code
                                                                       : error_code(Code::internal);
            refuse(static_cast<protocol::KafkaError>(verification_error(code, head_.api_version)),
                   "the transaction's coordinator refused the question");
            append(services);
            return;
        }
        const auto& topics = response->results_by_transaction.front().topic_results;
        const bool is_busy = std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
            return slot.guard != 0 &&
                   code_of(topics, slot) ==
                       static_cast<int16_t>(protocol::KafkaError::concurrent_transactions);
        });
        // The transaction of before is being ended: that takes a moment.
        if (is_busy && head_.api_version >= kAddsPartitionVersionMin &&
            services.now() + kVerifyPause <= verify_until_) {
            services.set_deadline(self_, services.now() + kVerifyPause);
            return;
        }
        for (Slot& slot : slots_) {
            if (const int16_t code = slot.guard == 0 ? int16_t{0} : code_of(topics, slot);
                code != 0) {
                fail(slot, verification_error(code, head_.api_version),
                     "the partition is not part of the producer's transaction");
            }
        }
        append(services);
    }

    template <class Topics>
    static int16_t code_of(const Topics& topics, const Slot& slot) {
        for (const auto& topic : topics) {
            for (const auto& partition : topic.results_by_partition) {
                if (topic.name == slot.topic &&
                    partition.partition_index == slot.key.index.value()) {
                    return partition.partition_error_code;
                }
            }
        }
        return error_code(Code::internal); // it said nothing of it
    }

    // All that wanted verification.
    void refuse(protocol::KafkaError code, const std::string& message) {
        for (Slot& slot : slots_) {
            if (slot.guard != 0) {
                fail(slot, code, message);
            }
        }
    }

    // ---- answer -------------------------------------------------------------------------------

    void answer(request::Services& services) {
        const bool failed = std::any_of(slots_.begin(), slots_.end(),
                                        [](const Slot& slot) { return slot.error_code != 0; });
        if (request_.acks == 0) {
            // No answer is owed; a failure can only be told by closing (as Kafka does).
            if (failed) {
                counters_.api[ProduceRequest::kApiKey].errors.add();
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
        if (slot.error_code == 0) {
            out.base_offset = slot.result.base_offset.value();
            out.log_append_time_ms = slot.result.log_append_time_ms;
            out.log_start_offset = slot.result.log_start_offset.value();
            if (slot.result.base_offset == kNoOffset) {
                // Kafka says out of order, which the Java client repeats until its time is up.
                out.error_code =
                    static_cast<int16_t>(protocol::KafkaError::duplicate_sequence_number);
            }
            return;
        }
        out.error_code = slot.error_code;
        out.base_offset = -1;
        out.log_start_offset = slot.refusal.log_start_offset.value();
        if (head_.api_version >= kRecordErrorsVersionMin) {
            for (const replica::AppendRefusal::Record& record : slot.refusal.records) {
                out.record_errors.push_back({record.index, record.message});
            }
        }
        if (head_.api_version >= kRecordErrorsVersionMin && !slot.message.empty()) {
            out.error_message = slot.message;
        }
        if (head_.api_version >= kLeaderHintVersionMin && slot.wants_leader_hint) {
            hints.fill_leader(slot.key, out.current_leader);
        }
    }

    ReplyHead head_;
    ChunkRef chunk_; // the batches and the names in request_ are views of it
    metrics::CoreCounters& counters_;
    ProduceRequest request_;
    std::string client_id_;
    std::string client_host_;
    Token self_;
    metadata::ImageRef image_;
    std::vector<Slot> slots_; // in request order
    MonoTime deadline_{};
    MonoTime verify_until_{};
    MonoTime overtaken_until_{};
    bool is_unauthorized_ = false;
    bool appends_next_ = false; // after the pause; else it verifies
    size_t appending_ = 0;      // appends under way
};

} // namespace

Outcome handle_produce(const Context& context) {
    KAFKA_DECODE(ProduceRequest, request, context);
    return std::make_unique<ProducePending>(context, std::move(request));
}

} // namespace qtool::kafka
