// Proves in which order and how fast a core compacts: the log with the largest dirty share first,
// no faster than log.cleaner.io.max.bytes.per.second, and while it waits for that the log is
// served. What compaction does to a log: tests/unit/server/storage/compaction_test.cc.
#include "tests/unit/server/replica/manager_world.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using storage::test::BatchShape;
using storage::test::make_batch;

namespace {

constexpr uint64_t kBytesPerSecond = 100'000;
constexpr uint64_t kStepBytes = 256 * 1024; // of the compactor
constexpr size_t kValueSize = 20'000;

struct World : ManagerWorld {
    World() : ManagerWorld(2) {
        topic.effective.segment_bytes = 100'000;
        topic.effective.cleanup_compact = true;
        topic.effective.cleanup_delete = false;
        Manager::Setup setup;
        setup.options.compactor.backoff = 1s;
        setup.options.compactor.bytes_per_second_max = kBytesPerSecond;
        start(std::move(setup));
    }

    storage::Log& log(int index) { return *manager->find(key(index))->log(); }
    void produce(int index, int batches) {
        for (int i = 0; i < batches; i++) {
            BatchShape shape;
            shape.value_size = kValueSize;
            std::vector<std::byte> batch = make_batch(shape);
            PartitionRequest request;
            request.key = key(index);
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
