// ManagerWorld: the manager of a core with one topic, over a disk of memory: time passes, flushes
// end and calls fail when a test says so.
#pragma once

#include "server/replica/manager.h"
#include "tests/unit/server/fixed_random.h"
#include "tests/unit/server/replica/faulty_disk.h"
#include "tests/unit/server/replica/step_clock.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace qtool::replica::test {

struct ManagerWorld {
    storage::test::MemoryDisk memory;
    FaultyDisk disk{memory};
    StepClock clock;
    port::test::FixedRandom random;
    metrics::CoreCounters counters;
    std::vector<std::string> paths = {"/data"};
    int64_t reserve_bytes = 0; // of each directory; 0: none, -1: automatic
    metadata::TopicImage topic;
    metadata::Image image;
    std::unique_ptr<storage::LogDirs> dirs;
    std::unique_ptr<Manager> manager;
    Outbox out;

    /// Broker 1 leads the partitions, without other replicas.
    explicit ManagerWorld(int partition_count) {
        set_log_sink([](LogLevel, std::string_view) {});
        memory.free_space = {1 << 30, 1 << 30};
        topic.name = std::string("t");
        topic.id = storage::test::topic_id(1);
        for (int i = 0; i < partition_count; i++) {
            metadata::PartitionImage& partition = topic.partitions.emplace_back();
            partition.replicas = partition.isr = {BrokerId(1)};
            partition.leader = BrokerId(1);
        }
    }

    /// On what the disk has. Of `setup` that which a test has its own idea of.
    void start(Manager::Setup setup = {}) {
        uint64_t next_id = 50;
        auto opened = storage::LogDirs::open(disk, {paths, BrokerId(1), reserve_bytes, [&] {
                                                        return storage::test::topic_id(next_id++);
                                                    }});
        REQUIRE(opened);
        dirs = *std::move(opened);
        REQUIRE(dirs->bind_cluster("c"));
        REQUIRE(dirs->quarantine_unlisted([](const storage::PartitionName&) { return true; },
                                          [](const PartitionKey&) { return false; }));
        setup.ports.disk = &disk;
        setup.ports.clock = &clock;
        setup.ports.random = &random;
        setup.self = BrokerId(1);
        setup.log_dirs = dirs.get();
        setup.counters = &counters;
        setup.is_mine = [](const PartitionKey&) { return true; };
        manager = std::make_unique<Manager>(std::move(setup));
        publish({});
    }
    /// The manager hears of the topic as it is now.
    void publish(const metadata::Delta& delta) {
        const auto shared = std::make_shared<metadata::TopicImage>(topic);
        image.topics_by_id[topic.id] = shared;
        image.topics_by_name[topic.name] = shared;
        manager->apply(image, delta, out);
    }

    [[nodiscard]] PartitionKey key(int index = 0) const {
        return {topic.id, PartitionIndex(index)};
    }
    /// One turn; the syncs that it began are done when `is_syncing` lets them.
    void turn(bool is_syncing = true) {
        if (manager->next_due() <= clock.mono()) {
            manager->on_time(out);
        }
        manager->begin_flushes(out);
        if (is_syncing) {
            finish_syncs();
        }
    }
    void finish_syncs() {
        for (FaultyDisk::Sync& sync : std::exchange(disk.syncs, {})) {
            REQUIRE(manager->on_synced(sync.token, sync.file->sync_blocking(), out));
        }
    }
};

} // namespace qtool::replica::test
