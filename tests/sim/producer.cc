#include "lib/base/assert.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/produce.h"
#include "tests/sim/workload.h"

#include <algorithm>

namespace qtool::sim {

namespace {

using protocol::KafkaError;

constexpr uint32_t kInFlightMax = 5; // as Kafka's clients: the broker remembers five batches
constexpr size_t kQueueMax = 20;     // batches of a partition that wait

} // namespace

bool is_retriable(int16_t error_code) {
    switch (static_cast<KafkaError>(error_code)) {
    case KafkaError::unknown_topic_or_partition: // also: the image is not there yet
    case KafkaError::leader_not_available:
    case KafkaError::not_leader_or_follower:
    case KafkaError::request_timed_out:
    case KafkaError::not_enough_replicas:
    case KafkaError::kafka_storage_error:
    case KafkaError::unknown_topic_id:
    case KafkaError::not_enough_replicas_after_append:
    case KafkaError::fenced_leader_epoch:
    case KafkaError::unknown_leader_epoch:
    case KafkaError::offset_not_available:
        return true;
    default:
        return false;
    }
}

std::vector<std::byte> value_bytes(Value value, size_t size) {
    std::vector<std::byte> bytes(std::max(size, sizeof value));
    store_be<uint64_t>(bytes.data(), value);
    uint64_t filler = value | 1;
    for (size_t i = sizeof value; i < bytes.size(); i++) {
        filler = filler * 6364136223846793005ull + 1442695040888963407ull;
        bytes[i] = static_cast<std::byte>(filler >> 56);
    }
    return bytes;
}

Result<Value> read_value(ByteView bytes) {
    if (bytes.size() < sizeof(Value)) {
        return Error(Code::malformed, "a value of " + std::to_string(bytes.size()) + " bytes");
    }
    const auto value = load_be<uint64_t>(bytes.data());
    const std::vector<std::byte> whole = value_bytes(value, bytes.size());
    if (!std::equal(whole.begin(), whole.end(), bytes.begin(), bytes.end())) {
        return Error(Code::malformed, "the bytes of " + to_text(value) + " were changed");
    }
    return value;
}

Producer::Producer(Setup setup)
    : world_(*setup.client.world),
      setup_(std::move(setup)),
      lines_(
          setup_.client, [this](ClientLine& line) { on_connected(line); },
          [this](ClientLine& line) { on_end(line); }),
      number_(setup_.client.checker->add_producer(setup_.is_idempotent)) {
    for (const PartitionPlace& place : setup_.partitions) {
        lanes_.emplace_back().place = place;
    }
}

void Producer::start() {
    tick();
    connect(lines_.to_any());
}

bool Producer::is_done() const {
    return std::all_of(lanes_.begin(), lanes_.end(), [&](const Lane& lane) {
        return lane.batches_made == setup_.batches && lane.queue.empty();
    });
}

std::string Producer::left() const {
    std::string left;
    for (const Lane& lane : lanes_) {
        if (lane.batches_made < setup_.batches || !lane.queue.empty()) {
            left += " p" + std::to_string(number_) + " to " + lane.place.topic + "-" +
                    std::to_string(lane.place.index);
        }
    }
    return left;
}

void Producer::tick() {
    bool more = false;
    for (Lane& lane : lanes_) {
        if (lane.batches_made < setup_.batches) {
            more = true;
            if (lane.queue.size() < kQueueMax && world_.chance_percent(60) &&
                (!setup_.is_idempotent || producer_id_ >= 0)) {
                make_batch(lane);
            }
        }
    }
    pump();
    if (more || (setup_.client.directory != nullptr && !is_done())) {
        world_.after(world_.between(setup_.interval / 4, setup_.interval), [this] { tick(); });
    }
}

void Producer::make_batch(Lane& lane) {
    Prng& random = world_.random();
    protocol::BatchBuilder builder;
    Batch& batch = lane.queue.emplace_back();
    batch.ordinal = lane.batches_made++;
    const uint64_t count = 1 + random.below(6);
    const auto timestamp = static_cast<int64_t>(
        1'790'000'000'000 + world_.now().time_since_epoch() / std::chrono::milliseconds(1));
    for (uint64_t i = 0; i < count; i++) {
        const Value value = setup_.client.checker->new_value(number_, lane.place.number);
        batch.values.push_back(value);
        const bool is_large = i == 0 && random.chance(100'000);
        const size_t size = 8 + random.below(setup_.value_size_max * (is_large ? 8 : 1));
        const std::vector<std::byte> bytes = value_bytes(value, size);
        QT_ASSERT(builder.append({}, ByteView(bytes), {}, timestamp).has_value());
    }
    protocol::BatchClose close;
    if (random.chance(200'000)) {
        close.compression = protocol::Compression::lz4;
    }
    if (setup_.is_idempotent) {
        close.producer_id = ProducerId(producer_id_);
        close.producer_epoch = ProducerEpoch(producer_epoch_);
        close.base_sequence = lane.next_sequence;
        lane.next_sequence += static_cast<int32_t>(count);
    }
    Result<std::vector<std::byte>> bytes = builder.finish(close);
    QT_ASSERT(bytes.has_value());
    batch.bytes = *std::move(bytes);
}

// ---- connection ---------------------------------------------------------------------------------

void Producer::connect(ClientLine& line) {
    if (!line.is_open()) {
        line.connect_later(5ms, 200ms);
    }
}

void Producer::on_connected(ClientLine& line) {
    if (setup_.is_idempotent && producer_id_ < 0) {
        ask_producer_id(line);
    }
    pump();
}

// Nobody knows what became of the batches in flight: all of them are sent again, in order.
void Producer::on_end(ClientLine& line) {
    for (Lane& lane : lanes_) {
        if (lane.at != &line) {
            continue;
        }
        lane.in_flight = 0;
        lane.is_stalled = false;
        for (Batch& batch : lane.queue) {
            batch.in_flight = false;
        }
    }
    if (setup_.client.directory == nullptr) {
        connect(line);
        return;
    }
    // Whoever leads now, and whoever is there for what is not of a partition.
    setup_.client.directory->refresh();
    connect(lines_.to_any());
    world_.after(world_.between(20ms, 200ms), [this] { pump(); });
}

void Producer::ask_producer_id(ClientLine& line) {
    protocol::InitProducerIdRequest request;
    request.transactional_id.reset();
    request.transaction_timeout_ms = 60'000;
    constexpr int16_t kVersion = 4;
    line.stream().ask(request, kVersion, [this, &line](ByteView body) {
        const auto answer = protocol::InitProducerIdResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("InitProducerId: " + to_string(answer.error()));
            return;
        }
        if (answer->error_code != 0) {
            if (!is_retriable(answer->error_code) && answer->error_code != 15 &&
                answer->error_code != 14) {
                world_.violate("InitProducerId: error " + std::to_string(answer->error_code));
            }
            line.stream().close();
            connect(lines_.to_any());
            return;
        }
        if (producer_id_ >= 0) {
            return; // two brokers were asked
        }
        setup_.client.checker->on_producer_id(answer->producer_id);
        producer_id_ = answer->producer_id;
        producer_epoch_ = answer->producer_epoch;
        world_.trace("producer_id", number_, static_cast<uint64_t>(producer_id_));
        pump();
    });
}

// ---- requests -----------------------------------------------------------------------------------

void Producer::pump() {
    const size_t requests_max = setup_.is_idempotent ? kInFlightMax : 1;
    if (setup_.client.directory != nullptr) {
        for (Lane& lane : lanes_) {
            ClientLine* const line = lane.queue.empty() ? nullptr : lines_.to_leader(lane.place);
            if (line != nullptr && lane.in_flight == 0) {
                lane.at = line;
                connect(*line);
            }
        }
    }
    for (const auto& [address, line] : lines_.all()) {
        while (line->is_open() && line->stream().asked() < requests_max && send_request(*line)) {
        }
    }
}

bool Producer::send_request(ClientLine& line) {
    if (setup_.is_idempotent && producer_id_ < 0) {
        return false;
    }
    protocol::ProduceRequest request;
    request.acks = setup_.acks;
    request.timeout_ms = static_cast<int32_t>(world_.random().between(200, 5000));
    std::vector<Sent> sent;
    for (size_t i = 0; i < lanes_.size(); i++) {
        Lane& lane = lanes_[i];
        if (setup_.client.directory == nullptr) {
            lane.at = &line;
        }
        if (lane.at != &line || lane.is_stalled || (!setup_.is_idempotent && lane.in_flight > 0)) {
            continue;
        }
        const auto next = std::find_if(lane.queue.begin(), lane.queue.end(),
                                       [](const Batch& batch) { return !batch.in_flight; });
        // Never more than the broker remembers, so that a retry is always recognized.
        if (next == lane.queue.end() ||
            next->ordinal - lane.queue.front().ordinal >= kInFlightMax) {
            continue;
        }
        // A broker that does not know the topic yet refuses the first batch and may lead when the
        // second comes: it takes it, knowing nothing of the producer, as Kafka does.
        if (setup_.client.directory != nullptr && lane.in_flight > 0 && !lane.is_known) {
            continue;
        }
        auto topic = std::find_if(request.topic_data.begin(), request.topic_data.end(),
                                  [&](const auto& t) { return t.name == lane.place.topic; });
        if (topic == request.topic_data.end()) {
            topic = request.topic_data.emplace(request.topic_data.end());
            topic->name = lane.place.topic;
        }
        auto& data = topic->partition_data.emplace_back();
        data.index = lane.place.index;
        data.records = protocol::RecordsRef{next->bytes, 0};
        next->in_flight = true;
        next->sent_count++;
        lane.has_sent_again = lane.has_sent_again || next->sent_count > 1;
        lane.in_flight++;
        sent.push_back({i, next->ordinal});
    }
    if (sent.empty()) {
        return false;
    }
    const int16_t version = world_.chance_percent(50) ? int16_t{7} : int16_t{9};
    line.stream().ask(request, version,
                      [this, &line, version, sent = std::move(sent)](ByteView body) {
                          on_answer(line, body, version, sent);
                      });
    return true;
}

void Producer::on_answer(const ClientLine& line, ByteView body, int16_t version,
                         const std::vector<Sent>& sent) {
    const auto answer = protocol::ProduceResponse::decode(body, version);
    if (!answer) {
        world_.violate("Produce: " + to_string(answer.error()));
        return;
    }
    size_t answered = 0;
    for (const auto& topic : answer->responses) {
        for (const auto& partition : topic.partition_responses) {
            for (const Sent& item : sent) {
                Lane& lane = lanes_[item.lane];
                if (lane.place.topic == topic.name && lane.place.index == partition.index) {
                    answered++;
                    on_batch_answer(line, lane, item.ordinal, partition.error_code,
                                    partition.base_offset);
                }
            }
        }
    }
    if (answered != sent.size()) {
        world_.violate("Produce: " + std::to_string(answered) + " partitions answered of " +
                       std::to_string(sent.size()));
    }
    pump();
}

void Producer::on_batch_answer(const ClientLine& line, Lane& lane, uint32_t ordinal,
                               int16_t error_code, int64_t base_offset) {
    QT_ASSERT(lane.in_flight > 0);
    lane.in_flight--;
    world_.trace("produced", lane.place.number,
                 static_cast<uint64_t>(error_code == 0 ? base_offset : -error_code));
    const auto batch = std::find_if(lane.queue.begin(), lane.queue.end(),
                                    [&](const Batch& b) { return b.ordinal == ordinal; });
    QT_ASSERT(batch != lane.queue.end());
    if (error_code == 0) {
        if (base_offset < 0) {
            world_.violate(lane.place.topic + ": acknowledged without an offset");
            return;
        }
        if (setup_.acks == -1) {
            if (batch->sent_count == 1) { // nobody else can have taken it
                setup_.client.checker->on_led(lane.place.number, base_offset, line.address());
            }
            for (size_t i = 0; i < batch->values.size(); i++) {
                setup_.client.checker->on_acknowledged(
                    lane.place.number, base_offset + static_cast<int64_t>(i), batch->values[i]);
            }
        }
        lane.is_known = true;
        lane.queue.erase(batch);
    } else {
        const bool out_of_order =
            error_code == static_cast<int16_t>(KafkaError::out_of_order_sequence_number);
        if (out_of_order && ordinal == lane.queue.front().ordinal) {
            // All before it is acknowledged: the broker forgot the producer or lost its records. It
            // may have: a replica that began anew behind what was deleted knows later batches
            // alone, or takes the copy of an earlier one, which comes late, for its first. Given
            // up, as by LibraryProducer, and with it whatever comes behind: the sequence has a gap
            // then.
            if ((batch->sent_count == 1 && !lane.has_gap && !lane.has_sent_again) ||
                !setup_.client.checker->has_restarted(lane.place.number)) {
                world_.violate(setup_.client.checker->name(lane.place.number) + ": " +
                               to_text(batch->values.front()) +
                               " is refused as out of order, though all before it is acknowledged");
                return;
            }
            lane.has_gap = true;
            lane.queue.erase(batch);
        }
        if (!out_of_order && !is_retriable(error_code)) {
            world_.violate(setup_.client.checker->name(lane.place.number) + ": Produce error " +
                           std::to_string(error_code));
            return;
        }
        lane.is_stalled = true;
        if (setup_.client.directory != nullptr) {
            setup_.client.directory->refresh();
        }
    }
    if (lane.is_stalled && lane.in_flight == 0) {
        for (Batch& waiting : lane.queue) {
            waiting.in_flight = false;
        }
        world_.after(world_.between(20ms, 200ms), [this, &lane] {
            if (lane.in_flight == 0) {
                lane.is_stalled = false;
                pump();
            }
        });
    }
}

} // namespace qtool::sim
