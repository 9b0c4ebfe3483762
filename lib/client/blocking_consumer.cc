#include "lib/base/assert.h"
#include "lib/client/blocking.h"
#include "lib/client/consumer.h"
#include "lib/client/driver_uv.h"
#include "lib/client/group_member.h"

#include <algorithm>
#include <utility>

namespace qtool::client {

struct BlockingConsumer::State {
    explicit State(const config::ClientConfig& client_config)
        : config(client_config),
          consumer(config, random_seed()),
          driver(consumer.cluster()) {}

    void step() {
        const MonoTime now = mono_now();
        consumer.step(now, out);
        std::vector<Reply> others = consumer.take_other_replies();
        if (member) {
            member->step(std::move(others), now, out);
        }
        driver.apply(out);
    }
    void turn(MonoTime until) {
        step();
        const MonoTime now = mono_now();
        const MonoTime due =
            std::min(consumer.next_due(now), member ? member->next_due(now) : kMonoNever);
        driver.turn(std::min(until, due));
        step();
    }
    [[nodiscard]] bool has_group_news() const {
        return member && (member->has_change() || member->failure());
    }

    const config::ClientConfig config;
    Consumer consumer;
    std::optional<GroupMember> member; // uses the consumer's cluster
    DriverUv driver;
    Outbox out;
    std::vector<ConsumerRecord> records;
};

BlockingConsumer::BlockingConsumer(config::ClientConfig config)
    : state_(std::make_unique<State>(config)) {}

BlockingConsumer::~BlockingConsumer() = default;

Result<int32_t> BlockingConsumer::partition_count(const std::string& topic, MonoTime deadline) {
    for (;;) {
        QT_TRY_ASSIGN(const std::optional<int32_t> count, state_->consumer.partition_count(topic));
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
        if (!state.records.empty() || state.has_group_news() || mono_now() >= until) {
            break;
        }
        if (!state.consumer.has_ready()) {
            state.turn(until);
        }
    }
    if (state.records.empty() && state.member && state.member->failure()) {
        return *state.member->failure();
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

void BlockingConsumer::join_group(GroupOptions options) {
    QT_ASSERT(!state_->member);
    state_->member.emplace(state_->consumer.cluster(), state_->config, std::move(options),
                           random_seed());
}

bool BlockingConsumer::has_joined() const {
    return state_->member && state_->member->has_joined();
}

std::optional<GroupChange> BlockingConsumer::take_group_change() {
    return state_->member ? state_->member->take_change() : std::nullopt;
}

void BlockingConsumer::give_back() {
    QT_ASSERT(state_->member);
    state_->member->give_back();
    state_->turn(MonoTime::min()); // others wait for it
}

void BlockingConsumer::commit_soon(const std::vector<PartitionOffset>& offsets) {
    QT_ASSERT(state_->member);
    state_->member->commit(offsets);
}

Result<void> BlockingConsumer::take_commit_result() {
    QT_ASSERT(state_->member);
    return state_->member->take_commit_result();
}

Result<void> BlockingConsumer::commit(const std::vector<PartitionOffset>& offsets,
                                      MonoTime deadline) {
    commit_soon(offsets);
    while (!state_->member->is_committed()) {
        if (state_->member->failure()) {
            return *state_->member->failure();
        }
        if (mono_now() >= deadline) {
            return Error(Code::timed_out, "the group's coordinator did not take the offsets");
        }
        state_->turn(deadline);
    }
    return state_->member->take_commit_result();
}

Result<void> BlockingConsumer::leave_group(MonoTime deadline) {
    QT_ASSERT(state_->member);
    state_->member->leave();
    for (;;) {
        state_->step();
        if (state_->member->has_left()) {
            return {};
        }
        if (mono_now() >= deadline) {
            return Error(Code::timed_out, "the group's coordinator did not answer");
        }
        state_->turn(deadline);
    }
}

} // namespace qtool::client
