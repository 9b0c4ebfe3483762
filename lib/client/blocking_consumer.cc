#include "lib/client/blocking.h"
#include "lib/client/consumer.h"
#include "lib/client/driver_uv.h"

#include <algorithm>
#include <utility>

namespace qtool::client {

struct BlockingConsumer::State {
    explicit State(const config::ClientConfig& config)
        : consumer(config, random_seed()),
          driver(consumer.cluster()) {}

    void step() {
        consumer.step(mono_now(), out);
        driver.apply(out);
    }
    void turn(MonoTime until) {
        step();
        driver.turn(std::min(until, consumer.next_due(mono_now())));
        step();
    }

    Consumer consumer;
    DriverUv driver;
    Outbox out;
    std::vector<ConsumerRecord> records;
};

BlockingConsumer::BlockingConsumer(config::ClientConfig config)
    : state_(std::make_unique<State>(config)) {}

BlockingConsumer::~BlockingConsumer() = default;

Result<int32_t> BlockingConsumer::partition_count(const std::string& topic, MonoTime deadline) {
    for (;;) {
        QT_TRY_ASSIGN(const std::optional<int32_t> count,
                      state_->consumer.partition_count(topic, mono_now()));
        if (count) {
            return *count;
        }
        if (mono_now() >= deadline) {
            return state_->consumer.cluster().late("no metadata of " + topic + " came");
        }
        state_->turn(deadline);
    }
}

Result<std::vector<ListedOffset>>
BlockingConsumer::list_offsets(const std::string& topic, const std::vector<int32_t>& partitions,
                               int64_t timestamp_ms, MonoTime deadline) {
    QT_TRY(partition_count(topic, deadline));
    QT_TRY(state_->consumer.list_offsets(topic, partitions, timestamp_ms));
    while (!state_->consumer.is_listed()) {
        if (mono_now() >= deadline) {
            return state_->consumer.cluster().late("offsets of " + topic + " were not listed");
        }
        state_->turn(deadline);
    }
    return state_->consumer.take_listed();
}

void BlockingConsumer::assign(const std::vector<PartitionOffset>& positions) {
    state_->consumer.assign(positions);
}

Result<void> BlockingConsumer::seek(const std::string& topic, int32_t partition, int64_t offset) {
    return state_->consumer.seek(topic, partition, offset);
}

void BlockingConsumer::pause(const std::string& topic, int32_t partition) {
    state_->consumer.set_paused(topic, partition, true);
}

void BlockingConsumer::resume(const std::string& topic, int32_t partition) {
    state_->consumer.set_paused(topic, partition, false);
}

Result<const std::vector<ConsumerRecord>*> BlockingConsumer::poll(MonoTime until) {
    State& state = *state_;
    QT_TRY(state.consumer.take_records(state.records));
    state.turn(MonoTime::min()); // the next fetch goes out while these are worked on
    while (state.records.empty()) {
        QT_TRY(state.consumer.take_records(state.records));
        if (!state.records.empty() || mono_now() >= until) {
            break;
        }
        if (!state.consumer.has_ready()) {
            state.turn(until);
        }
    }
    return &state.records;
}

bool BlockingConsumer::has_ready() const {
    return state_->consumer.has_ready();
}

int64_t BlockingConsumer::position(const std::string& topic, int32_t partition) const {
    return state_->consumer.position(topic, partition);
}

int64_t BlockingConsumer::end_offset(const std::string& topic, int32_t partition) const {
    return state_->consumer.end_offset(topic, partition);
}

} // namespace qtool::client
