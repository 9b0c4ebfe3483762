// Proves that partitions of several brokers, with a disk of memory each, make one log of theirs:
// records are committed when all in-sync replicas have them on disk, a follower takes over with all
// that was acknowledged, and logs that diverged come together again (the stories of KIP-101 and
// KIP-279). Brokers talk through values: a fetch is a ReadOp at the leader, its bytes are handed to
// the follower.
#include "server/replica/partition.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <deque>

using namespace qtool;
using namespace qtool::replica;
using storage::test::BatchShape;
using storage::test::kNowMs;
using storage::test::make_batch;
using storage::test::wall;

namespace {

constexpr CoreId kCore{0};

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

} // namespace

TEST_CASE("replication: acks=all waits until all in-sync replicas have it on disk") {
    Cluster c(3);
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    CHECK(c.outcome(1) == "parked");
    CHECK(c.fetch(2, 1, false) == "data");
    CHECK(c.fetch(2, 1) == "busy"); // written, not on its disk: it cannot say it has it
    c.flush(2);
    CHECK(c.fetch(3, 1) == "data");
    CHECK(c.fetch(2, 1) == "nothing");
    CHECK(c.outcome(1) == "parked");
    CHECK(c.high(1) == 0);
    CHECK(c.fetch(3, 1) == "nothing");
    CHECK(c.outcome(1) == "ok");
    CHECK(c.high(1) == 1);
    // Followers learn the high watermark with the next answer.
    CHECK(c.high(2) == 0);
    CHECK(c.high(3) == 1);
    CHECK(c.fetch(2, 1) == "nothing");
    CHECK(c.high(2) == 1);
    CHECK(c.bytes_of(2) == c.bytes_of(1));
}

TEST_CASE("replication: a follower that has it before the leader's own disk does not commit it") {
    Cluster c;
    CHECK(c.produce(1) == "parked");
    CHECK(c.fetch(2, 1) == "data"); // from the leader's page cache
    CHECK(c.fetch(2, 1) == "nothing");
    CHECK(c.outcome(1) == "parked");
    c.flush(1);
    CHECK(c.outcome(1) == "ok");
}

TEST_CASE("replication: with too few in sync nothing is appended, and nothing is committed") {
    Cluster c;
    c.topic.effective.min_insync_replicas = 2;
    c.tell_all();
    CHECK(c.produce(1, 1) == "ok");
    c.flush(1);
    c.set_isr({1});
    c.tell_all();
    CHECK(c.produce(1) == "not_enough_replicas");
    CHECK(c.produce(1, 1) == "ok");
    c.flush(1);
    CHECK(c.high(1) == 0);
    c.set_isr({1, 2});
    c.tell_all();
    c.sync(2, 1);
    CHECK(c.high(1) == 2);
}

TEST_CASE("replication: the new leader has what was acknowledged; the old one cuts the rest") {
    Cluster c;
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    c.sync(2, 1);
    CHECK(c.outcome(1) == "ok");
    CHECK(c.produce(1) == "parked"); // offset 1: never replicated
    const uint32_t lost = c.last_produce;
    c.flush(1);

    c.elect(2, {2}, {2});
    CHECK(c.end(2) == 1);
    CHECK(c.produce(2) == "parked"); // offset 1 again, of epoch 1
    c.flush(2);
    CHECK(c.outcome(2) == "ok");
    c.tell(1);                                 // hears of it at last
    CHECK(c.outcome(1, lost) == "not_leader"); // it was never acknowledged
    CHECK(c.fetch(1, 2) == "cut");
    CHECK(c.end(1) == 1);
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
    CHECK(c.high(1) == 2);
}

TEST_CASE("replication: a zombie leader is fenced by the epoch of who fetches") {
    Cluster c(3);
    c.elect(2, {2, 3}, {2, 3});
    CHECK(c.fetch(3, 1) == "unknown_leader_epoch"); // 1 does not know the new epoch
    c.produce(2, 1);
    c.sync(3, 2);
    // And who still follows the old leader is fenced at the new one.
    ReadOp op;
    op.replica.emplace();
    op.replica->id = BrokerId(1);
    const auto result = c.call(2, op, 0);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Code::fenced_leader_epoch);
}

TEST_CASE("replication: KIP-101, a follower that restarts does not cut what was committed") {
    // Scenario 1 there: the follower has a record, but not yet the high watermark above it; it
    // restarts, and before it can fetch the leader dies. Cutting to the high watermark would lose
    // the record.
    Cluster c;
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    CHECK(c.fetch(2, 1) == "data");
    CHECK(c.fetch(2, 1) == "nothing"); // acknowledged by the leader ...
    CHECK(c.outcome(1) == "ok");
    c.lose_power(2);
    CHECK(c.end(2) == 1);
    c.elect(2, {2}, {2});
    CHECK(c.end(2) == 1);
    CHECK(c.high(2) == 1);
    c.tell(1);
    c.sync(1, 2);
    CHECK(c.end(1) == 1);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: KIP-101, logs with different records at one offset come together") {
    // Scenario 2: with write caching both lose power; who comes back first leads and writes.
    Cluster c;
    c.topic.effective.write_caching = true;
    c.tell_all();
    CHECK(c.produce(1) == "parked");
    c.sync(2, 1);
    CHECK(c.outcome(1) == "ok");
    c[1].partition->on_flush_due();
    c.flush(1); // the leader's made it to the disk, the follower's did not
    c.lose_power(2);
    c.lose_power(1);
    CHECK(c.end(1) == 1);
    CHECK(c.end(2) == 0);
    c.elect(2, {2}, {2, 1}); // unclean in effect: what write caching may cost
    c.produce(2, 1, 3);
    CHECK(c.end(2) == 3);
    CHECK(c.fetch(1, 2) == "cut");
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: KIP-279, several quick elections leave no record that only one has") {
    // 1 writes alone in epoch 0, 2 in epoch 1, 1 again in epoch 2 without having heard of 2.
    Cluster c;
    c.produce(1, 1, 2);
    c.flush(1);
    c.sync(2, 1); // both: epoch 0, [0, 2)
    c.produce(1, 1, 3);
    c.flush(1); // 1: epoch 0, [0, 5)
    c.elect(2, {2}, {2});
    c.produce(2, 1, 1);
    c.flush(2); // 2: epoch 0 [0, 2), epoch 1 [2, 3)
    c.elect(1, {1}, {1});
    c.produce(1, 1, 1);
    c.flush(1); // 1: epoch 0 [0, 5), epoch 2 [5, 6)
    c.tell(2);
    CHECK(c.fetch(2, 1) == "cut"); // 1 knows nothing of epoch 1: its epoch 0 ends at 5
    CHECK(c.end(2) == 2);
    c.sync(2, 1);
    CHECK(c.end(2) == 6);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: the log start is taken from an answer that says where logs diverge, too") {
    Cluster c;
    c.produce(1, 1, 5);
    c.flush(1);
    c.sync(2, 1);
    c.sync(2, 1);
    c.produce(2, 1);
    c.elect(2, {1, 2}, {2}); // 1 has not heard of it
    c.produce(1, 1);
    c.produce(2, 1);
    c.flush(1);
    c.flush(2);
    c.ask(2, DeleteRecordsOp{Offset(3)});
    CHECK(c.log(2).log_start_offset() == Offset(3));
    c.tell(1);
    CHECK(c.fetch(1, 2) == "cut");
    CHECK(c.end(1) == 5);
    CHECK(c.log(1).log_start_offset() == Offset(3)); // in a fetch session it is not told again
    CHECK(c.high(1) == 5);
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: a leader that has not written in its epoch says where it began") {
    Cluster c(3);
    c.produce(1, 1);
    c.flush(1);
    c.sync(2, 1);
    c.sync(3, 1);
    c.elect(2, {2, 3}, {2});
    c.produce(2, 1); // epoch 1, only here
    c.flush(2);
    c.elect(3, {3}, {3, 2}); // epoch 2 has written nothing
    CHECK(c.fetch(2, 3) == "cut");
    CHECK(c.end(2) == 1);
    c.sync(2, 3);
    CHECK(c.bytes_of(2) == c.bytes_of(3));
    const auto end = c.call(3, EpochEndOp{LeaderEpoch(2)});
    REQUIRE(end);
    CHECK(std::get<EpochEndResult>(*end).epoch == LeaderEpoch(2));
    CHECK(std::get<EpochEndResult>(*end).end_offset == Offset(1));
}

TEST_CASE("replication: an empty leader log cuts all of a follower that has records of another") {
    Cluster c;
    c.produce(1, 1);
    c.flush(1); // never replicated
    c.elect(2, {2}, {2, 1});
    CHECK(c.fetch(1, 2) == "cut");
    CHECK(c.end(1) == 0);
    c.produce(2, 1);
    c.sync(1, 2);
    CHECK(c.bytes_of(1) == c.bytes_of(2));
}

TEST_CASE("replication: the ISR shrinks only when the metadata says so, and grows by fetches") {
    Cluster c;
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    c.now += 31s;
    const auto shrink = c.partition(1).propose_isr(c.now);
    REQUIRE(shrink);
    CHECK(describe(*shrink) == "1");
    CHECK(c.outcome(1) == "parked");
    c.set_isr({1});
    c.tell_all();
    CHECK(c.outcome(1) == "ok");
    CHECK_FALSE(c.partition(1).propose_isr(c.now));
    CHECK(c.fetch(2, 1) == "data");
    CHECK_FALSE(c.partition(1).propose_isr(c.now));
    CHECK(c.fetch(2, 1) == "nothing");
    const auto expand = c.partition(1).propose_isr(c.now);
    REQUIRE(expand);
    CHECK(describe(*expand) == "1,2");
    CHECK(expand->isr[1].broker_epoch == Revision(1));
    // From now on 2 has to have it, though it is no member yet.
    CHECK(c.produce(1) == "parked");
    c.flush(1);
    CHECK(c.outcome(1) == "parked");
    c.sync(2, 1);
    CHECK(c.outcome(1) == "ok");
}

TEST_CASE("replication: a leader that does not know the high watermark yet says so (KIP-207)") {
    Cluster c;
    c.produce(1, 1, 2);
    c.flush(1);
    c.sync(2, 1);
    CHECK(c.high(1) == 2);
    CHECK(c.high(2) == 2);
    c.produce(1, 1);
    c.flush(1);
    c.fetch(2, 1); // 2 has offset 2, but not the high watermark above it
    c.elect(2, {1, 2}, {2});
    CHECK_FALSE(c.partition(2).is_settled_leader());
    const auto latest = c.call(2, ListOffsetOp{-1, Isolation::read_uncommitted});
    REQUIRE_FALSE(latest);
    CHECK(latest.error().code == Code::offset_not_available);
    CHECK(c.call(2, ListOffsetOp{-2, Isolation::read_uncommitted}));
    // Nor can it say yet that an offset is beyond what may be deleted, or how much "all" is.
    for (const Offset before : {Offset(3), Offset(-1)}) {
        const auto deleted = c.call(2, DeleteRecordsOp{before});
        REQUIRE_FALSE(deleted);
        CHECK(deleted.error().code == Code::offset_not_available);
    }
    CHECK(c.call(2, DeleteRecordsOp{Offset(4)}).error().code == Code::offset_out_of_range);
    CHECK(c.log(2).log_start_offset() == Offset(0));
    c.tell(1);
    c.sync(1, 2);
    CHECK(c.partition(2).is_settled_leader());
    const auto again = c.call(2, ListOffsetOp{-1, Isolation::read_uncommitted});
    REQUIRE(again);
    CHECK(std::get<ListOffsetResult>(*again).offset == Offset(3));
}

TEST_CASE(
    "replication: the log start follows the leader's, and a follower far behind begins anew") {
    Cluster c(3);
    c.produce(1, 1, 10);
    c.flush(1);
    c.sync(2, 1);
    c.sync(2, 1);
    CHECK(c.high(1) == 0); // 3 has nothing
    c.set_isr({1, 2});
    c.tell_all();
    c.sync(2, 1);
    CHECK(c.high(1) == 10);
    const uint32_t deletion = c.ask(1, DeleteRecordsOp{Offset(10)});
    c.sync(2, 1);
    CHECK(c.log(2).log_start_offset() == Offset(10));
    c.sync(2, 1); // the leader hears of it, but 3 lives, too
    CHECK_FALSE(c.answer(1, deletion));
    CHECK(c.fetch(3, 1) == "restarted");
    CHECK(c.end(3) == 10);
    c.sync(3, 1);
    const auto deleted = c.answer(1, deletion);
    REQUIRE(deleted);
    REQUIRE(*deleted);
    CHECK(std::get<DeleteRecordsResult>(**deleted).low_watermark == Offset(10));
    c.produce(1, 1);
    c.flush(1);
    c.sync(3, 1);
    CHECK(c.end(3) == 11);
}

TEST_CASE("replication: nobody throws records away for a leader whose log it does not understand") {
    Cluster c;
    c.produce(1, 1, 5);
    c.flush(1);
    c.sync(2, 1);
    const Result<void> done =
        c.partition(2).on_out_of_range(LeaderEpoch(0), Offset(0), c.now, wall(kNowMs), c[2].out);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Code::offset_out_of_range);
    CHECK(c.end(2) == 5);
}

TEST_CASE("replication: a batch of a later epoch than the leader's is refused") {
    Cluster c;
    std::vector<std::byte> batch = make_batch();
    protocol::patch_base_offset_and_epoch(batch, Offset(0), LeaderEpoch(3));
    Partition::Fetched fetched;
    fetched.leader_epoch = LeaderEpoch(0);
    fetched.fetch_offset = Offset(0);
    fetched.records = batch;
    const Result<void> done = c.partition(2).on_fetched(fetched, c.now, wall(kNowMs), c[2].out);
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Code::invalid_record);
    CHECK(c.end(2) == 0);
}

TEST_CASE(
    "replication: an answer of an epoch that is over, or to another offset, changes nothing") {
    Cluster c;
    c.produce(1, 1);
    c.flush(1);
    const std::vector<std::byte> batch = [&] {
        const std::string bytes = c.bytes_of(1);
        const ByteView view = as_bytes(bytes);
        return std::vector<std::byte>(view.begin(), view.end());
    }();
    Partition::Fetched fetched;
    fetched.leader_epoch = LeaderEpoch(0);
    fetched.fetch_offset = Offset(7);
    fetched.records = batch;
    CHECK(c.partition(2).on_fetched(fetched, c.now, wall(kNowMs), c[2].out).error().code ==
          Code::not_leader);
    fetched.fetch_offset = Offset(0);
    c.elect(2, {1, 2}, {2});
    CHECK(c.partition(2).on_fetched(fetched, c.now, wall(kNowMs), c[2].out).error().code ==
          Code::not_leader);
    CHECK(c.end(2) == 0);
}

TEST_CASE("replication: who resigns answers what is parked, and wakes who watches") {
    Cluster c;
    CHECK(c.produce(1) == "parked");
    ReadOp op;
    op.fetch_offset = Offset(0);
    op.watch_below_bytes = 1;
    REQUIRE(c.call(1, op));
    c[1].out.wakes.clear();
    c.elect(2, {1, 2}, {1});
    CHECK(c.outcome(1) == "not_leader");
    CHECK(c[1].out.wakes.size() == 1);
    CHECK(c.produce(1) == "not_leader");
    const auto read = c.call(1, op);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == Code::not_leader);
}

TEST_CASE("replication: a follower answers consumers that may ask it, up to its high watermark") {
    Cluster c;
    c.produce(1, 1, 2);
    c.flush(1);
    c.sync(2, 1);
    c.produce(1, 1);
    c.flush(1);
    c.fetch(2, 1); // has offset 2, high watermark 2
    ReadOp op;
    op.fetch_offset = Offset(0);
    op.bytes_max = 1'000'000;
    CHECK_FALSE(c.call(2, op));
    op.may_ask_follower = true;
    const auto result = c.call(2, op);
    REQUIRE(result);
    const auto& read = std::get<ReadResult>(*result);
    CHECK(read.high_watermark == Offset(2));
    CHECK(read.range.size == read.first_batch_size);
    // Whether there is more than it has, only the leader knows (KIP-392).
    op.fetch_offset = Offset(4);
    CHECK(c.call(2, op).error().code == Code::not_leader);
    CHECK(c.call(1, op).error().code == Code::offset_out_of_range);
    CHECK(c.call(2, DescribeOp{}));
    CHECK(c.call(2, ProducersOp{}));
    CHECK_FALSE(c.call(2, ListOffsetOp{-1, Isolation::read_uncommitted}));
}

TEST_CASE("replication: the leader names a near replica that is in sync and has the offset") {
    Cluster c;
    c.produce(1, 1);
    c.flush(1);
    c.sync(2, 1);
    const auto preferred = [&](int64_t offset, std::vector<BrokerId> near) {
        ReadOp op;
        op.fetch_offset = Offset(offset);
        op.bytes_max = 1'000'000;
        op.near = std::move(near);
        const auto result = c.call(1, op);
        REQUIRE(result);
        const auto& read = std::get<ReadResult>(*result);
        CHECK((read.range.size == 0 || read.preferred_replica == kNoBroker));
        return read.preferred_replica.value();
    };
    CHECK(preferred(0, {BrokerId(2)}) == 2);
    CHECK(preferred(0, {}) == -1);
    CHECK(preferred(0, {BrokerId(1), BrokerId(2)}) == -1); // as near itself
    CHECK(preferred(0, {BrokerId(7)}) == -1);
    c.produce(1, 1);
    CHECK(preferred(2, {BrokerId(2)}) == -1); // 2 is not there yet
    c.set_isr({1});
    c.tell_all();
    CHECK(preferred(0, {BrokerId(2)}) == -1);
}

TEST_CASE("replication: a follower's watch fires at an append, and when the high watermark rises") {
    Cluster c(3);
    const auto watch = [&](int id, int64_t offset, int64_t told) {
        ReadOp op;
        op.fetch_offset = Offset(offset);
        op.bytes_max = 1000;
        op.watch_below_bytes = 1;
        op.replica.emplace();
        op.replica->id = BrokerId(id);
        op.replica->broker_epoch = Revision(1);
        op.replica->told_high_watermark = Offset(told);
        REQUIRE(c.call(1, op));
    };
    watch(2, 0, 0);
    c[1].out.wakes.clear();
    c.produce(1, 1);
    CHECK(c[1].out.wakes.size() == 1); // not on disk yet: a follower may have it before
    c[1].out.wakes.clear();
    c.flush(1);
    watch(2, 1, 0);
    CHECK(c[1].out.wakes.empty());
    watch(3, 1, 0);
    CHECK(c.high(1) == 1);
    CHECK(c[1].out.wakes.size() == 1);
}

TEST_CASE("replication: the leader describes how far its followers are") {
    Cluster c;
    c.produce(1, 1, 4);
    c.flush(1);
    c.fetch(2, 1);
    c.fetch(2, 1);
    c.produce(1, 1);
    c.now += 2s;
    const auto result = c.call(1, DescribeOp{});
    REQUIRE(result);
    const auto& described = std::get<DescribeResult>(*result);
    CHECK(described.is_leader);
    REQUIRE(described.followers.size() == 1);
    CHECK(described.followers[0].end == Offset(4));
    CHECK(described.followers[0].behind_ms == 2000);
}

TEST_CASE("replication: a throttled follower that is not in sync waits for the rate (KIP-73)") {
    Cluster c(3);
    c.set_isr({1, 2});
    c.topic.configs["leader.replication.throttled.replicas"] = "7:1,0:1";
    c.tell_all();
    RateLimit rate;
    rate.set_rate(10, c.now);
    c.partition(1).set_leader_rate(&rate);
    c.produce(1, 1);
    c.produce(1, 1);
    c.flush(1);
    rate.take(100, c.now);
    CHECK(c.fetch(3, 1) == "nothing");
    CHECK(c.fetch(2, 1) == "data"); // a member is never held back
    for (int i = 0; i < 60 && c.fetch(3, 1) == "nothing"; i++) {
        c.now += 1s;
    }
    CHECK(c.end(3) == 2);
    c.topic.configs["follower.replication.throttled.replicas"] = "*";
    c.tell_all();
    CHECK(c.partition(3).is_throttled_follower());
    CHECK_FALSE(c.partition(2).is_throttled_follower());
}

TEST_CASE("replication: a deletion is confirmed when no replica can bring it back (KIP-107)") {
    Cluster c;
    c.produce(1, 1, 10);
    c.flush(1);
    c.sync(2, 1);
    c.sync(2, 1);
    uint32_t deletion = c.ask(1, DeleteRecordsOp{Offset(-1), c.now + 2s});
    CHECK_FALSE(c.answer(1, deletion));
    SUBCASE("one dies") {
        c.partition(1).set_broker(BrokerId(2), false, Revision(0));
        c.partition(1).expire(c.now, c[1].out);
        CHECK_FALSE(c.answer(1, deletion)); // it may lead when it is back
        c.set_isr({1});
        c.image().elr = {BrokerId(2)};
        c.partition(1).apply(c.topic, c.now, c[1].out);
        CHECK_FALSE(c.answer(1, deletion)); // so it may now
        c.image().elr.clear();
        c.image().partition_epoch++;
        c.partition(1).apply(c.topic, c.now, c[1].out);
        REQUIRE(c.answer(1, deletion).value());
        // When it is back it has to delete before it is in sync.
        c.partition(1).set_broker(BrokerId(2), true, Revision(1));
        CHECK(c.fetch(2, 1) == "nothing");
        CHECK_FALSE(c.partition(1).propose_isr(c.now));
        CHECK(c.log(2).log_start_offset() == Offset(10));
        CHECK(c.fetch(2, 1) == "nothing");
        CHECK(c.partition(1).propose_isr(c.now));
    }
    SUBCASE("it takes too long") {
        CHECK(c.partition(1).has_parked());
        c.partition(1).expire(c.now + 1999ms, c[1].out);
        CHECK_FALSE(c.answer(1, deletion));
        c.partition(1).expire(c.now + 2s, c[1].out);
        CHECK(c.answer(1, deletion)->error().code == Code::timed_out);
        CHECK_FALSE(c.partition(1).has_parked());
    }
    SUBCASE("another leads") {
        c.elect(2, {1, 2}, {1});
        CHECK(c.answer(1, deletion)->error().code == Code::not_leader);
    }
}
