#include "tests/sim/txn_calls.h"

#include "lib/protocol/msg/add_offsets_to_txn.h"
#include "lib/protocol/msg/add_partitions_to_txn.h"
#include "lib/protocol/msg/end_txn.h"
#include "lib/protocol/msg/find_coordinator.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/produce.h"
#include "lib/protocol/msg/txn_offset_commit.h"

#include <utility>

namespace qtool::sim {

namespace {

// The last versions of clients that add partitions themselves, and the first of those that do not.
constexpr int16_t kProduceV1 = 9;
constexpr int16_t kProduceV2 = 12;
constexpr int16_t kEndV1 = 4;
constexpr int16_t kEndV2 = 5;
constexpr int16_t kOffsetsV1 = 3;
constexpr int16_t kOffsetsV2 = 5;

} // namespace

void TxnCalls::violate(std::string_view api) {
    world_.violate(std::string(api) + ": an answer that cannot be read");
}

void TxnCalls::find_coordinator(Coordinator which, OnHost on_host) {
    constexpr int16_t kVersion = 4;
    protocol::FindCoordinatorRequest request;
    request.key_type = static_cast<int8_t>(which);
    request.coordinator_keys.push_back(which == Coordinator::of_group ? setup_.group : setup_.id);
    stream_.ask(request, kVersion, [this, on_host = std::move(on_host)](ByteView body) {
        const auto answer = protocol::FindCoordinatorResponse::decode(body, kVersion);
        if (!answer || answer->coordinators.size() != 1) {
            violate("FindCoordinator");
            return;
        }
        on_host(answer->coordinators[0].error_code, answer->coordinators[0].host);
    });
}

void TxnCalls::init(Duration timeout, std::optional<Identity> claimed, OnIdentity on_identity) {
    const int16_t version = setup_.is_version_2 ? int16_t{5} : int16_t{4};
    protocol::InitProducerIdRequest request;
    request.transactional_id = setup_.id;
    request.transaction_timeout_ms = static_cast<int32_t>(timeout / 1ms);
    if (claimed) {
        request.producer_id = claimed->id;
        request.producer_epoch = claimed->epoch;
    }
    stream_.ask(request, version,
                [this, version, on_identity = std::move(on_identity)](ByteView body) {
                    const auto answer = protocol::InitProducerIdResponse::decode(body, version);
                    if (!answer) {
                        violate("InitProducerId");
                        return;
                    }
                    on_identity(answer->error_code, {answer->producer_id, answer->producer_epoch});
                });
}

void TxnCalls::fetch_offset(
    const PartitionPlace& place,
    std::function<void(int16_t error_code, const std::optional<Committed>&)> on_offset) {
    constexpr int16_t kVersion = 7;
    protocol::OffsetFetchRequest request;
    request.group_id = setup_.group;
    request.require_stable = true;
    auto& topic = request.topics.emplace().emplace_back();
    topic.name = place.topic;
    topic.partition_indexes.push_back(place.index);
    stream_.ask(request, kVersion, [this, on_offset = std::move(on_offset)](ByteView body) {
        const auto answer = protocol::OffsetFetchResponse::decode(body, kVersion);
        if (!answer) {
            violate("OffsetFetch");
            return;
        }
        if (answer->error_code != 0 || answer->topics.size() != 1 ||
            answer->topics[0].partitions.size() != 1) {
            on_offset(answer->error_code, std::nullopt);
            return;
        }
        const auto& shown = answer->topics[0].partitions[0];
        on_offset(shown.error_code,
                  Committed{shown.committed_offset, std::string(shown.metadata.value_or(""))});
    });
}

void TxnCalls::add_partitions(
    Identity identity, const std::vector<PartitionPlace>& places,
    std::function<void(const std::vector<int16_t>& error_codes)> on_errors) {
    constexpr int16_t kVersion = 3;
    protocol::AddPartitionsToTxnRequest request;
    request.v3_and_below_transactional_id = setup_.id;
    request.v3_and_below_producer_id = identity.id;
    request.v3_and_below_producer_epoch = identity.epoch;
    for (const PartitionPlace& place : places) {
        if (request.v3_and_below_topics.empty()) {
            request.v3_and_below_topics.emplace_back().name = place.topic;
        }
        request.v3_and_below_topics[0].partitions.push_back(place.index);
    }
    stream_.ask(request, kVersion, [this, on_errors = std::move(on_errors)](ByteView body) {
        const auto answer = protocol::AddPartitionsToTxnResponse::decode(body, kVersion);
        if (!answer) {
            violate("AddPartitionsToTxn");
            return;
        }
        std::vector<int16_t> error_codes;
        for (const auto& topic : answer->results_by_topic_v3_and_below) {
            for (const auto& partition : topic.results_by_partition) {
                error_codes.push_back(partition.partition_error_code);
            }
        }
        on_errors(error_codes);
    });
}

void TxnCalls::produce(const std::string& topic, const std::vector<Batch>& batches,
                       Duration timeout,
                       std::function<void(const std::vector<Produced>&)> on_produced) {
    const int16_t version = setup_.is_version_2 ? kProduceV2 : kProduceV1;
    protocol::ProduceRequest request;
    request.transactional_id = setup_.id;
    request.acks = -1;
    request.timeout_ms = static_cast<int32_t>(timeout / 1ms);
    auto& data = request.topic_data.emplace_back();
    data.name = topic;
    for (const Batch& batch : batches) {
        auto& partition = data.partition_data.emplace_back();
        partition.index = batch.partition;
        partition.records = protocol::RecordsRef{batch.bytes, 0};
    }
    stream_.ask(
        request, version, [this, version, on_produced = std::move(on_produced)](ByteView body) {
            const auto answer = protocol::ProduceResponse::decode(body, version);
            if (!answer || answer->responses.size() != 1) {
                violate("Produce");
                return;
            }
            std::vector<Produced> produced;
            for (const auto& partition : answer->responses[0].partition_responses) {
                produced.push_back({partition.index, partition.error_code, partition.base_offset});
            }
            on_produced(produced);
        });
}

void TxnCalls::add_group(Identity identity, OnError on_error) {
    constexpr int16_t kVersion = 3;
    protocol::AddOffsetsToTxnRequest request;
    request.transactional_id = setup_.id;
    request.producer_id = identity.id;
    request.producer_epoch = identity.epoch;
    request.group_id = setup_.group;
    stream_.ask(request, kVersion, [this, on_error = std::move(on_error)](ByteView body) {
        const auto answer = protocol::AddOffsetsToTxnResponse::decode(body, kVersion);
        if (!answer) {
            violate("AddOffsetsToTxn");
            return;
        }
        on_error(answer->error_code);
    });
}

void TxnCalls::commit_offset(Identity identity, const PartitionPlace& place,
                             const Committed& committed, OnError on_error) {
    const int16_t version = setup_.is_version_2 ? kOffsetsV2 : kOffsetsV1;
    protocol::TxnOffsetCommitRequest request;
    request.transactional_id = setup_.id;
    request.group_id = setup_.group;
    request.producer_id = identity.id;
    request.producer_epoch = identity.epoch;
    auto& topic = request.topics.emplace_back();
    topic.name = place.topic;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = place.index;
    partition.committed_offset = committed.offset;
    partition.committed_metadata = committed.metadata;
    stream_.ask(request, version, [this, version, on_error = std::move(on_error)](ByteView body) {
        const auto answer = protocol::TxnOffsetCommitResponse::decode(body, version);
        if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            violate("TxnOffsetCommit");
            return;
        }
        on_error(answer->topics[0].partitions[0].error_code);
    });
}

void TxnCalls::end(Identity identity, bool commits, OnIdentity on_identity) {
    const int16_t version = setup_.is_version_2 ? kEndV2 : kEndV1;
    protocol::EndTxnRequest request;
    request.transactional_id = setup_.id;
    request.producer_id = identity.id;
    request.producer_epoch = identity.epoch;
    request.committed = commits;
    stream_.ask(request, version,
                [this, version, on_identity = std::move(on_identity)](ByteView body) {
                    const auto answer = protocol::EndTxnResponse::decode(body, version);
                    if (!answer) {
                        violate("EndTxn");
                        return;
                    }
                    on_identity(answer->error_code, {answer->producer_id, answer->producer_epoch});
                });
}

} // namespace qtool::sim
