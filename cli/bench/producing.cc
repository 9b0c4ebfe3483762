#include "cli/bench/producing.h"

#include "cli/bench/alarm.h"
#include "lib/client/blocking.h"

#include <algorithm>

namespace qtool::cli::bench {

namespace {

constexpr Duration kWakeTime = 50ms; // how soon a stop is noticed
constexpr Duration kPollTime = 1ms;  // how often the client works while records are sent in a row
constexpr Duration kNapMax = 250us;

/// How long a sleep is at the least, so that a record may be late by as much. At 500,000/s a sleep
/// for each takes the rest of a core from the broker that is to be measured; records that linger in
/// a batch anyway can do with fewer, for a twentieth of that time. Others are sent when they are
/// due.
Duration nap_of(const config::ClientConfig& client) {
    return std::min<Duration>(std::chrono::milliseconds(client.linger_ms) / 20, kNapMax);
}

/// The other records of the run may fare better.
bool is_about_record(Code code) {
    return code == Code::timed_out || code == Code::not_enough_replicas ||
           code == Code::not_enough_replicas_after_append || code == Code::out_of_order_sequence;
}

class Producing {
public:
    Producing(const ProducingOptions& options, Alarm alarm, Tally& tally, Control& control)
        : options_(options),
          alarm_(std::move(alarm)),
          tally_(tally),
          control_(control),
          nap_(nap_of(options.client)),
          schedule_(options.schedule),
          payload_(options.payload),
          producer_(options.client,
                    [this](const client::Delivery& delivery) { on_delivery(delivery); }) {}

    void run();

private:
    void on_delivery(const client::Delivery& delivery);
    void fail(const Error& error);
    void wait(MonoTime until);
    void send(MonoTime due, MonoTime now);
    void finish();
    [[nodiscard]] bool is_stopping() const {
        return control_.stop_sending.load(std::memory_order_relaxed) || tally_.fatal;
    }

    const ProducingOptions& options_;
    Alarm alarm_;
    Tally& tally_;
    Control& control_;
    const Duration nap_;
    Schedule schedule_;
    Payload payload_;
    MonoTime poll_at_{};
    client::BlockingProducer producer_; // last: calls on_delivery
};

void Producing::on_delivery(const client::Delivery& delivery) {
    const MonoTime now = client::mono_now();
    // The tag is when the record was due, so that nothing needs to be kept for it.
    const MonoTime due = options_.schedule.start + Duration(static_cast<int64_t>(delivery.tag));
    tally_.finished = std::max(tally_.finished, now);
    const bool measured = schedule_.is_measured(due);
    if (!delivery.result) {
        if (measured) {
            tally_.failed.add();
        }
        fail(delivery.result.error());
        return;
    }
    tally_.done_ever.add();
    if (measured) {
        tally_.done.add();
        tally_.done_bytes.add(payload_.record_bytes());
        tally_.latency.record(static_cast<uint64_t>((now - due).count()));
    }
}

void Producing::fail(const Error& error) {
    tally_.errors[to_string(error)]++;
    if (!is_about_record(error.code) && !tally_.fatal) {
        tally_.fatal = error;
    }
}

void Producing::wait(MonoTime until) {
    until = std::min(until, client::mono_now() + kWakeTime);
    alarm_.set(until);
    // Returns by the alarm; its own time is only there in case that never came.
    static_cast<void>(producer_.wait_readable(alarm_.fd(), until + kWakeTime));
}

/// While buffer.memory is full the record is not taken, and stays due: its latency shows the wait.
void Producing::send(MonoTime due, MonoTime now) {
    payload_.next(due);
    client::ProducerRecord record;
    record.topic = options_.topic;
    record.key = payload_.key();
    record.value = payload_.value();
    const auto tag = static_cast<uint64_t>((due - options_.schedule.start).count());
    const auto sent = producer_.send(record, tag, now + kWakeTime);
    if (sent) {
        tally_.late_max = std::max(tally_.late_max, client::mono_now() - due);
        tally_.sent.add(schedule_.is_measured(due) ? 1 : 0);
        schedule_.took();
    } else if (sent.error().code != Code::timed_out) {
        fail(sent.error());
        tally_.fatal = sent.error(); // the next record is just as long
    }
}

void Producing::finish() {
    const MonoTime ended = client::mono_now();
    const bool stopped = is_stopping();
    tally_.overdue = schedule_.overdue_count(ended);
    // Deliveries below may move this on.
    tally_.finished =
        std::max({tally_.finished, ended,
                  schedule_.is_open_loop() && !stopped ? schedule_.next_due() : ended});
    MonoTime give_up = kMonoNever; // delivery.timeout.ms ends every record
    while (producer_.undelivered_count() > 0 && client::mono_now() < give_up) {
        if (is_stopping() && give_up == kMonoNever) {
            give_up = client::mono_now() + options_.give_up_time;
        }
        static_cast<void>(producer_.flush(client::mono_now() + kWakeTime).has_value());
    }
    tally_.undelivered = producer_.undelivered_count();
}

void Producing::run() {
    while (client::mono_now() < options_.schedule.start && !is_stopping()) {
        wait(options_.schedule.start); // the client connects meanwhile
    }
    while (!is_stopping()) {
        if (options_.one_in_flight && producer_.undelivered_count() > 0) {
            // Before next(): in a closed loop the record at hand is due from then on.
            static_cast<void>(producer_.flush(client::mono_now() + kWakeTime).has_value());
            continue;
        }
        const MonoTime now = client::mono_now();
        const Schedule::Step step = schedule_.next(now);
        if (step.kind == Schedule::Kind::done) {
            break;
        }
        if (step.kind == Schedule::Kind::wait) {
            wait(std::max(step.at, now + nap_));
            continue;
        }
        if (now >= poll_at_) {
            poll_at_ = now + kPollTime;
            producer_.poll();
        }
        send(step.at, now);
    }
    finish();
}

} // namespace

void run_producer(const ProducingOptions& options, Tally& tally, Control& control) {
    auto alarm = Alarm::create();
    if (alarm) {
        Producing(options, *std::move(alarm), tally, control).run();
    } else {
        tally.fatal = alarm.error();
    }
    if (tally.fatal) {
        control.failed.store(true);
    }
    control.senders_ended.fetch_add(1);
}

} // namespace qtool::cli::bench
