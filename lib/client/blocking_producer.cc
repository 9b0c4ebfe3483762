#include "lib/client/blocking.h"
#include "lib/client/driver_uv.h"
#include "lib/client/producer.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace qtool::client {

namespace {

std::optional<ByteView> view_of(const std::optional<std::string_view>& text) {
    return text ? std::optional(as_bytes(*text)) : std::nullopt;
}

} // namespace

struct BlockingProducer::State {
    State(config::ClientConfig its_config, OnDelivery its_on_delivery)
        : on_delivery(std::move(its_on_delivery)),
          producer(its_config, random_seed()),
          driver(producer.cluster()) {}

    void step() {
        producer.step(mono_now(), out);
        driver.apply(out);
        Delivery delivery;
        for (const DeliveredBatch& batch : producer.take_deliveries()) {
            delivery.topic = batch.topic;
            delivery.partition = batch.partition;
            delivery.result = batch.result;
            for (size_t i = 0; i < batch.tags.size(); i++) {
                delivery.tag = batch.tags[i];
                delivery.offset =
                    batch.base_offset < 0 ? -1 : batch.base_offset + static_cast<int64_t>(i);
                on_delivery(delivery);
            }
        }
    }
    void turn(MonoTime until) {
        step();
        driver.turn(std::min(until, producer.next_due(mono_now())));
        step();
    }

    OnDelivery on_delivery;
    Producer producer;
    DriverUv driver;
    Outbox out;
    std::vector<protocol::RecordHeader> headers; // reused from record to record
};

MonoTime mono_now() {
    return net::Loop::now();
}

int64_t wall_now_ms() {
    return duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

BlockingProducer::BlockingProducer(config::ClientConfig config, OnDelivery on_delivery)
    : state_(std::make_unique<State>(std::move(config), std::move(on_delivery))) {}

BlockingProducer::~BlockingProducer() = default;

Result<void> BlockingProducer::send(const ProducerRecord& record, uint64_t tag, MonoTime deadline) {
    State& state = *state_;
    state.headers.clear();
    for (const Header& header : record.headers) {
        state.headers.push_back({header.key, view_of(header.value)});
    }
    RecordParts parts{view_of(record.key), view_of(record.value), state.headers,
                      record.timestamp_ms ? *record.timestamp_ms : wall_now_ms()};
    for (;;) {
        const MonoTime now = mono_now();
        QT_TRY_ASSIGN(const Producer::Take take,
                      state.producer.add(record.topic, record.partition, parts, tag, now));
        if (take == Producer::Take::taken) {
            return {};
        }
        if (take == Producer::Take::closed_batch) {
            state.step();
            state.driver.turn(now); // what is ready, without waiting
            return {};
        }
        if (now >= deadline) {
            return state.producer.cluster().late(take == Producer::Take::full
                                                     ? "buffer.memory stayed full"
                                                     : "no metadata of the topic came");
        }
        state.turn(deadline);
    }
}

bool BlockingProducer::wait_readable(int fd, MonoTime until) {
    State& state = *state_;
    for (;;) {
        state.step();
        const MonoTime due = std::min(until, state.producer.next_due(mono_now()));
        const bool readable = state.driver.turn_readable(fd, due);
        state.step();
        if (readable || mono_now() >= until) {
            return readable;
        }
    }
}

void BlockingProducer::poll() {
    state_->turn(MonoTime::min());
}

Result<void> BlockingProducer::flush(MonoTime deadline) {
    State& state = *state_;
    state.producer.set_flushing(true);
    // With acks=0 a record is delivered before the system has its bytes.
    const auto is_out = [&] {
        return state.producer.undelivered_count() > 0 ||
               state.producer.cluster().unwritten_bytes() > 0;
    };
    while (is_out() && mono_now() < deadline) {
        state.turn(deadline);
    }
    state.producer.set_flushing(false);
    if (is_out()) {
        return state.producer.cluster().late("some records are not delivered yet");
    }
    return {};
}

uint64_t BlockingProducer::undelivered_count() const {
    return state_->producer.undelivered_count();
}

} // namespace qtool::client
