// Proves in which order and how fast a core compacts: the log with the largest dirty share first,
// no faster than log.cleaner.io.max.bytes.per.second, and while it waits for that the log is
// served. What compaction does to a log: tests/unit/server/storage/compaction_test.cc.
#include "lib/base/log.h"
#include "server/replica/manager.h"
#include "tests/unit/server/replica/faulty_disk.h"
#include "tests/unit/server/replica/step_clock.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using storage::test::BatchShape;
using storage::test::make_batch;
using storage::test::MemoryDisk;
using storage::test::topic_id;

namespace {

struct FixedRandom final : port::Random {
    uint64_t next() override { return 4; }
};

constexpr uint64_t kBytesPerSecond = 100'000;
constexpr uint64_t kStepBytes = 256 * 1024; // of the compactor
constexpr size_t kValueSize = 20'000;

struct World {
    MemoryDisk memory;
    FaultyDisk disk{memory};
    StepClock clock;
    FixedRandom random;
    metrics::CoreCounters counters;
    std::shared_ptr<metadata::TopicImage> topic = std::make_shared<metadata::TopicImage>();
    std::unique_ptr<storage::LogDirs> dirs;
    std::unique_ptr<Manager> manager;
    Outbox out;

    World() {
        set_log_sink([](LogLevel, std::string_view) {});
        memory.free_space = {1 << 30, 1 << 30};
        topic->name = std::string("t");
        topic->id = topic_id(1);
        topic->effective.segment_bytes = 100'000;
        topic->effective.cleanup_compact = true;
        topic->effective.cleanup_delete = false;
        for (int i = 0; i < 2; i++) {
            metadata::PartitionImage& partition = topic->partitions.emplace_back();
            partition.replicas = partition.isr = {BrokerId(1)};
            partition.leader = BrokerId(1);
        }
        uint64_t next_id = 50;
        auto opened = storage::LogDirs::open(
            disk, {{"/data"}, BrokerId(1), 0, [&] { return topic_id(next_id++); }});
        REQUIRE(opened);
        dirs = *std::move(opened);
        REQUIRE(dirs->quarantine_unlisted([](const storage::PartitionName&) { return true; },
                                          [](const PartitionKey&) { return false; }));
        Manager::Setup setup;
        setup.ports.disk = &disk;
        setup.ports.clock = &clock;
        setup.ports.random = &random;
        setup.self = BrokerId(1);
        setup.log_dirs = dirs.get();
        setup.counters = &counters;
        setup.options.compactor.backoff = 1s;
        setup.options.compactor.bytes_per_second_max = kBytesPerSecond;
        setup.is_mine = [](const PartitionKey&) { return true; };
        manager = std::make_unique<Manager>(std::move(setup));
        metadata::Image image;
        image.topics_by_id[topic->id] = topic;
        image.topics_by_name[topic->name] = topic;
        manager->apply(image, {}, out);
    }

    storage::Log& log(int index) {
        return *manager->find(PartitionKey{topic->id, PartitionIndex(index)})->log();
    }
    /// What is due at this time, with its syncs.
    void turn() {
        if (manager->next_due() <= clock.mono()) {
            manager->on_time(out);
        }
        manager->begin_flushes(out);
        for (FaultyDisk::Sync& sync : std::exchange(disk.syncs, {})) {
            REQUIRE(manager->on_synced(sync.token, sync.file->sync_blocking(), out));
        }
    }
    void produce(int index, int batches) {
        for (int i = 0; i < batches; i++) {
            BatchShape shape;
            shape.value_size = kValueSize;
            std::vector<std::byte> batch = make_batch(shape);
            PartitionRequest request;
            request.key = PartitionKey{topic->id, PartitionIndex(index)};
            AppendOp op;
            op.batch = batch;
            op.acks = -1;
            op.deadline = clock.mono() + 1s;
            request.op = op;
            out.answers.clear();
            manager->handle(request, CoreId(0), out);
            turn();
            REQUIRE(out.answers.size() == 1);
            REQUIRE(out.answers[0].reply.result);
        }
    }
    /// Until so many compactions have ended; how long it took.
    Duration compact(uint64_t count) {
        const Duration begun = clock.passed;
        while (counters.compactions.value() < count) {
            REQUIRE(clock.passed - begun < 1h);
            clock.passed += 20ms;
            turn();
        }
        return clock.passed - begun;
    }
};

} // namespace

TEST_CASE("compactor: no faster than its rate, and the log is served meanwhile") {
    World world;
    world.produce(0, 50);
    const uint64_t size = world.log(0).size_bytes();
    const MonoTime begun = world.clock.mono();
    uint64_t served = 0;
    while (world.counters.compactions.value() == 0) {
        REQUIRE(world.clock.mono() < begun + 10min);
        world.clock.passed += 500ms;
        world.turn();
        const double seconds = std::chrono::duration<double>(world.clock.mono() - begun).count();
        CHECK(static_cast<double>(world.counters.compaction_bytes.value()) <=
              seconds * kBytesPerSecond + kStepBytes);
        world.produce(0, 1); // its answer is looked at
        served++;
    }
    CHECK(world.counters.compaction_bytes.value() > size);
    CHECK(served >= (size - kStepBytes) / kBytesPerSecond);
    CHECK(world.log(0).size_bytes() < size / 2 + served * (kValueSize + 1000));
}

TEST_CASE("compactor: the dirtier log goes first") {
    World world;
    world.produce(0, 10);
    world.compact(1);
    world.produce(0,
                  12); // of what there is now, less is dirty than in the log that never was clean
    world.produce(1, 22);
    const uint64_t size_0 = world.log(0).size_bytes();
    const uint64_t size_1 = world.log(1).size_bytes();
    world.compact(2);
    CHECK(world.log(0).size_bytes() == size_0);
    CHECK(world.log(1).size_bytes() < size_1);
    world.compact(3);
    CHECK(world.log(0).size_bytes() < size_0);
}
