// TxnOffsetCommit (key 28): committed offsets that belong to a transaction. First the transaction's
// coordinator is asked whether the partition of __consumer_offsets is in the transaction, or, from
// version 5 on, told to add it (KIP-890); then the group's coordinator writes them.
//
// Without the question a late request could leave offsets pending that no marker ever ends. What it
// cannot see is a marker written between question and append. The markers of version 5 on, and all
// that end the transaction of a fenced producer, carry a higher epoch, which the log refuses to go
// below; an older producer that ends its transaction while its own request is under way could
// leave offsets pending until it uses its transactional id again.
#include "lib/protocol/msg/txn_offset_commit.h"

#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "server/kafka/handlers/coordinator_call.h"
#include "server/kafka/handlers/handlers.h"

namespace qtool::kafka {

namespace {

using protocol::AddPartitionsToTxnRequest;
using protocol::AddPartitionsToTxnResponse;
using protocol::KafkaError;
using protocol::TxnOffsetCommitRequest;
using protocol::TxnOffsetCommitResponse;

constexpr int16_t kAddVersion = 5;                 // of AddPartitionsToTxn, between brokers
constexpr int16_t kAddsPartitionFrom = 5;          // of this API
constexpr int16_t kTransactionAbortableFrom = 4;   // older clients do not know the error
enum Step : uint32_t { kVerify = 0, kCommit = 1 }; // index of the partition request

// What clients of this API understand of the transaction coordinator's errors. Where it could not
// be asked, "loading" makes them send the same again without looking for another group coordinator.
int16_t verification_error(int16_t code, int16_t api_version) {
    switch (static_cast<KafkaError>(code)) {
    case KafkaError::transaction_abortable:
        return static_cast<int16_t>(api_version >= kTransactionAbortableFrom
                                        ? KafkaError::transaction_abortable
                                        : KafkaError::invalid_txn_state);
    case KafkaError::producer_fenced:
        return static_cast<int16_t>(KafkaError::invalid_producer_epoch);
    case KafkaError::concurrent_transactions: // the transaction of before is being ended
    case KafkaError::coordinator_load_in_progress:
    case KafkaError::coordinator_not_available:
    case KafkaError::not_coordinator:
    case KafkaError::network_exception: // its broker could not be asked
    case KafkaError::broker_not_available:
        return static_cast<int16_t>(KafkaError::coordinator_load_in_progress);
    default:
        return code;
    }
}

class TxnOffsetCommitPending final : public request::Pending {
public:
    TxnOffsetCommitPending(const Context& context, TxnOffsetCommitRequest request)
        : head_(context.head),
          chunk_(context.chunk),
          request_(std::move(request)),
          client_id_(context.client_id),
          client_host_(coordinator_client_host(context)),
          body_(context.body.begin(), context.body.end()) {}

    void start(Token self, request::Services& services) override {
        self_ = self;
        const metadata::ImageRef image = services.image();
        const metadata::TopicImage* groups = image->topic(metadata::kGroupTopic);
        const metadata::TopicImage* transactions = image->topic(metadata::kTransactionTopic);
        if (groups == nullptr) {
            refuse(services, static_cast<int16_t>(KafkaError::coordinator_not_available));
            return;
        }
        if (transactions == nullptr) { // so there is no transaction
            refuse(services, static_cast<int16_t>(KafkaError::invalid_producer_id_mapping));
            return;
        }
        group_shard_ = shard_key(*groups, request_.group_id);
        if (image->partition(group_shard_)->leader != services.broker_id()) {
            refuse(services, static_cast<int16_t>(KafkaError::not_coordinator));
            return; // before anything is added to the transaction
        }

        AddPartitionsToTxnRequest add;
        auto& transaction = add.transactions.emplace_back();
        transaction.transactional_id = request_.transactional_id;
        transaction.producer_id = request_.producer_id;
        transaction.producer_epoch = request_.producer_epoch;
        transaction.verify_only = head_.api_version < kAddsPartitionFrom;
        transaction.topics.push_back({metadata::kGroupTopic, {group_shard_.index.value()}});
        ByteWriter writer;
        add.encode(writer, kAddVersion);
        ask(services, kVerify, shard_key(*transactions, request_.transactional_id),
            AddPartitionsToTxnRequest::kApiKey, kAddVersion, writer.take());
    }

    void on_partition_reply(replica::PartitionReply reply, request::Services& services) override {
        if (!reply.result) {
            const int16_t code = coordinator_error(reply.result.error());
            refuse(services,
                   reply.index == kVerify ? verification_error(code, head_.api_version) : code);
            return;
        }
        const auto& body = std::get<replica::CoordinatorResult>(*reply.result).body;
        if (reply.index == kCommit) {
            ByteWriter writer = begin_answer(head_);
            writer.bytes(body);
            services.finish(self_, end_answer(std::move(writer)));
            return;
        }
        if (const int16_t code = verified(body); code != 0) {
            refuse(services, verification_error(code, head_.api_version));
            return;
        }
        ask(services, kCommit, group_shard_, TxnOffsetCommitRequest::kApiKey, head_.api_version,
            std::move(body_));
    }

private:
    static PartitionKey shard_key(const metadata::TopicImage& topic, std::string_view key) {
        return {topic.id,
                coordinator::shard_of(key, static_cast<int32_t>(topic.partitions.size()))};
    }

    // The error of the one partition asked about.
    static int16_t verified(ByteView body) {
        const auto response = AddPartitionsToTxnResponse::decode(body, kAddVersion);
        if (!response) { // another broker's
            return static_cast<int16_t>(KafkaError::unknown_server_error);
        }
        if (response->error_code != 0) {
            return response->error_code;
        }
        for (const auto& transaction : response->results_by_transaction) {
            for (const auto& topic : transaction.topic_results) {
                for (const auto& partition : topic.results_by_partition) {
                    return partition.partition_error_code;
                }
            }
        }
        return static_cast<int16_t>(KafkaError::unknown_server_error);
    }

    void ask(request::Services& services, Step step, const PartitionKey& shard, int16_t api_key,
             int16_t api_version, std::vector<std::byte> body) {
        std::vector<replica::PartitionRequest> requests(1);
        requests[0].request = self_;
        requests[0].index = step;
        requests[0].key = shard;
        requests[0].op =
            replica::CoordinatorOp{api_key, api_version, client_id_, client_host_, std::move(body)};
        if (step == kVerify) { // the coordinator of the transaction may be another broker
            services.submit_to_leaders(std::move(requests));
        } else {
            services.submit(std::move(requests));
        }
    }

    void refuse(request::Services& services, int16_t error_code) {
        TxnOffsetCommitResponse response;
        for (const auto& topic : request_.topics) {
            auto& topic_out = response.topics.emplace_back();
            topic_out.name = topic.name;
            for (const auto& partition : topic.partitions) {
                topic_out.partitions.push_back({partition.partition_index, error_code});
            }
        }
        services.finish(self_, make_answer(head_, response));
    }

    ReplyHead head_;
    ChunkRef chunk_; // request_ has views of it
    TxnOffsetCommitRequest request_;
    std::string client_id_;
    std::string client_host_;
    std::vector<std::byte> body_; // goes to the group's coordinator as it came
    PartitionKey group_shard_;
    Token self_;
};

} // namespace

Outcome handle_txn_offset_commit(const Context& context) {
    KAFKA_DECODE(TxnOffsetCommitRequest, request, context);
    return std::make_unique<TxnOffsetCommitPending>(context, std::move(request));
}

} // namespace qtool::kafka
