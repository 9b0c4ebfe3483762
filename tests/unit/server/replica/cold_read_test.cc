// Proves what a core does with reads whose bytes are not in memory: each waits until the disk has
// read them in and is asked anew, then, whatever happened meanwhile; none is answered twice, or
// never, or for a request that is over; a follower's progress counts at once, and once.
#include "tests/unit/server/replica/manager_world.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using storage::test::make_batch;
using storage::test::MemoryDisk;

namespace {

constexpr CoreId kAsking{3};
constexpr int kBatches = 200; // more than the ring of the tail holds

struct World : ManagerWorld {
    bool is_known = true;
    uint32_t last_request = 0;

    explicit World(int replica_count = 1) : ManagerWorld(1) {
        for (int id = 1; id <= replica_count; id++) {
            metadata::BrokerImage broker;
            broker.id = BrokerId(id);
            broker.epoch = Revision(100 + id);
            image.brokers[broker.id] = broker;
        }
        if (replica_count > 1) {
            topic.partitions[0].replicas = topic.partitions[0].isr = {BrokerId(1), BrokerId(2)};
        }
        Manager::Setup setup;
        setup.is_known = [this](const PartitionKey&) { return is_known; };
        start(std::move(setup));
        for (int i = 0; i < kBatches; i++) {
            std::vector<std::byte> batch = make_batch({.value_size = 100});
            ask(AppendOp{batch, 1, clock.mono() + 10s, 0, 0});
        }
        flush();
        out = {};
        memory.is_cold = true;
    }
    void flush() {
        manager->begin_flushes(out);
        while (!disk.syncs.empty()) {
            finish_syncs();
            manager->begin_flushes(out);
        }
    }
    Token ask(PartitionOp op) {
        PartitionRequest request;
        request.request = Token{++last_request, 1};
        request.index = 7;
        request.key = key();
        request.op = std::move(op);
        const Token token = request.request;
        manager->handle(request, kAsking, out);
        return token;
    }
    Token read(int64_t offset, uint32_t watch_below = 0) {
        ReadOp op;
        op.fetch_offset = Offset(offset);
        op.bytes_max = 1000;
        op.watch_below_bytes = watch_below;
        return ask(op);
    }
    Token read_for_2(int64_t offset) {
        ReadOp op;
        op.fetch_offset = Offset(offset);
        op.bytes_max = 1000;
        op.replica.emplace();
        op.replica->id = BrokerId(2);
        op.replica->broker_epoch = Revision(102);
        return ask(op);
    }
    /// What the disk was asked to read in is done.
    void finish_read_ins(const Result<void>& result = {}) {
        for (const MemoryDisk::ReadIn& done : std::exchange(memory.read_ins, {})) {
            manager->on_read_in(done.token, result, out);
        }
    }
    /// The only answer: the request's.
    Result<PartitionResult> answer(Token request) {
        REQUIRE(out.answers.size() == 1);
        CHECK(out.answers[0].core == kAsking);
        CHECK(out.answers[0].reply.request == request);
        CHECK(out.answers[0].reply.index == 7);
        Result<PartitionResult> result = std::move(out.answers[0].reply.result);
        out.answers.clear();
        return result;
    }
    Code code(Token request) {
        const Result<PartitionResult> result = answer(request);
        REQUIRE_FALSE(result);
        return result.error().code;
    }
};

} // namespace

TEST_CASE_FIXTURE(World, "cold read: it is answered when the disk has read in what it needs") {
    const Token first = read(20);
    const Token second = read(120);
    CHECK(out.answers.empty());
    CHECK(out.cold_reads.empty());
    REQUIRE(memory.read_ins.size() == 2);
    CHECK(memory.waits.empty());
    CHECK(counters.cold_reads.value() == 2);
    CHECK(counters.fetch_bytes.value() == 0);

    // The others are served meanwhile, those of the tail too, and answers come in any order.
    const Token tail = read(195);
    CHECK_FALSE(std::get<ReadResult>(answer(tail).value()).range.was_read_in);
    const std::vector<MemoryDisk::ReadIn> asked = std::exchange(memory.read_ins, {});
    const auto is_served = [&](const MemoryDisk::ReadIn& done, Token request) {
        memory.read_ins = {done};
        memory.is_cold = false; // of the file the test's disk knows one range
        finish_read_ins();
        const Result<PartitionResult> result = answer(request);
        REQUIRE(result);
        const auto& read = std::get<ReadResult>(*result);
        CHECK(read.range.size > 0);
        CHECK(read.range.was_read_in);
        CHECK(read.high_watermark == Offset(kBatches));
    };
    is_served(asked[1], second);
    is_served(asked[0], first);
    CHECK(counters.cold_reads.value() == 2);
    manager->on_read_in(asked[0].token, {}, out); // once each
    CHECK(out.answers.empty());
}

TEST_CASE_FIXTURE(World, "cold read: where memory is short it goes ahead in the end") {
    const Token request = read(20);
    for (uint32_t i = 0; i < kReadInsMax; i++) {
        CHECK(out.answers.empty());
        REQUIRE(memory.read_ins.size() == 1);
        memory.forget_memory();
        finish_read_ins();
    }
    CHECK(answer(request));
    CHECK_FALSE(memory.waits.empty());
    CHECK(memory.read_ins.empty());
    CHECK(counters.cold_reads.value() == 1);
}

TEST_CASE_FIXTURE(World, "cold read: what could not be read in is for the log to find out") {
    const Token request = read(20);
    finish_read_ins(Error(Code::storage_io, "a byte that this read needs no header in"));
    CHECK(answer(request));
    memory.forget_memory();
    const Token bad = read(20);
    disk.kind = Injected::io_error;
    disk.calls = 0;
    disk.fail_at = 0;
    disk.is_lasting = true;
    finish_read_ins(Error(Code::storage_io, "the disk is broken"));
    CHECK(code(bad) == Code::storage_io);
    CHECK(manager->find(key())->is_offline());
}

TEST_CASE_FIXTURE(World, "cold read: what became of the partition meanwhile is its answer") {
    const Token request = read(20);
    metadata::Delta delta;
    SUBCASE("deleted") {
        is_known = false;
        delta.topics_deleted = {topic.id};
        manager->apply(image, delta, out);
        finish_read_ins();
        CHECK(code(request) == Code::unknown_partition);
    }
    SUBCASE("moved to other brokers") {
        topic.partitions[0].replicas = topic.partitions[0].isr = {BrokerId(2)};
        topic.partitions[0].leader = BrokerId(2);
        delta.topics_changed = {topic.id};
        publish(delta);
        finish_read_ins();
        CHECK(code(request) == Code::not_leader);
    }
    SUBCASE("led by another") {
        topic.partitions[0].replicas.emplace_back(2);
        topic.partitions[0].leader = BrokerId(2);
        topic.partitions[0].leader_epoch = LeaderEpoch(1);
        delta.topics_changed = {topic.id};
        publish(delta);
        finish_read_ins();
        CHECK(code(request) == Code::not_leader);
    }
    SUBCASE("offline") {
        manager->on_read_failed(*manager->find(key()), Error(Code::storage_io, "x"), out);
        finish_read_ins();
        CHECK(code(request) == Code::storage_io);
    }
    SUBCASE("its records were deleted") {
        ask(DeleteRecordsOp{Offset(50)});
        CHECK(out.answers.empty());
        flush();
        CHECK(out.answers.size() == 1);
        out.answers.clear();
        finish_read_ins();
        CHECK(code(request) == Code::offset_out_of_range);
    }
}

TEST_CASE_FIXTURE(World, "cold read: a stop answers it, and the disk's answer comes too late") {
    const Token request = read(20);
    manager->release_waiters(Code::shutting_down, out);
    CHECK(code(request) == Code::shutting_down);
    finish_read_ins();
    CHECK(out.answers.empty());
    // Asked for at the last moment.
    const Token late = read(30);
    static_cast<void>(manager->close());
    finish_read_ins();
    CHECK(code(late) == Code::shutting_down);
}

TEST_CASE_FIXTURE(World, "cold read: of a request that is over nothing is left") {
    const Token gone = read(20, 1'000'000);
    memory.forget_memory();
    const Token other = read(20, 1'000'000);
    REQUIRE(memory.read_ins.size() == 2);
    manager->cancel_watch(kAsking, gone, key());
    manager->cancel_watch(CoreId(1), other, key()); // another core's
    finish_read_ins();
    REQUIRE(answer(other));
    // Nor a watch: new records wake one.
    std::vector<std::byte> batch = make_batch();
    ask(AppendOp{batch, 1, clock.mono() + 10s, 0, 0});
    flush();
    REQUIRE(out.wakes.size() == 1);
    CHECK(out.wakes[0].wake.request == other);
}

TEST_CASE("cold read: a follower's progress counts at once, and once") {
    World world(2);
    CHECK(world.manager->find(world.key())->high_watermark() == Offset(0));
    const Token request = world.read_for_2(20);
    CHECK(world.out.answers.empty());
    CHECK(world.manager->find(world.key())->high_watermark() == Offset(20));
    world.finish_read_ins();
    const Result<PartitionResult> result = world.answer(request);
    REQUIRE(result);
    CHECK(std::get<ReadResult>(*result).range.size > 0);
    CHECK(std::get<ReadResult>(*result).high_watermark == Offset(20));
    // Had the second try counted as a fetch of the same again, the batch would have been verified:
    // bytes that are not what they were would have taken the partition offline.
    const std::string segment = "/data/t-0/" + std::string(20, '0') + ".log";
    world.memory.forget_memory();
    const Token again = world.read_for_2(30);
    const size_t size = world.memory.bytes(segment).size() / kBatches;
    world.memory.bytes(segment)[31 * size - 5] ^= std::byte{1};
    world.finish_read_ins();
    CHECK(world.answer(again));
    CHECK_FALSE(world.manager->find(world.key())->is_offline());
    CHECK(world.counters.cold_reads.value() == 2);
}
