#include "tests/sim/purger.h"

#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/delete_records.h"

#include <string>
#include <utility>

namespace qtool::sim {

namespace {

constexpr int16_t kVersion = 2;      // of DeleteRecords
constexpr int32_t kTimeoutMs = 5000; // until the followers have deleted

} // namespace

Purger::Purger(Client client, std::vector<PartitionPlace> partitions)
    : client_(client),
      world_(*client.world),
      lines_(
          client, [](ClientLine&) {}, [this](ClientLine& line) { on_end(line); }) {
    for (PartitionPlace& place : partitions) {
        lanes_.emplace_back().place = std::move(place);
    }
}

void Purger::start() {
    is_stopped_ = false;
    if (!is_tick_due_) {
        tick();
    }
}

// A leader that is not settled is asked again, so it is asked as often as it may be wrong.
void Purger::tick() {
    is_tick_due_ = false;
    if (is_stopped_) {
        return;
    }
    for (size_t i = 0; i < lanes_.size(); i++) {
        const Lane& lane = lanes_[i];
        const int32_t epoch = client_.directory->leader_epoch(lane.place.topic, lane.place.index);
        ClientLine* const line = lane.at == nullptr && epoch > lane.purged_epoch
                                     ? lines_.to_leader(lane.place)
                                     : nullptr;
        if (line == nullptr) {
            continue;
        }
        if (line->is_open()) {
            ask(*line, i);
        } else {
            line->connect_later(1ms, 5ms);
        }
    }
    is_tick_due_ = true;
    world_.after(world_.between(10ms, 60ms), [this] { tick(); });
}

void Purger::ask(ClientLine& line, size_t number) {
    Lane& lane = lanes_[number];
    const int64_t offset = client_.checker->known(lane.place.number).high_watermark;
    const int32_t epoch = client_.directory->leader_epoch(lane.place.topic, lane.place.index);
    lane.at = &line;
    client_.checker->on_delete_asked(lane.place.number, offset);
    protocol::DeleteRecordsRequest request;
    request.timeout_ms = kTimeoutMs;
    auto& topic = request.topics.emplace_back();
    topic.name = lane.place.topic;
    auto& partition = topic.partitions.emplace_back();
    partition.partition_index = lane.place.index;
    partition.offset = offset;
    line.stream().ask(request, kVersion, [this, number, offset, epoch](ByteView body) {
        on_answer(number, offset, epoch, body);
    });
}

void Purger::on_answer(size_t number, int64_t offset, int32_t epoch, ByteView body) {
    Lane& lane = lanes_[number];
    lane.at = nullptr;
    const std::string& name = client_.checker->name(lane.place.number);
    const auto answer = protocol::DeleteRecordsResponse::decode(body, kVersion);
    if (!answer || answer->topics.size() != 1 || answer->topics[0].partitions.size() != 1) {
        world_.violate("DeleteRecords: an answer that cannot be read");
        return;
    }
    const auto& result = answer->topics[0].partitions[0];
    world_.trace("purged", lane.place.number, static_cast<uint64_t>(result.error_code));
    if (result.error_code == 0) {
        if (result.low_watermark < offset) {
            world_.violate(name + ": DeleteRecords up to " + std::to_string(offset) +
                           " left the log start at " + std::to_string(result.low_watermark));
            return;
        }
        client_.checker->on_delete_done(lane.place.number, result.low_watermark);
        lane.purged_epoch = epoch;
        return;
    }
    // Who leads no more, and does not know it, may not have what was committed since.
    const bool is_refused =
        result.error_code == static_cast<int16_t>(protocol::KafkaError::offset_out_of_range);
    if (!is_retriable(result.error_code) &&
        !(is_refused &&
          !client_.directory->is_latest_epoch(lane.place.topic, lane.place.index, epoch))) {
        world_.violate(name + ": DeleteRecords up to " + std::to_string(offset) +
                       ", which is committed: error " + std::to_string(result.error_code));
        return;
    }
    if (result.error_code != static_cast<int16_t>(protocol::KafkaError::offset_not_available)) {
        client_.directory->refresh();
    }
}

void Purger::on_end(ClientLine& line) {
    for (Lane& lane : lanes_) {
        if (lane.at == &line) {
            lane.at = nullptr;
        }
    }
    client_.directory->refresh();
}

} // namespace qtool::sim
