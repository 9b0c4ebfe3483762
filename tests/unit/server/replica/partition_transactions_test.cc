// Proves what a partition makes of transactions: where readers of committed data stop and when they
// are woken, which aborted transactions they are told of, that a marker is answered when it is
// durable, and that a first batch waits for its verification.
#include "server/replica/partition.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::replica;
using storage::test::BatchShape;
using storage::test::kNowMs;
using storage::test::make_batch;
using storage::test::wall;

namespace {

constexpr CoreId kCore{0};

struct Fixture {
    storage::test::MemoryDisk disk;
    metrics::CoreCounters counters;
    metadata::TopicImage topic;
    std::unique_ptr<Partition> partition;
    Outbox out;
    uint32_t last_index = 0;

    Fixture() {
        set_log_sink([](LogLevel, std::string_view) {});
        REQUIRE(disk.make_directory("/data"));
        topic.name = std::string("t");
        topic.id = make_uuid(1, 2);
        metadata::PartitionImage& image = topic.partitions.emplace_back();
        image.replicas = image.isr = {BrokerId(1)};
        image.leader = BrokerId(1);
        storage::OpenHint hint;
        hint.key = PartitionKey{topic.id, PartitionIndex(0)};
        partition = std::make_unique<Partition>(
            hint.key, "t-0", BrokerId(1),
            storage::Log::open(disk, "/data/t-0", storage::LogConfig{}, hint, wall(kNowMs)),
            86'400'000, counters);
        partition->apply(topic, MonoTime{}, out);
    }

    /// The index the answer will carry.
    uint32_t ask(PartitionOp op) {
        PartitionRequest request;
        request.index = ++last_index;
        request.key = partition->key();
        request.op = std::move(op);
        partition->handle(request, kCore, MonoTime{}, wall(kNowMs), out);
        return last_index;
    }
    /// Takes the answer to `index` out of the outbox, if it is there.
    std::optional<Result<PartitionResult>> answer(uint32_t index) {
        for (auto at = out.answers.begin(); at != out.answers.end(); ++at) {
            if (at->reply.index == index) {
                Result<PartitionResult> result = std::move(at->reply.result);
                out.answers.erase(at);
                return result;
            }
        }
        return std::nullopt;
    }
    template <class T>
    T call(PartitionOp op) {
        const auto result = answer(ask(std::move(op)));
        REQUIRE(result);
        REQUIRE_MESSAGE(*result, (*result ? "" : to_string(result->error())));
        return std::get<T>(**result);
    }
    Code refused(PartitionOp op) {
        const auto result = answer(ask(std::move(op)));
        REQUIRE(result);
        REQUIRE_FALSE(*result);
        return result->error().code;
    }
    void flush() {
        while (partition->wants_flush()) {
            const auto work = partition->begin_flush(out);
            REQUIRE(work);
            for (const port::FileRef& file : work->files) {
                REQUIRE(file->sync_blocking());
            }
            partition->on_flushed(*work, {}, MonoTime{}, out);
        }
    }
    AppendResult append(const BatchShape& shape, uint64_t guard = 0) {
        std::vector<std::byte> batch = make_batch(shape);
        return call<AppendResult>(AppendOp{batch, 1, MonoTime{}, guard, 0});
    }
    void write(BatchShape shape) {
        shape.transactional = true;
        AppendResult result = append(shape);
        if (result.verification_guard != 0) {
            result = append(shape, result.verification_guard);
        }
        REQUIRE(result.verification_guard == 0);
    }
    static WriteMarkerOp marker(int64_t producer, protocol::ControlType type, int16_t epoch = 0) {
        WriteMarkerOp op;
        op.marker.producer_id = ProducerId(producer);
        op.marker.producer_epoch = ProducerEpoch(epoch);
        op.marker.coordinator_epoch = 1;
        op.marker.type = type;
        op.deadline = MonoTime(std::chrono::seconds(10));
        return op;
    }
    ReadResult read(int64_t from, Isolation isolation, uint32_t watch_below = 0) {
        return call<ReadResult>(
            ReadOp{Offset(from), 1'000'000, isolation, kNoLeaderEpoch, watch_below});
    }
    int64_t latest(Isolation isolation) {
        return call<ListOffsetResult>(ListOffsetOp{-1, isolation}).offset.value();
    }
};

constexpr auto kCommitted = Isolation::read_committed;
constexpr auto kUncommitted = Isolation::read_uncommitted;

} // namespace

TEST_CASE_FIXTURE(Fixture, "readers of committed data stop before the first open transaction") {
    append({});
    write({.producer = 7});
    append({});
    flush();
    CHECK(latest(kUncommitted) == 3);
    CHECK(latest(kCommitted) == 1);
    const ReadResult all = read(0, kUncommitted);
    const ReadResult committed = read(0, kCommitted);
    CHECK(all.last_stable_offset == Offset(1));
    CHECK(all.high_watermark == Offset(3));
    CHECK(committed.last_stable_offset == Offset(1));
    CHECK(committed.high_watermark == Offset(3));
    CHECK(committed.range.size < all.range.size);
    CHECK(committed.range.size == committed.first_batch_size);
    CHECK(read(1, kCommitted).range.size == 0);
    CHECK(read(2, kCommitted).range.size == 0); // between the stable part and the end: no error
    CHECK(call<ListOffsetResult>(ListOffsetOp{kNowMs, kCommitted}).offset == Offset(0));

    const uint32_t ended = ask(marker(7, protocol::ControlType::abort));
    CHECK_FALSE(answer(ended)); // not durable yet
    CHECK(latest(kCommitted) == 1);
    flush();
    CHECK(std::holds_alternative<WriteMarkerResult>(*answer(ended).value()));
    CHECK(latest(kCommitted) == 4);
    const ReadResult after = read(0, kCommitted);
    REQUIRE(after.aborted.size() == 1);
    CHECK(after.aborted[0].producer_id == ProducerId(7));
    CHECK(after.aborted[0].first_offset == Offset(1));
    CHECK(read(0, kUncommitted).aborted.empty());
    CHECK(counters.transaction_markers.value() == 1);
    CHECK(counters.transactions_verified.value() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a watch fires when more can be read at its isolation level") {
    append({});
    write({.producer = 7});
    flush();
    out.wakes.clear();
    read(1, kCommitted, 1'000'000);
    const uint32_t committed = last_index;
    read(2, kUncommitted, 1'000'000);
    const uint32_t uncommitted = last_index;
    append({});
    flush();
    REQUIRE(out.wakes.size() == 1);
    CHECK(out.wakes[0].wake.index == uncommitted);
    ask(marker(7, protocol::ControlType::commit));
    CHECK(out.wakes.size() == 1);
    flush();
    REQUIRE(out.wakes.size() == 2);
    CHECK(out.wakes[1].wake.index == committed);
}

TEST_CASE_FIXTURE(Fixture,
                  "a first batch waits for its verification, a marker makes the guard void") {
    const AppendResult asked = append({.producer = 7, .transactional = true});
    CHECK(asked.verification_guard != 0);
    CHECK(asked.base_offset == kNoOffset);
    CHECK(partition->log()->log_end_offset() == Offset(0));
    ask(marker(7, protocol::ControlType::abort));
    const AppendResult again =
        append({.producer = 7, .transactional = true}, asked.verification_guard);
    CHECK(again.verification_guard != 0);
    CHECK(again.verification_guard != asked.verification_guard);
    CHECK(append({.producer = 7, .transactional = true}, again.verification_guard).base_offset ==
          Offset(1));
    std::vector<std::byte> batch =
        make_batch({.producer = 8, .sequence = 3, .transactional = true});
    const auto guard = call<AppendResult>(AppendOp{batch, 1, MonoTime{}, 0, 2}).verification_guard;
    CHECK(refused(AppendOp{batch, 1, MonoTime{}, guard, 2}) == Code::out_of_order_sequence);
}

TEST_CASE_FIXTURE(Fixture, "markers are refused as appends are, and by their epochs") {
    write({.producer = 7, .epoch = 2});
    CHECK(refused(marker(7, protocol::ControlType::commit, 1)) == Code::invalid_producer_epoch);
    WriteMarkerOp second = marker(7, protocol::ControlType::commit, 2);
    second.transaction_version = 2;
    CHECK(refused(second) == Code::invalid_producer_epoch);
    second.marker.producer_epoch = ProducerEpoch(3);
    ask(second);
    second.marker.coordinator_epoch = 0;
    CHECK(refused(second) == Code::coordinator_fenced);
    topic.partitions[0].isr.clear();
    partition->apply(topic, MonoTime{}, out);
    CHECK(refused(marker(7, protocol::ControlType::commit, 3)) == Code::not_enough_replicas);
    topic.partitions[0].leader = BrokerId(2);
    partition->apply(topic, MonoTime{}, out);
    CHECK(refused(marker(7, protocol::ControlType::commit, 3)) == Code::not_leader);
}

TEST_CASE_FIXTURE(Fixture, "a marker not durable in time is answered; it stays in the log") {
    write({.producer = 7});
    const uint32_t ended = ask(marker(7, protocol::ControlType::commit));
    partition->expire(MonoTime(std::chrono::seconds(11)), out);
    const auto late = answer(ended);
    REQUIRE(late);
    CHECK(late->error().code == Code::timed_out);
    flush();
    CHECK(latest(kCommitted) == 2);
}

TEST_CASE_FIXTURE(Fixture, "producers are described with their transactions") {
    write({.producer = 9, .epoch = 1});
    append({.producer = 8, .sequence = 4});
    ask(marker(8, protocol::ControlType::abort));
    const auto known = call<ProducersResult>(ProducersOp{});
    REQUIRE(known.producers.size() == 2);
    CHECK(known.producers[0].id == ProducerId(8));
    CHECK(known.producers[0].last_sequence == 4);
    CHECK(known.producers[0].coordinator_epoch == 1);
    CHECK(known.producers[0].transaction_start_offset == kNoOffset);
    CHECK(known.producers[1].id == ProducerId(9));
    CHECK(known.producers[1].epoch == ProducerEpoch(1));
    CHECK(known.producers[1].transaction_start_offset == Offset(0));
    CHECK(known.producers[1].last_timestamp_ms == kNowMs);
}

TEST_CASE_FIXTURE(Fixture, "with write caching a marker is done when it is written") {
    topic.effective.write_caching = true;
    partition->apply(topic, MonoTime{}, out);
    write({.producer = 7});
    CHECK(latest(kCommitted) == 0);
    CHECK(answer(ask(marker(7, protocol::ControlType::commit))));
    CHECK(latest(kCommitted) == 2);
}

TEST_CASE_FIXTURE(Fixture,
                  "records deleted up to inside a transaction: the stable part begins there") {
    write({.producer = 7});
    append({});
    append({});
    flush();
    ask(DeleteRecordsOp{Offset(2)});
    flush();
    CHECK(latest(kCommitted) == 2);
    CHECK(read(2, kCommitted).range.size == 0);
    ask(marker(7, protocol::ControlType::commit));
    flush();
    CHECK(latest(kCommitted) == 4);
}
