#include "server/peer/remote_op.h"

#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/list_offsets.h"
#include "lib/protocol/msg/write_txn_markers.h"
#include "lib/protocol/record_batch.h"

#include <utility>

namespace qtool::peer {

namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;
using protocol::KafkaError;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using protocol::WriteTxnMarkersRequest;
using protocol::WriteTxnMarkersResponse;

constexpr int16_t kMarkersVersion = 2;
constexpr int16_t kFetchVersion = 13; // the first that names topics by id
constexpr int16_t kOffsetsVersion = 7;
constexpr int64_t kEarliest = -2;
constexpr uint8_t kHopsMax = 4; // a log that is cut as fast as it is asked has no lag to tell

template <class Message>
std::vector<std::byte> encode(const Message& message, int16_t version) {
    ByteWriter writer;
    message.encode(writer, version);
    return writer.take();
}

// What callers tell apart; of anything else the name says enough.
Error to_error(int16_t error_code) {
    const KafkaError error = protocol::kafka_error_of(error_code);
    const auto code = [&] {
        switch (error) {
        case KafkaError::not_leader_or_follower:
        case KafkaError::leader_not_available:
            return Code::not_leader;
        case KafkaError::unknown_topic_or_partition:
        case KafkaError::unknown_topic_id:
            return Code::unknown_partition;
        case KafkaError::offset_out_of_range:
            return Code::offset_out_of_range;
        case KafkaError::invalid_producer_epoch:
        case KafkaError::producer_fenced:
            return Code::invalid_producer_epoch;
        case KafkaError::transaction_coordinator_fenced:
            return Code::coordinator_fenced;
        case KafkaError::not_enough_replicas:
            return Code::not_enough_replicas;
        case KafkaError::not_enough_replicas_after_append:
            return Code::not_enough_replicas_after_append;
        case KafkaError::request_timed_out:
            return Code::timed_out;
        case KafkaError::kafka_storage_error:
            return Code::storage_offline;
        default:
            return Code::internal;
        }
    }();
    return {code, "the partition's leader answered " + std::string(protocol::to_string(error))};
}

WriteTxnMarkersRequest to_request(const replica::WriteMarkerOp& op, const PartitionKey& key,
                                  const metadata::TopicImage& topic) {
    WriteTxnMarkersRequest request;
    auto& marker = request.markers.emplace_back();
    marker.producer_id = op.marker.producer_id.value();
    marker.producer_epoch = op.marker.producer_epoch.value();
    marker.transaction_result = op.marker.type == protocol::ControlType::commit;
    marker.coordinator_epoch = op.marker.coordinator_epoch;
    marker.transaction_version = static_cast<int8_t>(op.transaction_version);
    auto& topic_out = marker.topics.emplace_back();
    topic_out.name = topic.name;
    topic_out.partition_indexes.push_back(key.index.value());
    return request;
}

// One batch comes back, whatever its size: a leader gives at least that.
FetchRequest make_fetch(const PartitionKey& key, Offset from) {
    FetchRequest request;
    request.max_bytes = 1;
    auto& topic = request.topics.emplace_back();
    topic.topic_id = key.topic_id;
    auto& partition = topic.partitions.emplace_back();
    partition.partition = key.index.value();
    partition.fetch_offset = from.value();
    partition.partition_max_bytes = 1;
    return request;
}

Result<replica::PartitionResult> read_markers(const Answer& answer) {
    QT_TRY_ASSIGN(const auto response,
                  WriteTxnMarkersResponse::decode(answer.body(), answer.version));
    if (response.markers.size() != 1 || response.markers[0].topics.size() != 1 ||
        response.markers[0].topics[0].partitions.size() != 1) {
        return Error(Code::malformed, "the answer to a marker is of other partitions");
    }
    if (const int16_t code = response.markers[0].topics[0].partitions[0].error_code; code != 0) {
        return to_error(code);
    }
    return replica::PartitionResult(replica::WriteMarkerResult{});
}

Result<replica::PartitionResult> read_lag(const Answer& answer) {
    QT_TRY_ASSIGN(const auto response, FetchResponse::decode(answer.body(), answer.version));
    if (response.error_code != 0) {
        return to_error(response.error_code);
    }
    if (response.responses.size() != 1 || response.responses[0].partitions.size() != 1) {
        return Error(Code::malformed, "the answer to a fetch is of other partitions");
    }
    const auto& partition = response.responses[0].partitions[0];
    if (partition.error_code != 0) {
        return to_error(partition.error_code);
    }
    replica::LagResult result;
    result.high_watermark = Offset(partition.high_watermark);
    if (partition.records && partition.records->size() >= protocol::kBatchHeaderSize) {
        QT_TRY_ASSIGN(const protocol::BatchHeader header,
                      protocol::parse_batch_header(*partition.records));
        const bool is_one_time =
            header.has_delete_horizon() ||
            header.timestamp_type() == protocol::TimestampType::log_append_time;
        result.timestamp_ms = is_one_time ? header.max_timestamp : header.base_timestamp;
    }
    return replica::PartitionResult(result);
}

} // namespace

std::optional<Call> next_call(const Answer& answer, const metadata::Image& image, MonoTime now) {
    if (!answer.result || answer.hop >= kHopsMax) {
        return std::nullopt;
    }
    Call call;
    call.to = answer.from;
    call.version = kOffsetsVersion;
    call.deadline = now + kLagTimeout;
    call.token = answer.token;
    call.index = answer.index;
    call.is_partition_op = true;
    call.hop = static_cast<uint8_t>(answer.hop + 1);
    if (answer.api_key == FetchRequest::kApiKey) {
        const auto response = FetchResponse::decode(answer.body(), answer.version);
        if (!response || response->responses.size() != 1 ||
            response->responses[0].partitions.size() != 1 ||
            protocol::kafka_error_of(response->responses[0].partitions[0].error_code) !=
                KafkaError::offset_out_of_range) {
            return std::nullopt;
        }
        const metadata::TopicImage* topic = image.topic(response->responses[0].topic_id);
        if (topic == nullptr) {
            return std::nullopt;
        }
        ListOffsetsRequest request;
        request.replica_id = -1;
        auto& topic_out = request.topics.emplace_back();
        topic_out.name = topic->name;
        auto& partition = topic_out.partitions.emplace_back();
        partition.partition_index = response->responses[0].partitions[0].partition_index;
        partition.timestamp = kEarliest;
        call.api_key = ListOffsetsRequest::kApiKey;
        call.body = encode(request, kOffsetsVersion);
        return call;
    }
    if (answer.api_key == ListOffsetsRequest::kApiKey) {
        const auto response = ListOffsetsResponse::decode(answer.body(), answer.version);
        if (!response || response->topics.size() != 1 ||
            response->topics[0].partitions.size() != 1 ||
            response->topics[0].partitions[0].error_code != 0) {
            return std::nullopt;
        }
        const metadata::TopicImage* topic = image.topic(response->topics[0].name);
        if (topic == nullptr) {
            return std::nullopt;
        }
        const auto& partition = response->topics[0].partitions[0];
        call.api_key = FetchRequest::kApiKey;
        call.version = kFetchVersion;
        call.body = encode(make_fetch({topic->id, PartitionIndex(partition.partition_index)},
                                      Offset(partition.offset)),
                           kFetchVersion);
        return call;
    }
    return std::nullopt;
}

bool is_remote_op(const replica::PartitionOp& op) {
    return std::holds_alternative<replica::CoordinatorOp>(op) ||
           std::holds_alternative<replica::WriteMarkerOp>(op) ||
           std::holds_alternative<replica::LagOp>(op);
}

Call make_call(replica::PartitionRequest request, const metadata::TopicImage& topic,
               BrokerId leader, MonoTime now) {
    Call call;
    call.to = leader;
    call.token = request.request;
    call.index = request.index;
    call.is_partition_op = true;
    call.deadline = now + kRemoteTimeout;
    if (auto* coordinator = std::get_if<replica::CoordinatorOp>(&request.op)) {
        call.api_key = coordinator->api_key;
        call.version = coordinator->api_version;
        call.body = std::move(coordinator->body);
    } else if (const auto* marker = std::get_if<replica::WriteMarkerOp>(&request.op)) {
        call.api_key = WriteTxnMarkersRequest::kApiKey;
        call.version = kMarkersVersion;
        call.body = encode(to_request(*marker, request.key, topic), kMarkersVersion);
        call.deadline = marker->deadline;
    } else {
        const auto& lag = std::get<replica::LagOp>(request.op);
        call.api_key = FetchRequest::kApiKey;
        call.version = kFetchVersion;
        call.deadline = now + kLagTimeout;
        call.body = encode(make_fetch(request.key, lag.committed), kFetchVersion);
    }
    return call;
}

Result<replica::PartitionResult> read_answer(const Answer& answer) {
    if (!answer.result) {
        return answer.result.error();
    }
    switch (answer.api_key) {
    case WriteTxnMarkersRequest::kApiKey:
        return read_markers(answer);
    case FetchRequest::kApiKey:
        return read_lag(answer);
    case ListOffsetsRequest::kApiKey: // next_call found nothing to go on with
        return Error(Code::offset_not_available, "the leader does not say where the log begins");
    default: // a coordinator's: its response is the result
        replica::CoordinatorResult result;
        const ByteView body = answer.body();
        result.body.assign(body.begin(), body.end());
        return replica::PartitionResult(std::move(result));
    }
}

} // namespace qtool::peer
