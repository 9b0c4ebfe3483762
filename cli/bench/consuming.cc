#include "cli/bench/consuming.h"

#include "cli/bench/payload.h"

#include <algorithm>
#include <map>
#include <thread>

namespace qtool::cli::bench {

namespace {

constexpr Duration kWakeTime = 50ms; // how soon a stop is noticed
// So early a record may be taken. At 100,000/s a sleep for each would cost ten times what reading
// them does, and it is the broker that is to be measured.
constexpr Duration kEarlyTime = 1ms;

class Consuming {
public:
    Consuming(const ConsumingOptions& options, Tally& tally, Control& control)
        : options_(options),
          tally_(tally),
          control_(control),
          schedule_(options.schedule),
          consumer_(options.client) {
        for (const client::PartitionOffset& to : options.to) {
            ends_[to.partition] = to.offset;
        }
    }

    void run();

private:
    [[nodiscard]] bool is_stopping() const {
        return control_.stop_reading.load(std::memory_order_relaxed);
    }
    [[nodiscard]] bool is_at_end() const;
    bool claim();
    bool keep_rate(MonoTime& due);
    bool take(const client::ConsumerRecord& record, MonoTime now);

    const ConsumingOptions& options_;
    Tally& tally_;
    Control& control_;
    Schedule schedule_;
    client::BlockingConsumer consumer_;
    std::map<int32_t, int64_t> ends_; // by partition
};

bool Consuming::is_at_end() const {
    return !ends_.empty() && std::all_of(ends_.begin(), ends_.end(), [&](const auto& end) {
        return consumer_.position(options_.topic, end.first) >= end.second;
    });
}

/// One of the records that all consumers together may count. False: they are used up.
bool Consuming::claim() {
    if (control_.to_read.load(std::memory_order_relaxed) == kNoLimit) {
        return true;
    }
    uint64_t left = control_.to_read.load();
    while (left > 0 && !control_.to_read.compare_exchange_weak(left, left - 1)) {
    }
    return left > 0;
}

/// Waits until the next record is wanted, or nearly so, and says when that is. False: none is any
/// more.
bool Consuming::keep_rate(MonoTime& due) {
    while (!is_stopping()) {
        const MonoTime now = client::mono_now();
        const Schedule::Step step = schedule_.next(now);
        if (step.kind != Schedule::Kind::wait || step.at - now <= kEarlyTime) {
            due = step.at;
            return step.kind != Schedule::Kind::done;
        }
        std::this_thread::sleep_for(std::min(step.at - now, kWakeTime));
    }
    return false;
}

/// False: no more are wanted.
bool Consuming::take(const client::ConsumerRecord& record, MonoTime now) {
    MonoTime from = now;
    if (options_.run_id) {
        const auto due = read_stamp(record.value.value_or(""), *options_.run_id);
        if (!due) {
            tally_.foreign.add();
            return true;
        }
        from = *due;
    } else if (const auto end = ends_.find(record.partition);
               end != ends_.end() && record.offset >= end->second) {
        return true;
    } else if (schedule_.is_open_loop()) {
        if (!keep_rate(from)) {
            return false;
        }
        now = client::mono_now();
    }
    if (schedule_.is_measured(from)) {
        if (!claim()) {
            return false;
        }
        tally_.done.add();
        tally_.done_bytes.add(record.key.value_or("").size() + record.value.value_or("").size());
        if (options_.run_id || schedule_.is_open_loop()) {
            tally_.latency.record(
                static_cast<uint64_t>(std::max<int64_t>((now - from).count(), 0)));
        }
    }
    if (schedule_.is_open_loop() && !options_.run_id) {
        schedule_.took();
    }
    tally_.done_ever.add();
    return true;
}

void Consuming::run() {
    if (options_.from.empty()) {
        return; // nothing is there to read
    }
    // End to end begins at once, to be there before the first record; what others read early would
    // not be counted.
    while (!options_.run_id && client::mono_now() < options_.schedule.start && !is_stopping()) {
        std::this_thread::sleep_for(
            std::min(options_.schedule.start - client::mono_now(), kWakeTime));
    }
    consumer_.assign(options_.from);
    bool wanted = true;
    std::optional<MonoTime> asked; // since when it waits for records
    while (wanted && !is_stopping() && !is_at_end() && control_.to_read.load() > 0) {
        const MonoTime turn = client::mono_now();
        if (turn >= options_.schedule.end) {
            break;
        }
        asked = asked.value_or(turn);
        const auto records = consumer_.poll(std::min(turn + kWakeTime, options_.schedule.end));
        if (!records) {
            tally_.fatal = records.error();
            tally_.errors[to_string(records.error())]++;
            break;
        }
        const MonoTime now = client::mono_now();
        if ((*records)->empty()) {
            continue;
        }
        if (!options_.run_id && !schedule_.is_open_loop() && schedule_.is_measured(*asked)) {
            tally_.latency.record(static_cast<uint64_t>((now - *asked).count()));
        }
        asked.reset();
        for (const client::ConsumerRecord& record : **records) {
            wanted = take(record, now);
            if (!wanted) {
                break;
            }
        }
        tally_.finished = client::mono_now();
    }
    if (schedule_.is_open_loop() && !options_.run_id && wanted && !is_stopping() &&
        tally_.done_ever.value() > 0) {
        tally_.finished = std::max(tally_.finished, schedule_.next_due());
    }
}

} // namespace

void run_consumer(const ConsumingOptions& options, Tally& tally, Control& control) {
    Consuming(options, tally, control).run();
    if (tally.fatal) {
        control.failed.store(true);
    }
    control.readers_ended.fetch_add(1);
}

} // namespace qtool::cli::bench
