// Brokers with a disk of memory each that hold one partition, and talk through values: a fetch is a
// ReadOp at the leader, its bytes are handed to the follower.
#pragma once

#include "server/replica/partition.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qtool::replica::test {

using storage::test::BatchShape;
using storage::test::kNowMs;
using storage::test::make_batch;
using storage::test::wall;

inline constexpr CoreId kCore{0};

struct Broker {
    BrokerId id;
    storage::test::MemoryDisk disk;
    metrics::CoreCounters counters;
    std::unique_ptr<Partition> partition;
    Outbox out;
};

struct Cluster {
    metadata::TopicImage topic;
    std::map<int, std::unique_ptr<Broker>> brokers;
    MonoTime now{std::chrono::seconds(100)};
    uint32_t last_index = 0;

    explicit Cluster(int count = 2) {
        set_log_sink([](LogLevel, std::string_view) {});
        topic.name = std::string("t");
        topic.id = make_uuid(1, 2);
        topic.effective.min_insync_replicas = 1;
        topic.partitions.emplace_back();
        for (int id = 1; id <= count; id++) {
            image().replicas.emplace_back(id);
            image().isr.emplace_back(id);
            auto broker = std::make_unique<Broker>();
            broker->id = BrokerId(id);
            REQUIRE(broker->disk.make_directory("/data"));
            REQUIRE(broker->disk.sync_directory("/"));
            brokers[id] = std::move(broker);
        }
        image().leader = BrokerId(1);
        for (int id = 1; id <= count; id++) {
            start(id);
        }
    }

    metadata::PartitionImage& image() { return topic.partitions[0]; }
    Broker& operator[](int id) { return *brokers.at(id); }
    Partition& partition(int id) { return *brokers.at(id)->partition; }
    storage::Log& log(int id) { return *partition(id).log(); }
    [[nodiscard]] int64_t end(int id) { return log(id).log_end_offset().value(); }
    [[nodiscard]] int64_t high(int id) { return partition(id).high_watermark().value(); }

    void start(int id) {
        Broker& broker = *brokers.at(id);
        storage::OpenHint hint;
        hint.key = PartitionKey{topic.id, PartitionIndex(0)};
        if (broker.partition) {
            hint.high_watermark = broker.partition->log()->known_high_watermark();
        }
        broker.partition = std::make_unique<Partition>(
            hint.key, "t-0", broker.id,
            storage::Log::open(broker.disk, "/data/t-0", storage::LogConfig{}, hint, wall(kNowMs)),
            86'400'000, broker.counters);
        REQUIRE_FALSE(broker.partition->is_offline());
        tell(id);
    }
    void lose_power(int id) {
        Broker& broker = *brokers.at(id);
        storage::OpenHint hint;
        hint.key = PartitionKey{topic.id, PartitionIndex(0)};
        hint.high_watermark = broker.partition->log()->known_high_watermark();
        broker.partition.reset();
        broker.disk.lose_power();
        broker.partition = std::make_unique<Partition>(
            hint.key, "t-0", broker.id,
            storage::Log::open(broker.disk, "/data/t-0", storage::LogConfig{}, hint, wall(kNowMs)),
            86'400'000, broker.counters);
        REQUIRE_FALSE(broker.partition->is_offline());
    }
    void tell(int id) {
        Broker& broker = *brokers.at(id);
        broker.partition->apply(topic, now, broker.out);
        for (const auto& [other, unused] : brokers) {
            broker.partition->set_broker(BrokerId(other), true, Revision(1));
        }
    }
    void tell_all() {
        for (const auto& [id, broker] : brokers) {
            tell(id);
        }
    }
    /// A new leader epoch, which the brokers named learn of.
    void elect(int leader, std::vector<int> isr, std::vector<int> told) {
        image().leader = BrokerId(leader);
        image().leader_epoch = LeaderEpoch(image().leader_epoch.value() + 1);
        set_isr(std::move(isr));
        for (const int id : told) {
            tell(id);
        }
    }
    void set_isr(std::vector<int> isr) {
        image().isr.clear();
        for (const int id : isr) {
            image().isr.emplace_back(id);
        }
        image().partition_epoch++;
    }

    uint32_t ask(int id, PartitionOp op, int32_t leader_epoch = -1) {
        PartitionRequest request;
        request.index = ++last_index;
        request.key = partition(id).key();
        request.current_leader_epoch = LeaderEpoch(leader_epoch);
        request.op = std::move(op);
        partition(id).handle(request, kCore, now, wall(kNowMs), (*this)[id].out);
        return last_index;
    }
    std::optional<Result<PartitionResult>> answer(int id, uint32_t index) {
        auto& answers = (*this)[id].out.answers;
        for (auto at = answers.begin(); at != answers.end(); ++at) {
            if (at->reply.index == index) {
                Result<PartitionResult> result = std::move(at->reply.result);
                answers.erase(at);
                return result;
            }
        }
        return std::nullopt;
    }
    Result<PartitionResult> call(int id, PartitionOp op, int32_t leader_epoch = -1) {
        auto result = answer(id, ask(id, std::move(op), leader_epoch));
        REQUIRE(result);
        return *std::move(result);
    }
    /// "ok", "parked", or the error.
    std::string produce(int id, int16_t acks = -1, int count = 1) {
        std::vector<std::byte> batch = make_batch({.count = count});
        last_produce = ask(id, AppendOp{batch, acks, now + 10s, 0, 0});
        return outcome(id);
    }
    std::string outcome(int id) { return outcome(id, last_produce); }
    std::string outcome(int id, uint32_t index) {
        const auto result = answer(id, index);
        if (!result) {
            return "parked";
        }
        return *result ? "ok" : std::string(to_string(result->error().code));
    }
    uint32_t last_produce = 0;

    void flush(int id) {
        Partition& p = partition(id);
        while (p.wants_flush()) {
            const auto work = p.begin_flush((*this)[id].out);
            REQUIRE(work);
            for (const port::FileRef& file : work->files) {
                REQUIRE(file->sync_blocking());
            }
            p.on_flushed(*work, {}, now, (*this)[id].out);
        }
    }

    /// The request; here it is done.
    uint32_t delete_records(int id, const DeleteRecordsOp& op) {
        const uint32_t index = ask(id, op);
        flush(id);
        return index;
    }

    /// One fetch of `to` from `from`: "data", "cut", "nothing", "busy", "restarted", or the error.
    std::string fetch(int to, int from, bool with_flush = true) {
        const auto position = partition(to).fetch_position();
        if (!position) {
            return "busy";
        }
        const LeaderEpoch epoch = partition(to).leader_epoch();
        ReadOp op;
        op.fetch_offset = position->offset;
        op.bytes_max = 1'000'000;
        op.last_fetched_epoch = position->last_epoch;
        op.replica.emplace();
        op.replica->id = BrokerId(to);
        op.replica->broker_epoch = Revision(1);
        op.replica->log_start = position->log_start;
        const Result<PartitionResult> result = call(from, op, epoch.value());
        if (!result) {
            return std::string(to_string(result.error().code));
        }
        const auto& read = std::get<ReadResult>(*result);
        if (read.is_out_of_range) {
            const Result<void> done = partition(to).on_out_of_range(
                epoch, read.log_start_offset, now, wall(kNowMs), (*this)[to].out);
            return done ? "restarted" : std::string(to_string(done.error().code));
        }
        std::vector<std::byte> bytes(read.range.size);
        if (!bytes.empty()) {
            REQUIRE(read.range.file->read_at(bytes, read.range.position));
        }
        Partition::Fetched fetched;
        fetched.leader_epoch = epoch;
        fetched.fetch_offset = position->offset;
        fetched.high_watermark = read.high_watermark;
        fetched.log_start = read.log_start_offset;
        fetched.diverging = read.diverging;
        fetched.records = bytes;
        const Result<void> done =
            partition(to).on_fetched(fetched, now, wall(kNowMs), (*this)[to].out);
        if (!done) {
            return std::string(to_string(done.error().code));
        }
        if (with_flush) {
            flush(to);
        }
        return fetched.diverging ? "cut" : bytes.empty() ? "nothing" : "data";
    }
    /// Until nothing comes any more.
    void sync(int to, int from) {
        for (int i = 0; i < 20; i++) {
            const std::string got = fetch(to, from);
            INFO(got);
            REQUIRE((got == "data" || got == "cut" || got == "nothing"));
            if (got == "nothing") {
                return;
            }
        }
        FAIL("it does not end");
    }
    std::string bytes_of(int id) {
        std::string all;
        Offset from = log(id).log_start_offset();
        while (from < log(id).log_end_offset()) {
            const auto info = log(id).read(from, log(id).log_end_offset(), 1'000'000);
            REQUIRE(info);
            std::string bytes(info->range.size, '\0');
            REQUIRE(info->range.file->read_at(
                std::as_writable_bytes(std::span(bytes.data(), bytes.size())),
                info->range.position));
            all += bytes;
            protocol::BatchWalker walker(as_bytes(bytes));
            while (true) {
                const auto batch = walker.next();
                REQUIRE(batch);
                if (*batch == nullptr) {
                    break;
                }
                from = (*batch)->header.next_offset();
            }
        }
        return all;
    }
};

} // namespace qtool::replica::test
