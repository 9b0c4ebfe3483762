// Proves what a log does with the flush journal: which flushes go through it, that a power loss
// takes nothing that it vouched for, and that nothing old comes back into a log that was cut,
// compacted, moved or removed since.
#include "server/storage/compaction.h"
#include "server/storage/flush_journal.h"
#include "server/storage/journal_replay.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;
using Answer = FlushJournal::Answer;

namespace {

struct Fixture : LogFixture {
    FlushJournal journal{disk, "/data", CoreId(0), 1 * MiB, 7};

    Fixture() { log->set_journal(&journal); }
    ~Fixture() { log.reset(); }

    FlushWork begin() {
        REQUIRE(log->offer_to_journal() == Answer::take);
        const auto work = log->begin_journaled_flush();
        REQUIRE(work);
        return *work;
    }
    void sync_journal() {
        const auto file = journal.begin_flush();
        REQUIRE(file);
        REQUIRE((*file)->sync_blocking());
        REQUIRE(journal.end_flush({}));
    }
    void flush_through_journal() {
        const FlushWork work = begin();
        sync_journal();
        REQUIRE(log->finish_flush(work));
    }
    /// As the next process finds it.
    void lose_power_and_replay() {
        const int64_t recovery_point = log->synced_end_offset().value();
        log.reset();
        disk.lose_power();
        REQUIRE(replay_journals(disk, "/data"));
        hint.clean.reset();
        hint.recovery_point = Offset(recovery_point);
        open();
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture,
                  "log: its first flush makes names durable, the next ones are journaled") {
    append();
    CHECK(log->offer_to_journal() == Answer::refuse);
    flush();
    CHECK(log->offer_to_journal() == Answer::refuse); // nothing is unsynced
    append();
    append();
    flush_through_journal();
    CHECK(log->synced_end_offset() == Offset(3));
    CHECK(!log->is_settled());
    append();
    flush_through_journal();
    lose_power_and_replay();
    CHECK(!log->failure());
    CHECK(read_all(0) == std::vector<int64_t>{0, 1, 2, 3});
}

TEST_CASE_FIXTURE(Fixture, "log: without what the journal has a power loss would take it") {
    append();
    flush();
    append();
    flush_through_journal();
    log.reset();
    disk.lose_power();
    open(); // and nothing was put back
    CHECK(log->log_end_offset() == Offset(1));
}

TEST_CASE_FIXTURE(Fixture, "log: a new segment takes a flush of its own, and all before it") {
    config.segment_bytes = 300;
    log->set_config(config);
    append();
    flush();
    append();
    flush_through_journal();
    while (log->segment_count() == 1) {
        append({.value_size = 100});
    }
    CHECK(log->offer_to_journal() == Answer::refuse);
    flush();
    CHECK(log->is_settled());
    append({.value_size = 1});
    CHECK(log->offer_to_journal() == Answer::take);
}

TEST_CASE_FIXTURE(Fixture, "log: what was cut does not come back, though the journal has it") {
    append({.count = 2});
    flush();
    append({.count = 2});
    flush_through_journal();
    append({.count = 2});
    const auto cut = [&] { REQUIRE(log->truncate_to(Offset(2), wall(now_ms))); };
    SUBCASE("synced") {
        cut();
    }
    SUBCASE("with a flush under way") {
        const FlushWork work = begin();
        const auto file = journal.begin_flush();
        REQUIRE(file);
        cut();
        REQUIRE((*file)->sync_blocking());
        REQUIRE(journal.end_flush({}));
        REQUIRE(log->finish_flush(work));
        CHECK(log->synced_end_offset() == Offset(2));
    }
    append({.count = 3, .value_size = 33}, 7);
    flush();
    lose_power_and_replay();
    CHECK(read_all(0) == std::vector<int64_t>{0, 2});
    CHECK(log->epoch_at(Offset(4)) == LeaderEpoch(7));
    CHECK(log->log_end_offset() == Offset(5));
}

TEST_CASE_FIXTURE(Fixture, "log: all of it goes, and what the journal had with it") {
    append();
    flush();
    append();
    flush_through_journal();
    SUBCASE("it begins elsewhere") {
        REQUIRE(log->restart_at(Offset(0), wall(now_ms)));
        CHECK(!journal.holds(log->key()));
        lose_power_and_replay();
        CHECK(log->log_end_offset() == Offset(0));
    }
    SUBCASE("the partition is removed, and comes back") {
        REQUIRE(log->remove_all());
        CHECK(journal.holds(hint.key)); // what is gone is not put back
        REQUIRE(journal.leave("t-0", hint.key));
        open();
        log->set_journal(&journal);
        append({.value_size = 50}, 3);
        flush();
        lose_power_and_replay();
        CHECK(log->log_end_offset() == Offset(1));
        CHECK(log->epoch_at(Offset(0)) == LeaderEpoch(3));
    }
}

TEST_CASE_FIXTURE(Fixture, "log: leaving syncs what a flush under way was to make durable") {
    append();
    flush();
    append();
    const FlushWork work = begin();
    const auto file = journal.begin_flush();
    REQUIRE(file);
    REQUIRE(log->leave_journal()); // as compaction does, which cuts nothing off
    REQUIRE((*file)->sync_blocking());
    REQUIRE(journal.end_flush({}));
    REQUIRE(log->finish_flush(work));
    CHECK(log->synced_end_offset() == Offset(2));
    lose_power_and_replay();
    CHECK(log->log_end_offset() == Offset(2));
}

TEST_CASE_FIXTURE(Fixture, "log: it falls idle, and is closed, when its own files have all") {
    append();
    flush();
    append();
    flush_through_journal();
    SUBCASE("idle") {
        log->release_idle();
        CHECK(!log->is_cold());
        CHECK(log->settles());
        CHECK(log->offer_to_journal() == Answer::refuse);
        flush();
        CHECK(log->is_settled());
        log->release_idle();
        CHECK(log->is_cold());
    }
    SUBCASE("closed") {
        REQUIRE(log->close());
        CHECK(log->is_cold());
    }
    SUBCASE("with the file system") {
        REQUIRE(disk.sync_file_system("/data"));
        log->on_file_system_synced();
        CHECK(log->is_settled());
    }
    log.reset();
    disk.lose_power();
    open();
    CHECK(log->log_end_offset() == Offset(2));
}
