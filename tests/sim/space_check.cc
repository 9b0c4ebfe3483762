#include "tests/sim/space_check.h"

#include "lib/base/assert.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/create_topics.h"
#include "lib/protocol/msg/delete_records.h"
#include "lib/protocol/msg/delete_topics.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/find_coordinator.h"
#include "lib/protocol/msg/offset_commit.h"
#include "lib/protocol/msg/offset_fetch.h"
#include "lib/protocol/msg/produce.h"
#include "server/storage/log_dir.h"

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr std::string_view kTopic = "space";
constexpr std::string_view kSpare = "space-spare";
constexpr std::string_view kGroup = "space-group";
constexpr int32_t kTimeoutMs = 5000;
constexpr int64_t kRecordsAtFirst = 4;
// The broker looks at the disk when somebody writes, and at most so often.
constexpr Duration kNoticeMax = storage::kSpaceLookInterval + 200ms;
constexpr Duration kReturnMax = 5s;

bool is_of_coordinator(int16_t error_code) {
    const auto error = static_cast<KafkaError>(error_code);
    return error == KafkaError::coordinator_load_in_progress ||
           error == KafkaError::coordinator_not_available || error == KafkaError::not_coordinator;
}

} // namespace

SpaceCheck::SpaceCheck(Client client, Device& device)
    : world_(*client.world),
      device_(device),
      line_(
          *client.world, *client.network, [this] { next(); },
          [this] { line_.connect_later(20ms); }) {}

void SpaceCheck::next() {
    switch (stage_) {
    case Stage::topics:
        return ask_topics();
    case Stage::coordinator:
        return ask_coordinator();
    case Stage::room:
        if (end_ < kRecordsAtFirst) {
            return ask_produce();
        }
        return committed_ < 0 ? ask_commit() : take_room();
    case Stage::low:
        return next_low();
    case Stage::room_again:
        return ask_produce();
    case Stage::done:
        return;
    }
    QT_UNREACHABLE();
}

void SpaceCheck::take_room() {
    device_.set_low(true);
    stage_ = Stage::low;
    rounds_ = static_cast<uint32_t>(8 + world_.random().below(12));
    line_.next_later(kNoticeMax);
}

void SpaceCheck::give_room() {
    device_.set_low(false);
    stage_ = Stage::room_again;
    roomy_at_ = world_.now();
    line_.next_later(world_.between(0ms, 500ms));
}

void SpaceCheck::next_low() {
    if (rounds_-- == 0) {
        return give_room();
    }
    switch (world_.random().below(6)) {
    case 0:
        return ask_fetch();
    case 1:
        return ask_commit();
    case 2:
        return ask_committed();
    case 3:
        return ask_delete_records();
    case 4:
        return has_spare_ ? ask_delete_topic() : ask_produce();
    default:
        return ask_produce();
    }
}

bool SpaceCheck::goes_on(const char* what, int16_t error_code) {
    world_.trace(what, static_cast<uint64_t>(error_code));
    const bool is_early = stage_ <= Stage::room;
    if (error_code != 0 &&
        !(is_early && (is_retriable(error_code) || is_of_coordinator(error_code)))) {
        world_.violate(std::string(what) + " on a disk with little room: error " +
                       std::to_string(error_code));
        return false;
    }
    line_.next_later(world_.between(1ms, 200ms));
    return true;
}

void SpaceCheck::ask_topics() {
    protocol::CreateTopicsRequest request;
    request.timeout_ms = kTimeoutMs;
    for (const std::string_view name : {kTopic, kSpare}) {
        auto& topic = request.topics.emplace_back();
        topic.name = name;
        topic.num_partitions = 1;
        topic.replication_factor = 1;
    }
    constexpr int16_t kVersion = 5;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::CreateTopicsResponse::decode(body, kVersion);
        if (!answer || answer->topics.size() != 2) {
            world_.violate("CreateTopics: an answer that cannot be read");
            return;
        }
        for (const auto& topic : answer->topics) {
            if (topic.error_code != 0 &&
                topic.error_code != static_cast<int16_t>(KafkaError::topic_already_exists)) {
                goes_on("CreateTopics", topic.error_code);
                return;
            }
        }
        stage_ = Stage::coordinator;
        line_.next_later(10ms);
    });
}

// Which makes the topic of the offsets when there is none.
void SpaceCheck::ask_coordinator() {
    protocol::FindCoordinatorRequest request;
    request.key = kGroup;
    constexpr int16_t kVersion = 2;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::FindCoordinatorResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("FindCoordinator: an answer that cannot be read");
            return;
        }
        if (goes_on("FindCoordinator", answer->error_code) && answer->error_code == 0) {
            stage_ = Stage::room;
        }
    });
}

// ---- records ------------------------------------------------------------------------------------

void SpaceCheck::ask_produce() {
    protocol::BatchBuilder builder;
    const std::vector<std::byte> value(10 + world_.random().below(500), std::byte{'s'});
    QT_ASSERT(builder.append({}, ByteView(value), {}, protocol::kNoTimestamp).has_value());
    const Result<std::vector<std::byte>> batch = builder.finish({});
    QT_ASSERT(batch.has_value());
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = kTimeoutMs;
    auto& topic = request.topic_data.emplace_back();
    topic.name = kTopic;
    topic.partition_data.emplace_back().records = protocol::RecordsRef{*batch, 0};
    constexpr int16_t kVersion = 9;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::ProduceResponse::decode(body, kVersion);
        if (!answer || answer->responses.size() != 1 ||
            answer->responses[0].partition_responses.size() != 1) {
            world_.violate("Produce: an answer that cannot be read");
            return;
        }
        const auto& partition = answer->responses[0].partition_responses[0];
        on_produced(partition.error_code, partition.base_offset);
    });
}

void SpaceCheck::on_produced(int16_t error_code, int64_t base_offset) {
    world_.trace("Produce", static_cast<uint64_t>(error_code));
    if (stage_ == Stage::low && error_code == 0) {
        world_.violate("a record went into a log on a disk with less room than the reserve");
        return;
    }
    if (error_code != 0 && !is_retriable(error_code)) {
        world_.violate("Produce on a disk with little room: error " + std::to_string(error_code));
        return;
    }
    if (error_code == 0) {
        if (base_offset != end_) { // one that was refused is there, or one that was taken is gone
            world_.violate("a record got offset " + std::to_string(base_offset) + " instead of " +
                           std::to_string(end_));
            return;
        }
        end_++;
        if (stage_ == Stage::room_again) {
            stage_ = Stage::done;
            return;
        }
    } else if (stage_ == Stage::room_again && world_.now() > roomy_at_ + kReturnMax) {
        world_.violate("records are refused though the disk has had room for a while");
        return;
    }
    line_.next_later(world_.between(1ms, 200ms));
}

void SpaceCheck::ask_fetch() {
    protocol::FetchRequest request;
    auto& topic = request.topics.emplace_back();
    topic.topic = kTopic;
    auto& partition = topic.partitions.emplace_back();
    partition.fetch_offset = start_;
    partition.partition_max_bytes = 1'000'000;
    constexpr int16_t kVersion = 12;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::FetchResponse::decode(body, kVersion);
        if (!answer || answer->responses.size() != 1 ||
            answer->responses[0].partitions.size() != 1) {
            world_.violate("Fetch: an answer that cannot be read");
            return;
        }
        const auto& found = answer->responses[0].partitions[0];
        const bool is_empty = found.records.value_or(protocol::RecordsRef{}).bytes.empty();
        if (goes_on("Fetch", found.error_code) &&
            (is_empty != (start_ == end_) || found.high_watermark != end_)) {
            world_.violate("a read on a disk with little room does not find what is there");
        }
    });
}

void SpaceCheck::ask_delete_records() {
    const int64_t before = world_.random().between(start_, end_);
    protocol::DeleteRecordsRequest request;
    request.timeout_ms = kTimeoutMs;
    auto& topic = request.topics.emplace_back();
    topic.name = kTopic;
    topic.partitions.emplace_back().offset = before;
    constexpr int16_t kVersion = 2;
    line_.stream().ask(request, kVersion, [this, before](ByteView body) {
        const auto answer = protocol::DeleteRecordsResponse::decode(body, kVersion);
        if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            world_.violate("DeleteRecords: an answer that cannot be read");
            return;
        }
        if (goes_on("DeleteRecords", answer->topics[0].partitions[0].error_code)) {
            start_ = before;
        }
    });
}

void SpaceCheck::ask_delete_topic() {
    protocol::DeleteTopicsRequest request;
    request.timeout_ms = kTimeoutMs;
    request.topic_names.emplace_back(kSpare);
    constexpr int16_t kVersion = 5;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::DeleteTopicsResponse::decode(body, kVersion);
        if (!answer || answer->responses.size() != 1) {
            world_.violate("DeleteTopics: an answer that cannot be read");
            return;
        }
        has_spare_ = false;
        goes_on("DeleteTopics", answer->responses[0].error_code);
    });
}

// ---- offsets ------------------------------------------------------------------------------------

void SpaceCheck::ask_commit() {
    const int64_t offset = committed_ + 1;
    protocol::OffsetCommitRequest request;
    request.group_id = kGroup;
    auto& topic = request.topics.emplace_back();
    topic.name = kTopic;
    auto& partition = topic.partitions.emplace_back();
    partition.committed_offset = offset;
    constexpr int16_t kVersion = 8;
    line_.stream().ask(request, kVersion, [this, offset](ByteView body) {
        const auto answer = protocol::OffsetCommitResponse::decode(body, kVersion);
        if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            world_.violate("OffsetCommit: an answer that cannot be read");
            return;
        }
        const int16_t error_code = answer->topics[0].partitions[0].error_code;
        if (goes_on("OffsetCommit", error_code) && error_code == 0) {
            committed_ = offset;
        }
    });
}

void SpaceCheck::ask_committed() {
    protocol::OffsetFetchRequest request;
    request.group_id = kGroup;
    request.topics.emplace();
    auto& topic = request.topics->emplace_back();
    topic.name = kTopic;
    topic.partition_indexes.push_back(0);
    constexpr int16_t kVersion = 6;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::OffsetFetchResponse::decode(body, kVersion);
        if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
            world_.violate("OffsetFetch: an answer that cannot be read");
            return;
        }
        const auto& found = answer->topics[0].partitions[0];
        const int16_t error_code = answer->error_code != 0 ? answer->error_code : found.error_code;
        if (goes_on("OffsetFetch", error_code) && found.committed_offset != committed_) {
            world_.violate("committed offset " + std::to_string(committed_) + " reads as " +
                           std::to_string(found.committed_offset));
        }
    });
}

} // namespace qtool::sim
