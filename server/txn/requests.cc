// The requests of TxnShard that change a transaction: read, decided, written, answered.
#include "lib/protocol/msg/add_offsets_to_txn.h"
#include "lib/protocol/msg/end_txn.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "server/txn/decode.h"
#include "server/txn/limits.h"
#include "server/txn/txn_shard.h"

#include <algorithm>

namespace qtool::txn {

namespace {

using protocol::AddOffsetsToTxnRequest;
using protocol::AddOffsetsToTxnResponse;
using protocol::AddPartitionsToTxnRequest;
using protocol::AddPartitionsToTxnResponse;
using protocol::EndTxnRequest;
using protocol::EndTxnResponse;
using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;
using protocol::KafkaError;

// The first versions whose clients know PRODUCER_FENCED; those before are told
// INVALID_PRODUCER_EPOCH (KIP-360, KIP-588).
constexpr int16_t kInitFencedVersionMin = 4;
constexpr int16_t kFencedVersionMin = 2;

constexpr int16_t kEndTxn2VersionMin = 5;
constexpr int16_t kAddBatchedVersionMin = 4;

KafkaError for_version(KafkaError error, int16_t version, int16_t fenced_version_min) {
    return error == KafkaError::producer_fenced && version < fenced_version_min
               ? KafkaError::invalid_producer_epoch
               : error;
}

bool exists(const metadata::Image& image, std::string_view topic, int32_t partition) {
    const metadata::TopicImage* found = image.topic(topic);
    return found != nullptr && partition >= 0 &&
           static_cast<size_t>(partition) < found->partitions.size();
}

} // namespace

void TxnShard::init_producer_id(const coordinator::Request& request, coordinator::Host& host) {
    const auto asked = decode<InitProducerIdRequest, InitProducerIdResponse>(request, host);
    if (!asked) {
        return;
    }
    InitProducerIdResponse response;
    response.producer_id = kNoProducerId.value();
    response.producer_epoch = kNoProducerEpoch.value();
    const auto decide = [&]() -> KafkaError {
        const Producer claimed{ProducerId(asked->producer_id),
                               ProducerEpoch(asked->producer_epoch)};
        const bool half_given = claimed.is_given() != (claimed.epoch != kNoProducerEpoch);
        if (!asked->transactional_id || asked->transactional_id->empty() || half_given) {
            return KafkaError::invalid_request;
        }
        if (asked->transaction_timeout_ms <= 0 ||
            asked->transaction_timeout_ms > host.config().transaction_timeout_max_ms) {
            return KafkaError::invalid_transaction_timeout;
        }
        const std::string_view id = *asked->transactional_id;
        const Transaction* current = find(id);
        if (current == nullptr && transactions_.size() >= kIdsPerShardMax) {
            return KafkaError::policy_violation;
        }
        const Decided<Step> step =
            decide_init(current, claimed, asked->transaction_timeout_ms, host.wall_now_ms(),
                        [&] { return host.take_producer_id(); });
        if (!step) {
            return step.error();
        }
        if (const KafkaError error = write(id, *step, host); error != KafkaError::none) {
            return error;
        }
        if (step->error == KafkaError::none) {
            response.producer_id = step->answer.id.value();
            response.producer_epoch = step->answer.epoch.value();
        }
        return step->error;
    };
    response.error_code =
        static_cast<int16_t>(for_version(decide(), request.api_version, kInitFencedVersionMin));
    coordinator::answer(response, request.id, request.api_version, host);
}

std::vector<TxnShard::AddTopicResult> TxnShard::add(std::string_view id, Producer producer,
                                                    const std::vector<AddTopic>& topics,
                                                    bool verify_only, int16_t api_version,
                                                    coordinator::Host& host) {
    Partitions partitions;
    bool all_exist = true;
    for (const AddTopic& topic : topics) {
        auto& indexes = partitions[std::string(topic.name)];
        for (const int32_t index : topic.partitions) {
            indexes.insert(index);
            all_exist = all_exist && exists(host.image(), topic.name, index);
        }
    }
    std::erase_if(partitions, [](const auto& topic) { return topic.second.empty(); });
    const Transaction* current = find(id);
    KafkaError error = KafkaError::none;
    if (id.empty()) {
        error = KafkaError::invalid_request;
    } else if (all_exist && verify_only) {
        error = check_verify(current, producer);
    } else if (all_exist && !partitions.empty()) {
        const int16_t client_version =
            api_version >= kAddBatchedVersionMin ? kTransactionVersion2 : int16_t{0};
        const Decided<Step> step =
            decide_add(current, producer, partitions, client_version, host.wall_now_ms());
        error = step ? write(id, *step, host) : step.error();
    }
    error = for_version(error, api_version, kFencedVersionMin);

    std::vector<AddTopicResult> results;
    for (const AddTopic& topic : topics) {
        AddTopicResult& out = results.emplace_back();
        out.name = topic.name;
        for (const int32_t index : topic.partitions) {
            KafkaError code = error;
            if (!all_exist && error == KafkaError::none) {
                code = exists(host.image(), topic.name, index)
                           ? KafkaError::operation_not_attempted
                           : KafkaError::unknown_topic_or_partition;
            } else if (verify_only && error == KafkaError::none &&
                       !current->holds(topic.name, index)) {
                code = KafkaError::transaction_abortable;
            }
            out.results_by_partition.push_back({index, static_cast<int16_t>(code)});
        }
    }
    return results;
}

void TxnShard::add_partitions(const coordinator::Request& request, coordinator::Host& host) {
    const auto asked = decode<AddPartitionsToTxnRequest, AddPartitionsToTxnResponse>(request, host);
    if (!asked) {
        return;
    }
    AddPartitionsToTxnResponse response;
    if (request.api_version < kAddBatchedVersionMin) {
        response.results_by_topic_v3_and_below =
            add(asked->v3_and_below_transactional_id,
                {ProducerId(asked->v3_and_below_producer_id),
                 ProducerEpoch(asked->v3_and_below_producer_epoch)},
                asked->v3_and_below_topics, false, request.api_version, host);
    }
    for (const auto& transaction : asked->transactions) {
        auto& out = response.results_by_transaction.emplace_back();
        out.transactional_id = transaction.transactional_id;
        out.topic_results =
            add(transaction.transactional_id,
                {ProducerId(transaction.producer_id), ProducerEpoch(transaction.producer_epoch)},
                transaction.topics, transaction.verify_only, request.api_version, host);
    }
    coordinator::answer(response, request.id, request.api_version, host);
}

void TxnShard::add_offsets(const coordinator::Request& request, coordinator::Host& host) {
    const auto asked = decode<AddOffsetsToTxnRequest, AddOffsetsToTxnResponse>(request, host);
    if (!asked) {
        return;
    }
    const auto decide = [&]() -> KafkaError {
        if (asked->transactional_id.empty()) {
            return KafkaError::invalid_request;
        }
        const metadata::TopicImage* offsets = host.image().topic(metadata::kGroupTopic);
        if (offsets == nullptr) {
            return KafkaError::coordinator_not_available; // the handler creates it
        }
        const PartitionIndex partition = coordinator::shard_of(
            asked->group_id, static_cast<int32_t>(offsets->partitions.size()));
        Partitions partitions;
        partitions[std::string(metadata::kGroupTopic)].insert(partition.value());
        const Decided<Step> step =
            decide_add(find(asked->transactional_id),
                       {ProducerId(asked->producer_id), ProducerEpoch(asked->producer_epoch)},
                       partitions, 0, host.wall_now_ms());
        return step ? write(asked->transactional_id, *step, host) : step.error();
    };
    AddOffsetsToTxnResponse response;
    response.error_code =
        static_cast<int16_t>(for_version(decide(), request.api_version, kFencedVersionMin));
    coordinator::answer(response, request.id, request.api_version, host);
}

void TxnShard::end_txn(const coordinator::Request& request, coordinator::Host& host) {
    const auto asked = decode<EndTxnRequest, EndTxnResponse>(request, host);
    if (!asked) {
        return;
    }
    EndTxnResponse response;
    const bool is_version_2 = request.api_version >= kEndTxn2VersionMin;
    const auto decide = [&]() -> KafkaError {
        if (asked->transactional_id.empty()) {
            return KafkaError::invalid_request;
        }
        const Decided<Step> step =
            decide_end(find(asked->transactional_id),
                       {ProducerId(asked->producer_id), ProducerEpoch(asked->producer_epoch)},
                       asked->committed, is_version_2 ? kTransactionVersion2 : int16_t{0},
                       host.wall_now_ms(), [&] { return host.take_producer_id(); });
        if (!step) {
            return step.error();
        }
        const KafkaError error = write(asked->transactional_id, *step, host);
        if (error == KafkaError::none && is_version_2) {
            response.producer_id = step->answer.id.value();
            response.producer_epoch = step->answer.epoch.value();
        }
        return error;
    };
    response.error_code =
        static_cast<int16_t>(for_version(decide(), request.api_version, kFencedVersionMin));
    coordinator::answer(response, request.id, request.api_version, host);
}

} // namespace qtool::txn
