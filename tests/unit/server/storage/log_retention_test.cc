// Proves that deleting from the front, by retention or because somebody asked for it, waits for no
// device but by flushes; that nobody is told of a log start which a crash could take back; and that
// a crash at any step leaves a log that begins where it did or at the new start, and knows who
// wrote to it. On a MemoryDisk, which counts what is synced.
#include "server/storage/partition_files.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <doctest/doctest.h>

namespace {

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

// One batch of producer 7 a segment.
struct Retention : LogFixture {
    int32_t sequence = 0;

    Retention() {
        config.segment_bytes = 300;
        config.retention_ms = 1000;
        log->set_config(config);
    }
    void append_segments(int count, int64_t time = kNowMs) {
        for (int i = 0; i < count; i++) {
            append({.value_size = 150, .time = time, .producer = 7, .sequence = sequence++});
        }
    }
    bool knows_producer() {
        return !append({.value_size = 150, .producer = 7, .sequence = sequence - 1}).appended;
    }
    bool begin_retention() {
        const Result<bool> begun = log->apply_retention(wall(kNowMs + 5000), log->log_end_offset());
        REQUIRE(begun);
        return *begun;
    }
    [[nodiscard]] std::string snapshot(int64_t taken_at) const {
        return segment(taken_at, ".snapshot");
    }
    int64_t log_start_on_disk() {
        const Result<Offset> start = read_log_start(disk, directory);
        REQUIRE(start);
        return start->value();
    }
};

TEST_CASE_FIXTURE(LogFixture, "retention by time and by size, the files go after a delay") {
    config.segment_bytes = 300;
    config.retention_ms = 1000;
    config.file_delete_delay_ms = 500;
    log->set_config(config);
    for (int i = 0; i < 10; i++) { // one batch a segment
        append({.value_size = 150, .time = kNowMs + i * 100});
    }
    REQUIRE(log->segment_count() == 10);
    const uint64_t one = log->size_bytes() / 10;
    CHECK(retain(kNowMs + 1000, Offset(10)) == 0);
    CHECK(retain(kNowMs + 1250, Offset(1)) == 1); // not above high watermark
    CHECK(retain(kNowMs + 1250, Offset(10)) == 2);
    CHECK(log->log_start_offset() == Offset(3));
    CHECK(log->size_bytes() == 7 * one);
    CHECK(disk.has(segment(0, ".log.deleted")));
    CHECK(retain(kNowMs + 1250 + 49, Offset(10)) == 0);
    CHECK(disk.has(segment(0, ".log.deleted")));
    config.retention_ms = -1;
    config.retention_bytes = static_cast<int64_t>(4 * one);
    log->set_config(config);
    CHECK(retain(kNowMs + 1800, Offset(10)) == 3);
    CHECK_FALSE(disk.has(segment(0, ".log.deleted")));
    CHECK(log->log_start_offset() == Offset(6));
    SUBCASE("the log that fell idle still knows how old it is") {
        flush();
        log->release_idle();
        REQUIRE(log->read(Offset(9), Offset(10), 10));
        log->release_idle();
    }
    SUBCASE("so does the one after a clean stop") {
        close_and_open();
        REQUIRE(log->read(Offset(9), Offset(10), 10));
        close_and_open();
    }
    SUBCASE("and the one after a kill") {
        kill_and_open(5);
    }
    config.retention_bytes = -1;
    config.retention_ms = 1000;
    log->set_config(config);
    CHECK(retain(kNowMs + 10'000, Offset(10)) == 4);
    CHECK(log->log_start_offset() == Offset(10));
    CHECK(log->log_end_offset() == Offset(10));
    CHECK(log->size_bytes() == 0);
    CHECK(append().base_offset == Offset(10));
    kill_and_open(10);
    CHECK(read_all(10).size() == 1);
}

TEST_CASE_FIXTURE(Retention,
                  "retention syncs nothing but by flushes, and tells of nothing before") {
    append_segments(4);
    bool is_idle = false;
    SUBCASE("of a log that has something to flush anyway") {}
    SUBCASE("of one that has not") {
        flush();
    }
    SUBCASE("of an idle one") {
        flush();
        log->release_idle();
        REQUIRE(log->is_cold());
        is_idle = true;
    }
    int syncs = disk.syncs;
    REQUIRE(begin_retention());
    CHECK_FALSE(begin_retention()); // it is under way
    log->release_idle();
    while (log->is_deleting()) {
        CHECK_FALSE(log->is_cold());
        CHECK(log->log_start_offset() == Offset(0));
        CHECK(read_all(0).size() == 4);
        const auto work = log->begin_flush();
        REQUIRE(work);
        REQUIRE(*work);
        CHECK(disk.syncs == syncs);
        for (const port::FileRef& file : (*work)->files) {
            REQUIRE(file->sync_blocking());
        }
        syncs = disk.syncs;
        const Result<uint32_t> deleted = log->finish_flush(**work);
        REQUIRE(deleted);
        CHECK(*deleted == (log->is_deleting() ? 0 : 4));
        CHECK(disk.syncs == syncs);
    }
    CHECK(log->log_start_offset() == Offset(4));
    CHECK(log->segment_count() == 1);
    CHECK_FALSE(*log->begin_flush());
    CHECK(disk.names(directory).size() == 8); // those of the segments that wait to be unlinked, too
    if (is_idle) {
        log->release_idle();
        CHECK(log->is_cold());
    }
    lose_power_and_open(4);
    CHECK(log->log_start_offset() == Offset(4));
    CHECK(knows_producer());
}

TEST_CASE_FIXTURE(Retention, "a crash at any step of a deletion") {
    for (const bool power : {false, true}) {
        for (const bool retention : {false, true}) {
            for (const bool flushed : {false, true}) {
                bool is_done = false;
                for (int steps = 0; !is_done; steps++) {
                    REQUIRE(steps < 100);
                    Retention f;
                    f.append_segments(5);
                    if (flushed) {
                        f.flush();
                    }
                    f.disk.changes_left = steps;
                    Offset told{0};
                    const Result<void> done = [&]() -> Result<void> {
                        if (retention) {
                            QT_TRY(f.log->apply_retention(wall(kNowMs + 5000), Offset(5)));
                        } else {
                            QT_TRY(f.log->advance_log_start(Offset(4)));
                        }
                        while (f.log->is_deleting()) {
                            QT_TRY_ASSIGN(const auto work, f.log->begin_flush());
                            REQUIRE(work);
                            for (const port::FileRef& file : work->files) {
                                QT_TRY(file->sync_blocking());
                            }
                            const Result<uint32_t> deleted = f.log->finish_flush(*work);
                            told = f.log->log_start_offset();
                            QT_TRY(deleted);
                        }
                        return {};
                    }();
                    is_done = done.has_value() && f.disk.changes_left > 0;
                    const int64_t recovery_point = f.log->synced_end_offset().value();
                    if (power) {
                        f.lose_power_and_open(recovery_point);
                    } else {
                        f.kill_and_open(recovery_point);
                    }
                    REQUIRE_FALSE(f.log->failure());
                    const Offset start = f.log->log_start_offset();
                    const Offset wanted(retention ? 5 : 4);
                    CHECK((start == Offset(0) || start == wanted));
                    CHECK(start >= told);
                    if (done) {
                        CHECK(told == wanted);
                    }
                    const int64_t end = f.log->log_end_offset().value();
                    CHECK(end >= std::max(recovery_point, start.value()));
                    CHECK(f.read_all(start.value()).size() ==
                          static_cast<size_t>(end - start.value()));
                    if (end == 5) {
                        CHECK(f.knows_producer());
                    }
                }
            }
        }
    }
}

TEST_CASE_FIXTURE(Retention, "a flush that began before a deletion does not carry it") {
    append_segments(4);
    const auto before = log->begin_flush();
    REQUIRE(before);
    REQUIRE(begin_retention());
    SUBCASE("nor its file") {
        REQUIRE(log->finish_flush(**before));
        CHECK(log_start_on_disk() == 0);
    }
    SUBCASE("nor the name of that, which another flush left behind it") {
        flush();
        CHECK(log_start_on_disk() == 4);
        REQUIRE(log->finish_flush(**before));
        CHECK(log->log_start_offset() == Offset(0));
    }
    CHECK(finish_deletion() == 4);
    CHECK(log_start_on_disk() == 4);
}

TEST_CASE_FIXTURE(Retention, "what is asked for while a deletion is under way comes behind it") {
    append_segments(6);
    REQUIRE(log->advance_log_start(Offset(2)));
    REQUIRE(log->advance_log_start(Offset(1)));
    REQUIRE(log->advance_log_start(Offset(5)));
    REQUIRE(log->advance_log_start(Offset(4)));
    CHECK(log->log_start_offset() == Offset(0));
    flush();
    CHECK(flush() == 2);
    CHECK(log->log_start_offset() == Offset(2));
    CHECK(finish_deletion() == 3);
    CHECK(log->log_start_offset() == Offset(5));
    lose_power_and_open(6);
    CHECK(log->log_start_offset() == Offset(5));
}

TEST_CASE_FIXTURE(Retention, "a segment that ended after a deletion began is not part of it") {
    append({.producer = 7});
    REQUIRE(log->advance_log_start(Offset(1))); // its end: nothing is known of who wrote it
    append({.value_size = 200});
    REQUIRE(log->segment_count() == 2);
    CHECK(finish_deletion() == 0);
    CHECK(log->segment_count() == 2);
    delete_below(Offset(2));
    lose_power_and_open(2);
    CHECK_FALSE(append({.producer = 7}).appended);
}

TEST_CASE_FIXTURE(Retention, "the snapshot that deletion leaves is one that reads") {
    append_segments(6);
    disk.bytes(snapshot(3)).clear();
    SUBCASE("a later one") {}
    SUBCASE("none is there: one of the whole log") {
        disk.bytes(snapshot(4)).clear();
        disk.bytes(snapshot(5)).clear();
    }
    delete_below(Offset(3));
    CHECK_FALSE(disk.has(snapshot(2)));
    lose_power_and_open(6);
    REQUIRE_FALSE(log->failure());
    CHECK(knows_producer());
}

TEST_CASE_FIXTURE(Retention, "the only snapshot is not written again where it is") {
    append_segments(4);
    REQUIRE(begin_retention());
    finish_deletion();
    SUBCASE("by a log that falls idle") {
        log->release_idle();
        REQUIRE(log->is_cold());
    }
    SUBCASE("by a stop") {
        REQUIRE(log->close());
    }
    REQUIRE(disk.sync_directory(directory)); // as a file system does some time
    lose_power_and_open(4);
    CHECK(knows_producer());
}

TEST_CASE_FIXTURE(Retention, "where all producers are forgotten no snapshot is needed") {
    append_segments(4);
    flush();
    now_ms += 2 * config.producer_id_expiration_ms;
    CHECK(retain(now_ms, Offset(0)) == 0); // forgets them
    REQUIRE(log->advance_log_start(Offset(2)));
    const auto work = log->begin_flush();
    REQUIRE(work);
    CHECK((*work)->files.size() == 2); // the log start and the directory
    CHECK(finish_deletion() == 2);
    lose_power_and_open(4);
    CHECK(log->log_start_offset() == Offset(2));
    CHECK(read_all(2).size() == 2);
}

TEST_CASE_FIXTURE(Retention, "a log that is cut begins where readers know that it does") {
    append_segments(6);
    flush();
    REQUIRE(log->advance_log_start(Offset(5)));
    int64_t cut = 5;
    SUBCASE("before the new start has its name") {
        cut = 3;
    }
    SUBCASE("before that lasts") {
        cut = 3;
        flush();
        CHECK(log_start_on_disk() == 5);
    }
    SUBCASE("with a flush under way") {
        cut = 3;
        const auto work = log->begin_flush();
        REQUIRE(work);
        REQUIRE(log->truncate_to(Offset(cut), wall(now_ms)));
        REQUIRE(log->finish_flush(**work));
    }
    SUBCASE("by one that begins anew elsewhere") {
        flush();
        REQUIRE(log->restart_at(Offset(2), wall(now_ms)));
        CHECK_FALSE(log->is_deleting());
        lose_power_and_open(6);
        CHECK(log->log_start_offset() == Offset(2));
        CHECK(log->log_end_offset() == Offset(2));
        return;
    }
    REQUIRE(log->truncate_to(Offset(cut), wall(now_ms)));
    CHECK_FALSE(log->is_deleting());
    CHECK(log->log_start_offset() == Offset(0));
    CHECK(log_start_on_disk() == 0);
    CHECK(read_all(0).size() == static_cast<size_t>(cut));
    lose_power_and_open(6);
    REQUIRE_FALSE(log->failure());
    CHECK(log->log_start_offset() == Offset(0));
    CHECK(log->log_end_offset() == Offset(cut));
}

TEST_CASE_FIXTURE(Retention, "a stop completes a deletion") {
    append_segments(4);
    REQUIRE(begin_retention());
    SUBCASE("that no flush has carried") {}
    SUBCASE("half of which is done") {
        flush();
    }
    close_and_open();
    CHECK(log->log_start_offset() == Offset(4));
    CHECK(log_start_on_disk() == 4);
    CHECK_FALSE(has_name_with(".deleted"));
    CHECK(knows_producer());
}

TEST_CASE_FIXTURE(Retention, "a deletion that finds no room is given up until the next time") {
    append_segments(4);
    disk.is_full = true;
    disk.full_suffix = "log-start.tmp";
    const auto begun = log->apply_retention(wall(kNowMs + 5000), Offset(4));
    REQUIRE_FALSE(begun);
    CHECK(begun.error().code == Code::storage_full);
    CHECK_FALSE(log->is_deleting());
    CHECK_FALSE(has_name_with("log-start"));
    append_segments(1);
    flush();
    disk.is_full = false;
    CHECK(retain(kNowMs + 5000, Offset(5)) == 5);
    CHECK(knows_producer());
}

TEST_CASE_FIXTURE(Retention, "a failed sync of a deletion puts the log out of use, as any other") {
    append_segments(4);
    REQUIRE(begin_retention());
    bool is_named = false;
    SUBCASE("the first one") {}
    SUBCASE("the second one") {
        flush();
        is_named = true;
    }
    const auto work = log->begin_flush();
    REQUIRE(work);
    log->fail(Error(Code::storage_io, "sync"));
    REQUIRE(log->finish_flush(**work));
    CHECK(log->log_start_offset() == Offset(0));
    CHECK(disk.has(segment(0)));
    kill_and_open(is_named ? 4 : 0);
    CHECK(log->log_start_offset() == Offset(is_named ? 4 : 0));
    CHECK(knows_producer());
}

} // namespace
