#include "tests/sim/keyed_producer.h"

#include "lib/base/assert.h"
#include "lib/protocol/batch_builder.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/produce.h"

#include <array>

namespace qtool::sim {

using protocol::KafkaError;

KeyedProducer::KeyedProducer(Setup setup)
    : world_(*setup.client.world),
      setup_(std::move(setup)),
      line_(
          world_, *setup_.client.network, [this] { next(); }, [this] { connect(); }),
      sequences_(setup_.places.size(), 0) {}

void KeyedProducer::connect() {
    if (!is_done()) {
        line_.connect_later(5ms, 200ms);
    }
}

void KeyedProducer::next() {
    if (is_done() || !line_.is_open()) {
        return;
    }
    if (setup_.is_idempotent && producer_id_ < 0) {
        ask_producer_id();
        return;
    }
    if (!waiting_) {
        make_batch();
    }
    send();
}

void KeyedProducer::ask_producer_id() {
    protocol::InitProducerIdRequest request;
    request.transactional_id.reset();
    request.transaction_timeout_ms = 60'000;
    constexpr int16_t kVersion = 4;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::InitProducerIdResponse::decode(body, kVersion);
        if (!answer) {
            world_.violate("InitProducerId: an answer that cannot be read");
            return;
        }
        if (answer->error_code == 0) {
            setup_.client.checker->on_producer_id(answer->producer_id);
            producer_id_ = answer->producer_id;
            producer_epoch_ = answer->producer_epoch;
        }
        line_.next_later(answer->error_code == 0 ? 0ms : 100ms);
    });
}

void KeyedProducer::make_batch() {
    Prng& random = world_.random();
    Batch& batch = waiting_.emplace();
    batch.lane = random.below(setup_.places.size());
    KeyedLog& log = *setup_.places[batch.lane].log;
    batches_made_++;
    const auto timestamp = static_cast<int64_t>(
        1'790'000'000'000 + world_.now().time_since_epoch() / std::chrono::milliseconds(1));
    const std::optional<uint16_t> producer =
        setup_.is_idempotent ? std::optional(setup_.number) : std::nullopt;
    protocol::BatchBuilder builder;
    const uint64_t count = 1 + random.below(5);
    for (uint64_t i = 0; i < count; i++) {
        const std::string key =
            random.chance(30'000)
                ? "p" + std::to_string(setup_.number) + "-" + std::to_string(once_++)
                : "k" + std::to_string(random.below(setup_.keys));
        const bool is_tombstone = world_.chance_percent(setup_.tombstone_percent);
        const KeyedLog::Id id = log.on_made(producer, key, is_tombstone);
        batch.ids.push_back(id);
        std::array<std::byte, 8> id_bytes{};
        store_be<uint64_t>(id_bytes.data(), id);
        const protocol::RecordHeader header{kIdHeader, ByteView(id_bytes)};
        const std::vector<std::byte> bytes = value_bytes(id, 8 + random.below(600));
        const std::optional<ByteView> value =
            is_tombstone ? std::nullopt : std::optional(ByteView(bytes));
        QT_ASSERT(builder.append(as_bytes(key), value, {&header, 1}, timestamp).has_value());
    }
    protocol::BatchClose close;
    if (random.chance(200'000)) {
        close.compression = protocol::Compression::lz4;
    }
    if (setup_.is_idempotent) {
        close.producer_id = ProducerId(producer_id_);
        close.producer_epoch = ProducerEpoch(producer_epoch_);
        close.base_sequence = sequences_[batch.lane];
        sequences_[batch.lane] += static_cast<int32_t>(count);
    }
    Result<std::vector<std::byte>> bytes = builder.finish(close);
    QT_ASSERT(bytes.has_value());
    batch.bytes = *std::move(bytes);
}

void KeyedProducer::send() {
    const KeyedPlace& place = setup_.places[waiting_->lane];
    for (const KeyedLog::Id id : waiting_->ids) {
        place.log->on_sent(id);
    }
    protocol::ProduceRequest request;
    request.acks = -1;
    request.timeout_ms = static_cast<int32_t>(world_.random().between(200, 5000));
    auto& topic = request.topic_data.emplace_back();
    topic.name = place.topic;
    auto& data = topic.partition_data.emplace_back();
    data.index = place.index;
    data.records = protocol::RecordsRef{waiting_->bytes, 0};
    constexpr int16_t kVersion = 9;
    line_.stream().ask(request, kVersion, [this](ByteView body) {
        const auto answer = protocol::ProduceResponse::decode(body, kVersion);
        if (!answer || answer->responses.size() != 1 ||
            answer->responses[0].partition_responses.size() != 1) {
            world_.violate("Produce: an answer that cannot be read");
            return;
        }
        const auto& partition = answer->responses[0].partition_responses[0];
        on_answer(partition.error_code, partition.base_offset);
    });
}

void KeyedProducer::on_answer(int16_t error_code, int64_t base_offset) {
    KeyedLog& log = *setup_.places[waiting_->lane].log;
    world_.trace("keyed_produced", setup_.number,
                 static_cast<uint64_t>(error_code == 0 ? base_offset : -error_code));
    if (error_code == 0) {
        for (size_t i = 0; i < waiting_->ids.size(); i++) {
            log.on_acknowledged(waiting_->ids[i], base_offset + static_cast<int64_t>(i));
        }
        waiting_.reset();
        line_.next_later(world_.between(setup_.interval / 4, setup_.interval));
        return;
    }
    if (!is_retriable(error_code)) { // with one batch in flight no sequence is out of order, either
        world_.violate(log.name() + ": Produce error " + std::to_string(error_code));
        return;
    }
    line_.next_later(world_.between(20ms, 200ms));
}

} // namespace qtool::sim
