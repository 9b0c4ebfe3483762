// Proves how a core's partitions share syncs of the flush journal: what rides together, what waits,
// that files of it become free, and that nothing stays behind at a stop or where a sync fails.
#include "tests/unit/server/replica/manager_world.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using namespace std::chrono_literals;

namespace {

constexpr int kPartitions = 5;

struct Fixture : ManagerWorld {
    explicit Fixture(uint64_t journal_bytes = 1 * MiB) : ManagerWorld(kPartitions) {
        Manager::Setup setup;
        setup.options.flush_journal_bytes = journal_bytes;
        start(std::move(setup));
        for (int i = 0; i < kPartitions; i++) {
            append(i);
        }
        turn(); // new names: each log on its own
        REQUIRE(counters.flushes_journaled.value() == 0);
    }
    void append(int index, size_t value_size = 100) {
        storage::test::BatchShape shape;
        shape.value_size = value_size;
        std::vector<std::byte> batch = storage::test::make_batch(shape);
        Partition* partition = manager->find(key(index));
        REQUIRE(manager->append_own(*partition, batch, out));
    }
    [[nodiscard]] int64_t synced(int index) {
        return manager->find(key(index))->log()->synced_end_offset().value();
    }
    [[nodiscard]] bool has_journal() const {
        const std::vector<std::string> names = memory.names("/data");
        return std::any_of(names.begin(), names.end(), [](const std::string& name) {
            return name.starts_with("flush-journal.");
        });
    }
};

struct SmallJournal : Fixture {
    SmallJournal() : Fixture(2 * 16 * storage::kJournalHeaderSize) {}
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "journal: what partitions got in a turn is one sync") {
    for (int i = 0; i < kPartitions; i++) {
        append(i);
    }
    turn(false);
    CHECK(disk.syncs.size() == 1);
    CHECK(synced(0) == 1);
    finish_syncs();
    for (int i = 0; i < kPartitions; i++) {
        CHECK(synced(i) == 2);
    }
    CHECK(counters.flushes_journaled.value() == kPartitions);
    CHECK(counters.journal_syncs.value() == 1);
}

TEST_CASE_FIXTURE(Fixture, "journal: who comes while a sync is under way shares the next one") {
    append(0);
    turn(false);
    append(1);
    turn(false);
    append(2);
    append(0);
    turn(false);
    CHECK(disk.syncs.size() == 1);
    finish_syncs();
    CHECK(synced(0) == 2);
    CHECK(synced(1) == 1);
    turn(false);
    CHECK(disk.syncs.size() == 1);
    finish_syncs();
    CHECK(synced(0) == 3);
    CHECK(synced(1) == 2);
    CHECK(synced(2) == 2);
}

TEST_CASE_FIXTURE(Fixture, "journal: what is large does not wait for it, nor go through it") {
    append(0);
    turn(false);
    append(1, storage::kJournaledFlushMax + 1);
    turn(false);
    CHECK(disk.syncs.size() == 2);
    finish_syncs();
    CHECK(synced(1) == 2);
    CHECK(counters.flushes_journaled.value() == 1);
}

TEST_CASE_FIXTURE(SmallJournal, "journal: its files become free as logs are synced on their own") {
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < kPartitions; i++) {
            append(i);
        }
        turn();
        turn();
        REQUIRE(synced(round % kPartitions) == round + 2);
    }
    CHECK(counters.journal_full.value() == 0);
    CHECK(counters.flushes_journaled.value() > 300);
    CHECK(memory.bytes("/data/flush-journal.0.0").size() <= 16 * storage::kJournalHeaderSize);
}

TEST_CASE_FIXTURE(SmallJournal,
                  "journal: while a log cannot be synced it fills up, and is done without") {
    append(0);
    turn();
    manager->find(key(0))->take_offline(Error(Code::storage_io, "test"), out);
    for (int round = 0; round < 100; round++) {
        append(1, 2000);
        turn();
        clock.passed += 100ms;
        REQUIRE(synced(1) == round + 2);
    }
    CHECK(counters.journal_full.value() > 0);
    // What it vouches for is still there.
    manager.reset();
    memory.lose_power();
    start();
    CHECK(synced(0) == 2);
    CHECK(synced(1) == 101);
}

TEST_CASE_FIXTURE(Fixture, "journal: on a full disk logs are synced on their own") {
    memory.full_suffix = ".0.0";
    memory.is_full = true;
    append(0);
    append(1);
    turn();
    clock.passed += 1s;
    turn();
    turn();
    CHECK(synced(0) == 2);
    CHECK(synced(1) == 2);
}

TEST_CASE_FIXTURE(Fixture,
                  "journal: when its sync fails each log is synced on its own, and it goes") {
    append(0);
    turn();
    append(1);
    turn(false);
    REQUIRE(disk.syncs.size() == 1);
    const Token token = disk.syncs[0].token;
    disk.syncs.clear();
    append(2);
    REQUIRE(manager->on_synced(token, Error(Code::storage_io, "sync"), out));
    for (int i = 0; i < 5; i++) {
        turn();
    }
    CHECK(synced(1) == 2);
    CHECK(synced(2) == 2);
    CHECK(manager->find(key(0))->log()->is_settled());
    CHECK(!has_journal());
    CHECK(!manager->is_flushing());
    CHECK(counters.flush_errors.value() == 1);
    manager.reset();
    memory.lose_power();
    start();
    CHECK(synced(0) == 2);
    CHECK(synced(1) == 2);
}

TEST_CASE_FIXTURE(Fixture, "journal: a clean stop leaves none, whatever was under way") {
    append(0);
    turn();
    CHECK(has_journal());
    append(1);
    SUBCASE("nothing") {
        turn();
    }
    SUBCASE("a sync") {
        turn(false);
    }
    const auto closed = manager->close();
    REQUIRE(closed.size() == 1);
    CHECK(closed[0].result);
    CHECK(!has_journal());
    finish_syncs();
    manager.reset();
    memory.lose_power();
    start();
    CHECK(synced(0) == 2);
    CHECK(synced(1) == 2);
}

TEST_CASE_FIXTURE(Fixture, "journal: a topic that is deleted with a sync under way harms nobody") {
    append(0);
    append(1);
    turn(false);
    metadata::Delta delta;
    delta.topics_deleted = {topic.id};
    image.topics_by_id.clear();
    image.topics_by_name.clear();
    manager->apply(image, delta, out);
    finish_syncs();
    CHECK(!manager->is_flushing());
    CHECK(manager->find(key(0)) == nullptr);
}

TEST_CASE_FIXTURE(Fixture,
                  "journal: a replica that comes back finds nothing of the one before it") {
    append(0);
    turn();
    metadata::Delta delta;
    delta.topics_changed = {topic.id};
    topic.partitions[0].replicas = topic.partitions[0].isr = {BrokerId(2)};
    topic.partitions[0].leader = BrokerId(2);
    topic.partitions[0].leader_epoch = LeaderEpoch(1);
    topic.partitions[0].partition_epoch = 1;
    publish(delta);
    REQUIRE(manager->find(key(0)) == nullptr);
    topic.partitions[0].replicas = topic.partitions[0].isr = {BrokerId(1)};
    topic.partitions[0].leader = BrokerId(1);
    topic.partitions[0].leader_epoch = LeaderEpoch(2);
    topic.partitions[0].partition_epoch = 2;
    publish(delta);
    append(0, 7);
    turn();
    REQUIRE(synced(0) == 1);
    manager.reset();
    memory.lose_power();
    start();
    CHECK(synced(0) == 1);
    CHECK(manager->find(key(0))->log()->epoch_at(Offset(0)) == LeaderEpoch(2));
}

TEST_CASE_FIXTURE(SmallJournal, "journal: what a stop kept is not thrown away behind it") {
    append(0);
    turn();
    manager->find(key(0))->take_offline(Error(Code::storage_io, "test"), out);
    while (counters.journal_full.value() == 0) { // a file waits for that log
        append(1, 2000);
        turn();
    }
    CHECK(!manager->close()[0].result);
    clock.passed += 10s;
    for (int i = 0; i < 5; i++) {
        turn();
    }
    CHECK(has_journal());
    manager.reset();
    memory.lose_power();
    start();
    CHECK(synced(0) == 2);
}
