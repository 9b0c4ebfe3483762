// A start of many logs after a crash: what they find becomes durable at once, before it is served.
#include "lib/base/log.h"
#include "server/replica/manager.h"
#include "tests/unit/server/replica/faulty_disk.h"
#include "tests/unit/server/replica/step_clock.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using storage::test::make_batch;
using storage::test::MemoryDisk;
using storage::test::topic_id;

namespace {

constexpr int kPartitions = 12;

struct Fixture {
    MemoryDisk memory;
    FaultyDisk faulty{memory};
    StepClock clock;
    metrics::CoreCounters counters;
    metadata::Image image;
    std::unique_ptr<storage::LogDirs> dirs;
    std::unique_ptr<Manager> manager;
    Outbox out;
    uint32_t next_request = 1;

    Fixture() {
        set_log_sink([](LogLevel, std::string_view) {});
        memory.free_space = {1 << 30, 1 << 30};
        auto topic = std::make_shared<metadata::TopicImage>();
        topic->name = "t";
        topic->id = topic_id(1);
        topic->effective.write_caching = true; // acknowledged without a flush
        for (int i = 0; i < kPartitions; i++) {
            metadata::PartitionImage& partition = topic->partitions.emplace_back();
            partition.replicas = {BrokerId(1)};
            partition.isr = {BrokerId(1)};
            partition.leader = BrokerId(1);
        }
        image.topics_by_id[topic->id] = topic;
        image.topics_by_name[topic->name] = topic;
    }

    void start() {
        uint64_t next_id = 50;
        auto opened = storage::LogDirs::open(
            faulty, {{"/disk0", "/disk1"}, BrokerId(1), 0, [&] { return topic_id(next_id++); }});
        REQUIRE(opened);
        dirs = *std::move(opened);
        REQUIRE(dirs->bind_cluster("c"));
        REQUIRE(dirs->quarantine_unlisted([](const storage::PartitionName&) { return true; },
                                          [](const PartitionKey&) { return false; }));
        Manager::Setup setup;
        setup.ports.disk = &faulty;
        setup.ports.clock = &clock;
        setup.self = BrokerId(1);
        setup.log_dirs = dirs.get();
        setup.counters = &counters;
        setup.is_mine = [](const PartitionKey&) { return true; };
        manager = std::make_unique<Manager>(std::move(setup));
        manager->apply(image, metadata::Delta{}, out);
    }
    void end() {
        manager.reset();
        dirs.reset();
        faulty.syncs.clear();
    }

    PartitionReply ask(int index, PartitionOp op) {
        PartitionRequest request;
        request.request = Token{next_request++, 1};
        request.key = PartitionKey{topic_id(1), PartitionIndex(index)};
        request.op = std::move(op);
        out.answers.clear();
        manager->handle(request, CoreId(0), out);
        REQUIRE(out.answers.size() == 1);
        return std::move(out.answers.front().reply);
    }
    void write_one_each() {
        for (int i = 0; i < kPartitions; i++) {
            std::vector<std::byte> batch = make_batch();
            AppendOp op;
            op.batch = batch;
            REQUIRE(ask(i, op).result);
        }
    }
    [[nodiscard]] int count_readable() {
        int count = 0;
        for (int i = 0; i < kPartitions; i++) {
            ReadOp op;
            op.bytes_max = 1000;
            const PartitionReply reply = ask(i, op);
            count += reply.result && std::get<ReadResult>(*reply.result).range.size > 0 ? 1 : 0;
        }
        return count;
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture,
                  "start: what a reader gets after a crash survives the power loss behind it") {
    start();
    write_one_each();
    end();
    memory.kill();
    start();
    CHECK(count_readable() == kPartitions);
    end();
    memory.lose_power();
    start();
    CHECK(count_readable() == kPartitions);
}

TEST_CASE_FIXTURE(Fixture, "start: what cannot be made durable is not served") {
    start();
    write_one_each();
    end();
    memory.kill();
    memory.fails_sync = true; // of the file systems alone: nothing else is synced at such a start
    start();
    CHECK(count_readable() == 0);
    CHECK(counters.partitions_offline.value() > 0);
    end();
    memory.kill();
    memory.fails_sync = false;
    start();
    CHECK(count_readable() == kPartitions);
}
