#include "cli/bench/run.h"

#include "cli/bench/consuming.h"
#include "cli/bench/producing.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <random>
#include <thread>

namespace qtool::cli::bench {

namespace {

constexpr Duration kWatchTime = 20ms; // how often the workers are looked at
constexpr Duration kLeadTime = 100ms; // for threads to start and producers to connect
constexpr Duration kProgressTime = 1s;
constexpr Duration kOvertime = 1s; // for records that were due before the end
constexpr Duration kRetryTime = 50ms;

using Tallies = std::vector<std::unique_ptr<Tally>>;

uint64_t random_id() {
    std::random_device source;
    return uint64_t{source()} << 32 | source();
}

Duration seconds(double value) {
    return Duration(static_cast<int64_t>(value * 1e9));
}

struct Partitions {
    int32_t count = 0;
    std::vector<client::PartitionOffset> first; // by partition
    std::vector<client::PartitionOffset> end;
};

/// Where the topic's partitions begin and end; answered by their leaders, so that all have one.
Result<Partitions> list_partitions(const RunOptions& options) {
    const MonoTime deadline = client::mono_now() + options.answer_time;
    client::BlockingConsumer consumer(options.client);
    Result<int32_t> count = consumer.partition_count(options.topic, deadline);
    while (!count && count.error().code == Code::unknown_topic && options.topic_is_new &&
           client::mono_now() < deadline) {
        std::this_thread::sleep_for(kRetryTime);
        count = client::BlockingConsumer(options.client).partition_count(options.topic, deadline);
    }
    QT_TRY(count);
    Partitions found;
    found.count = *count;
    std::vector<int32_t> all(static_cast<size_t>(*count));
    std::iota(all.begin(), all.end(), 0);
    client::BlockingConsumer lister(options.client);
    for (const int64_t which : {client::kEarliestOffset, client::kLatestOffset}) {
        QT_TRY_ASSIGN(const auto listed, lister.list_offsets(options.topic, all, which, deadline));
        for (const client::ListedOffset& one : listed) {
            QT_TRY(one.result);
            (which == client::kEarliestOffset ? found.first : found.end)
                .push_back({options.topic, one.partition, one.offset});
        }
    }
    return found;
}

uint64_t sum(const Tallies& tallies, Counter Tally::*counter) {
    uint64_t total = 0;
    for (const auto& tally : tallies) {
        total += ((*tally).*counter).value();
    }
    return total;
}

/// Prints what happened since the line before.
class ProgressLines {
public:
    ProgressLines(const RunHooks& hooks, const Tallies& producers, const Tallies& consumers)
        : hooks_(hooks),
          parts_{{"produced", producers, {}, 0}, {"consumed", consumers, {}, 0}},
          started_(client::mono_now()),
          shown_(started_) {}

    void show(MonoTime now);

private:
    struct Part {
        const char* name;
        const Tallies& tallies;
        std::unique_ptr<Histogram> earlier;
        uint64_t records;
    };

    const RunHooks& hooks_;
    Part parts_[2];
    MonoTime started_;
    MonoTime shown_;
};

void ProgressLines::show(MonoTime now) {
    if (!hooks_.on_progress || now < shown_ + kProgressTime) {
        return;
    }
    const double passed_s = std::chrono::duration<double>(now - shown_).count();
    shown_ = now;
    char text[200];
    std::snprintf(text, sizeof text, "%4.0f s",
                  std::chrono::duration<double>(now - started_).count());
    std::string line = text;
    for (Part& part : parts_) {
        if (part.tallies.empty()) {
            continue;
        }
        const uint64_t records = sum(part.tallies, &Tally::done_ever);
        auto total = std::make_unique<Histogram>();
        for (const auto& tally : part.tallies) {
            total->add(tally->latency);
        }
        Histogram recent;
        recent.add(*total);
        if (part.earlier != nullptr) {
            recent.subtract(*part.earlier);
        }
        std::snprintf(text, sizeof text, "  %s %llu, %.0f/s, p50 %.2f ms, p99 %.2f ms", part.name,
                      static_cast<unsigned long long>(records),
                      static_cast<double>(records - part.records) / passed_s,
                      static_cast<double>(recent.percentile(500'000)) / 1e6,
                      static_cast<double>(recent.percentile(990'000)) / 1e6);
        line.append(text);
        part.records = records;
        part.earlier = std::move(total);
    }
    hooks_.on_progress(line);
}

class Running {
public:
    Running(const RunOptions& options, const RunHooks& hooks, Partitions partitions)
        : options_(options),
          hooks_(hooks),
          partitions_(std::move(partitions)) {}

    Finished run();

private:
    [[nodiscard]] bool produces() const { return options_.workload != Workload::consume; }
    [[nodiscard]] bool consumes() const { return options_.workload != Workload::produce; }
    [[nodiscard]] ScheduleOptions schedule(uint32_t worker, uint32_t worker_count) const;
    [[nodiscard]] ProducingOptions producing(uint32_t worker) const;
    [[nodiscard]] ConsumingOptions consuming(uint32_t worker) const;
    void watch();
    void await_reading(MonoTime now);
    Finished finish();

    const RunOptions& options_;
    const RunHooks& hooks_;
    Partitions partitions_;
    uint64_t run_id_ = random_id();
    MonoTime start_{};
    Control control_;
    Tallies producers_;
    Tallies consumers_;
    bool stopped_ = false;
    uint64_t read_ = 0;  // end to end, once producing has ended: records consumed
    MonoTime read_at_{}; // when that last rose
};

ScheduleOptions Running::schedule(uint32_t worker, uint32_t worker_count) const {
    ScheduleOptions schedule;
    schedule.start = start_;
    schedule.measured_from = start_ + seconds(options_.warmup_s);
    if (options_.duration_s) {
        schedule.end = schedule.measured_from + seconds(*options_.duration_s);
    }
    schedule.overtime = kOvertime;
    schedule.rate = options_.rate;
    schedule.worker = worker;
    schedule.worker_count = worker_count;
    return schedule;
}

ProducingOptions Running::producing(uint32_t worker) const {
    ProducingOptions one;
    one.client = options_.client;
    one.topic = options_.topic;
    one.schedule = schedule(worker, options_.producers);
    if (options_.records) {
        one.schedule.records = *options_.records / options_.producers +
                               (worker < *options_.records % options_.producers ? 1 : 0);
    }
    one.payload.value_bytes = options_.record_bytes;
    one.payload.key_count = options_.key_count;
    one.payload.seed = worker;
    one.one_in_flight = options_.one_in_flight;
    if (options_.workload == Workload::e2e) {
        one.payload.run_id = run_id_;
    }
    one.give_up_time = options_.answer_time;
    return one;
}

ConsumingOptions Running::consuming(uint32_t worker) const {
    ConsumingOptions one;
    one.client = options_.client;
    one.topic = options_.topic;
    one.schedule = schedule(worker, options_.consumers);
    const bool alone = options_.workload == Workload::consume;
    if (!alone) {
        one.schedule.rate = 0; // producers keep it
        one.schedule.end = kMonoNever;
    }
    if (options_.workload == Workload::e2e) {
        one.run_id = run_id_;
    }
    for (size_t i = worker; i < partitions_.first.size(); i += options_.consumers) {
        if (alone && partitions_.first[i].offset >= partitions_.end[i].offset) {
            continue; // empty
        }
        one.from.push_back(one.run_id ? partitions_.end[i] : partitions_.first[i]);
        if (alone) {
            one.to.push_back(partitions_.end[i]);
        }
    }
    return one;
}

/// Once producing has ended: ends reading when it has all that is to come, or nothing comes.
void Running::await_reading(MonoTime now) {
    if (options_.workload == Workload::mixed) {
        control_.stop_reading.store(true);
        return;
    }
    const uint64_t read = sum(consumers_, &Tally::done_ever);
    if (read != read_ || read_at_ == MonoTime{}) {
        read_ = read;
        read_at_ = now;
    }
    if (read >= sum(producers_, &Tally::done_ever) || now >= read_at_ + options_.answer_time) {
        control_.stop_reading.store(true);
    }
}

void Running::watch() {
    ProgressLines progress(hooks_, producers_, consumers_);
    while (control_.senders_ended.load() < producers_.size() ||
           control_.readers_ended.load() < consumers_.size()) {
        std::this_thread::sleep_for(kWatchTime);
        const MonoTime now = client::mono_now();
        progress.show(now);
        stopped_ = stopped_ || hooks_.is_stopped();
        if (stopped_ || control_.failed.load()) {
            control_.stop_sending.store(true);
            if (!produces() || control_.failed.load()) {
                control_.stop_reading.store(true); // else what was sent is still read
            }
        }
        if (produces() && consumes() && control_.senders_ended.load() == producers_.size()) {
            await_reading(now);
        }
    }
}

Finished Running::finish() {
    Finished finished;
    finished.partition_count = partitions_.count;
    finished.report.partial = stopped_ || control_.failed.load();
    for (const Tallies* tallies : {&producers_, &consumers_}) {
        for (const auto& tally : *tallies) {
            if (tally->fatal && !finished.fatal) {
                finished.fatal = tally->fatal;
            }
        }
    }
    const MonoTime measured_from = start_ + seconds(options_.warmup_s);
    const bool open = options_.rate > 0;
    if (produces()) {
        finished.report.produce = sum_up(producers_, measured_from);
        Flow& flow = *finished.report.produce;
        flow.intended_rate = open ? std::optional(options_.rate) : std::nullopt;
        flow.latency_from = std::string(open ? "when a record was due" : "the call that sent it") +
                            (options_.client.acks == 0 ? " to its sending (acks=0 has no answer)"
                                                       : " to its acknowledgement");
    }
    if (consumes()) {
        finished.report.consume = sum_up(consumers_, measured_from);
        Flow& flow = *finished.report.consume;
        if (options_.workload == Workload::e2e) {
            const uint64_t delivered = sum(producers_, &Tally::done_ever);
            const uint64_t read = sum(consumers_, &Tally::done_ever);
            flow.missing = delivered - std::min(read, delivered);
            flow.intended_rate = finished.report.produce->intended_rate;
            // The time that the records fill at their rate is the producers' to know.
            flow.elapsed_s = std::max(flow.elapsed_s, finished.report.produce->elapsed_s);
            flow.latency_from =
                std::string(open ? "when a record was due" : "the call that sent it") +
                " to its consumption";
        } else if (options_.workload == Workload::consume && open) {
            flow.intended_rate = options_.rate;
            flow.latency_from = "when a record was wanted to its consumption";
        } else {
            flow.latency_from = "the call that waits for records to the first of them";
        }
    }
    return finished;
}

Finished Running::run() {
    start_ = client::mono_now() + kLeadTime;
    control_.to_read.store(
        options_.workload == Workload::consume ? options_.records.value_or(kNoLimit) : kNoLimit);
    std::vector<ProducingOptions> to_produce;
    std::vector<ConsumingOptions> to_consume;
    for (uint32_t i = 0; produces() && i < options_.producers; i++) {
        to_produce.push_back(producing(i));
        producers_.push_back(std::make_unique<Tally>());
    }
    for (uint32_t i = 0; consumes() && i < options_.consumers; i++) {
        to_consume.push_back(consuming(i));
        consumers_.push_back(std::make_unique<Tally>());
    }
    std::vector<std::thread> threads;
    for (size_t i = 0; i < to_consume.size(); i++) {
        threads.emplace_back([&, i] { run_consumer(to_consume[i], *consumers_[i], control_); });
    }
    for (size_t i = 0; i < to_produce.size(); i++) {
        threads.emplace_back([&, i] { run_producer(to_produce[i], *producers_[i], control_); });
    }
    watch();
    for (std::thread& thread : threads) {
        thread.join();
    }
    return finish();
}

} // namespace

bool Finished::is_complete() const {
    const auto is_clean = [](const std::unique_ptr<Flow>& flow) {
        return flow == nullptr || (flow->failed == 0 && flow->undelivered == 0 &&
                                   flow->missing == 0 && flow->errors.empty());
    };
    return !report.partial && is_clean(report.produce) && is_clean(report.consume);
}

Result<Finished> run(const RunOptions& options, const RunHooks& hooks) {
    QT_TRY_ASSIGN(Partitions partitions, list_partitions(options));
    if (options.workload != Workload::produce &&
        options.consumers > static_cast<uint32_t>(partitions.count)) {
        return Error(Code::invalid_argument,
                     "--consumers " + std::to_string(options.consumers) + " is more than the " +
                         std::to_string(partitions.count) + " partition(s) of the topic");
    }
    return Running(options, hooks, std::move(partitions)).run();
}

} // namespace qtool::cli::bench
