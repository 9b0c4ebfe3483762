#include "server/storage/segment.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <limits>

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

static_assert(sizeof(Log) < 1024, "a partition that is not used stays small");

TEST_CASE_FIXTURE(LogFixture, "nothing is created before the first append") {
    CHECK(disk.names("/data").empty());
    CHECK(log->log_end_offset() == Offset(0));
    const auto nothing = log->read(Offset(0), Offset(10), 1000);
    REQUIRE(nothing);
    CHECK(nothing->range.size == 0);
    CHECK(log->read(Offset(1), Offset(10), 1000).error().code == Code::offset_out_of_range);
    CHECK(disk.names("/data").empty());
}

TEST_CASE_FIXTURE(LogFixture, "a segment holds the batches exactly as they were sent, patched") {
    std::vector<std::byte> first = make_batch({.count = 3});
    std::vector<std::byte> second = make_batch({.count = 2});
    REQUIRE(log->append(first, LeaderEpoch(4), wall(now_ms)));
    const auto info = log->append(second, LeaderEpoch(4), wall(now_ms));
    REQUIRE(info);
    CHECK(info->base_offset == Offset(3));
    CHECK(info->last_offset == Offset(4));
    std::vector<std::byte> expected = first; // patched in place by append
    expected.insert(expected.end(), second.begin(), second.end());
    CHECK(disk.bytes(segment(0)) == expected);
    const auto header = protocol::parse_batch_header(second);
    REQUIRE(header);
    CHECK(header->base_offset == Offset(3));
    CHECK(header->partition_leader_epoch == LeaderEpoch(4));
    REQUIRE(log->close());
    CHECK(disk.bytes(segment(0)) == expected); // nothing is added at the end
}

TEST_CASE_FIXTURE(LogFixture, "what no flush covers is handed to the disk in pieces of some MiB") {
    for (int i = 0; i < 16; i++) {
        append({.value_size = 1'000'000});
    }
    REQUIRE(disk.write_backs.size() == 2);
    const auto [first, size] = disk.write_backs[0];
    CHECK(first == 0);
    CHECK(disk.write_backs[1].first == size);                                    // nothing twice
    CHECK(disk.write_backs[1].first + disk.write_backs[1].second <= 12'000'000); // not the end
    disk.write_backs.clear();
    flush();
    for (int i = 0; i < 11; i++) {
        append({.value_size = 1'000'000});
        flush();
    }
    CHECK(disk.write_backs.empty());
}

TEST_CASE_FIXTURE(LogFixture, "reading from every offset over many segments, cold and hot") {
    config.segment_bytes = 2000;
    config.index_interval_bytes = 300;
    log->set_config(config);
    std::vector<int64_t> bases;
    for (int i = 0; i < 100; i++) {
        bases.push_back(append({.count = 1 + i % 4, .value_size = 30}).base_offset.value());
    }
    REQUIRE(log->segment_count() > 5);
    const auto check_all = [&] {
        for (int64_t from = 0; from < log->log_end_offset().value(); from++) {
            const auto at = std::upper_bound(bases.begin(), bases.end(), from) - 1;
            const std::vector<int64_t> rest(at, bases.end());
            CHECK(read_all(from) == rest);
        }
    };
    check_all();
    CHECK(read_all(0, 1) == bases); // each batch alone
    CHECK(read_all(0, 500) == bases);
    flush();
    log->release_idle();
    CHECK(log->is_cold());
    CHECK(disk.open_files() == 0);
    check_all();
    append();
    CHECK(disk.open_files() < 40);
    close_and_open();
    bases.push_back(log->log_end_offset().value() - 1);
    check_all();
}

TEST_CASE_FIXTURE(LogFixture, "a read ends before the bound and within the bytes asked for") {
    config.index_interval_bytes = 200;
    log->set_config(config);
    for (int i = 0; i < 200; i++) { // more than the ring of the tail holds
        append({.count = 2});
    }
    const uint64_t size = disk.bytes(segment(0)).size() / 200;
    for (const int64_t from : {0, 1, 2, 50, 399, 398, 300}) {
        for (const int64_t end : {1, 2, 3, 51, 52, 200, 300, 301, 399, 400, 500}) {
            const auto info = log->read(Offset(from), Offset(end), 1'000'000);
            REQUIRE(info);
            if (from >= end) {
                CHECK(info->range.size == 0);
                continue;
            }
            // Batches 2n whose base offset lies below the bound.
            const int64_t count = (std::min<int64_t>(end, 400) + 1) / 2 - from / 2;
            CHECK(info->range.size == static_cast<uint64_t>(count) * size);
        }
        const auto three =
            log->read(Offset(from), Offset(400), static_cast<uint32_t>(3 * size + 7));
        REQUIRE(three);
        CHECK(three->range.size ==
              std::min<uint64_t>(3, 200 - static_cast<uint64_t>(from / 2)) * size);
        CHECK(log->read(Offset(from), Offset(400), 0)->range.size == size);
    }
}

TEST_CASE_FIXTURE(LogFixture, "segments roll by size, by time and when the index is full") {
    SUBCASE("size") {
        config.segment_bytes = 1000;
        log->set_config(config);
        for (int i = 0; i < 20; i++) {
            append({.value_size = 200});
        }
        CHECK(log->segment_count() == 7);
    }
    SUBCASE("time") {
        config.segment_ms = 1000;
        log->set_config(config);
        append({.time = kNowMs});
        append({.time = kNowMs + 1000});
        CHECK(log->segment_count() == 1);
        append({.time = kNowMs + 1001});
        CHECK(log->segment_count() == 2);
        close_and_open();
        append({.time = kNowMs + 2001});
        CHECK(log->segment_count() == 2);
        append({.time = kNowMs + 2002});
        CHECK(log->segment_count() == 3);
    }
    SUBCASE("index") {
        config.index_interval_bytes = 0;
        config.segment_index_bytes = 100; // five entries of 20 bytes
        log->set_config(config);
        for (int i = 0; i < 12; i++) {
            append();
        }
        CHECK(log->segment_count() == 2);
    }
    CHECK(read_all(0).size() == static_cast<size_t>(log->log_end_offset().value()));
}

TEST_CASE_FIXTURE(LogFixture, "what does not pass the gate changes nothing") {
    std::vector<std::byte> bad = make_batch();
    bad.back() ^= std::byte{1};
    CHECK(log->append(bad, LeaderEpoch(0), wall(now_ms)).error().code == Code::corrupt);
    config.max_message_bytes = 100;
    log->set_config(config);
    CHECK(try_append({.value_size = 200}).error().code == Code::message_too_large);
    CHECK(log->log_end_offset() == Offset(0));
    CHECK(disk.names("/data").empty());
}

TEST_CASE_FIXTURE(LogFixture, "a full disk refuses appends and forgets nothing") {
    disk.is_full = true;
    CHECK(try_append().error().code == Code::storage_full);
    disk.is_full = false;
    append();
    append();
    disk.is_full = true;
    const size_t size = disk.bytes(segment(0)).size();
    for (int i = 0; i < 3; i++) {
        CHECK(try_append({.value_size = 500}).error().code == Code::storage_full);
    }
    CHECK(disk.bytes(segment(0)).size() == size);
    CHECK(read_all(0).size() == 2);
    CHECK_FALSE(log->failure());
    disk.is_full = false;
    CHECK(append().base_offset == Offset(2));
    kill_and_open(2);
    CHECK(read_all(0).size() == 3);
}

TEST_CASE_FIXTURE(LogFixture, "a full disk is read from, also where there is no room for indexes") {
    append();
    append();
    flush();
    log.reset();
    REQUIRE(disk.remove(segment(0, ".qindex")));
    disk.is_full = true;
    kill_and_open(2);
    CHECK(read_all(0).size() == 2);
    CHECK_FALSE(disk.exists(segment(0, ".qindex")).value());
    disk.is_full = false;
    CHECK(append().base_offset == Offset(2));
    CHECK(read_all(1).size() == 2);
}

TEST_CASE_FIXTURE(LogFixture, "a full disk at a roll") {
    config.segment_bytes = 200;
    log->set_config(config);
    append({.value_size = 60});
    disk.is_full = true;
    CHECK(try_append({.value_size = 60}).error().code == Code::storage_full);
    CHECK(try_append({.value_size = 60}).error().code == Code::storage_full);
    disk.is_full = false;
    append({.value_size = 60});
    CHECK(read_all(0).size() == 2);
    close_and_open();
    CHECK(read_all(0).size() == 2);
}

TEST_CASE_FIXTURE(LogFixture, "a log that cannot open its file now can later") {
    append();
    flush();
    log->release_idle();
    disk.fails_open = true;
    CHECK_FALSE(try_append());
    CHECK_FALSE(log->failure());
    disk.fails_open = false;
    CHECK(append().base_offset == Offset(1));
}

TEST_CASE_FIXTURE(LogFixture, "a failed sync puts the log out of use") {
    append();
    disk.fails_sync = true;
    const auto work = log->begin_flush();
    REQUIRE(work);
    REQUIRE(*work);
    const Result<void> synced = (*work)->files[0]->sync_blocking();
    REQUIRE_FALSE(synced);
    log->fail(synced.error());
    CHECK(try_append().error().code == Code::storage_offline);
    CHECK_FALSE(log->close());
    CHECK_FALSE(log->state_for_checkpoint().is_clean);
    CHECK(log->state_for_checkpoint().synced_end_offset == Offset(0));
}

TEST_CASE_FIXTURE(LogFixture, "a flush covers what was written before it began") {
    config.segment_bytes = 500;
    log->set_config(config);
    for (int i = 0; i < 10; i++) {
        append({.value_size = 100});
    }
    const auto work = log->begin_flush();
    REQUIRE(work);
    REQUIRE(*work);
    CHECK((*work)->files.size() == log->segment_count() + 3); // and the names: the log is new
    CHECK((*work)->parts.size() == log->segment_count());
    append({.value_size = 100});
    for (const port::FileRef& file : (*work)->files) {
        REQUIRE(file->sync_blocking());
    }
    REQUIRE(log->finish_flush(**work));
    CHECK(log->synced_end_offset() == Offset(10));
    log->release_idle();
    CHECK_FALSE(log->is_cold()); // one batch is not synced
    flush();
    CHECK(log->synced_end_offset() == Offset(11));
    CHECK_FALSE(*log->begin_flush());
}

TEST_CASE_FIXTURE(LogFixture, "files open at once are bounded, however many segments are written") {
    config.segment_bytes = 300;
    log->set_config(config);
    for (int i = 0; i < 100; i++) {
        append({.value_size = 150});
    }
    CHECK(log->segment_count() == 100);
    CHECK(disk.open_files() < 30);
    flush();
    CHECK(log->synced_end_offset() == Offset(100));
}

TEST_CASE_FIXTURE(LogFixture, "after a clean stop no file is touched before it is needed") {
    append({.count = 5}, 1);
    append({.count = 5}, 3);
    REQUIRE(log->close());
    const int opens = disk.opens();
    close_and_open();
    CHECK(disk.opens() == opens);
    CHECK(disk.open_files() == 0);
    CHECK(log->log_end_offset() == Offset(10));
    CHECK(log->epoch_end(LeaderEpoch(1))->end_offset == Offset(5));
    CHECK(log->latest_epoch() == LeaderEpoch(3));
    CHECK(read_all(0).size() == 2);
    CHECK(log->state_for_checkpoint().is_clean == false); // hot
}

TEST_CASE_FIXTURE(LogFixture,
                  "a clean state that does not fit the files is damage, not an empty log") {
    append();
    append();
    REQUIRE(log->close());
    hint.clean = log->state_for_checkpoint();
    disk.bytes(segment(0)).resize(100);
    open();
    CHECK(log->read(Offset(0), Offset(2), 100).error().code == Code::storage_damaged);
    CHECK(try_append().error().code == Code::storage_damaged);
    CHECK(disk.bytes(segment(0)).size() == 100);
}

TEST_CASE_FIXTURE(LogFixture, "LogAppendTime") {
    config.timestamp_type = protocol::TimestampType::log_append_time;
    log->set_config(config);
    CHECK(append({.time = 5}).log_append_time_ms == kNowMs);
    const auto found = log->find_by_time(kNowMs, log->log_end_offset());
    REQUIRE(found);
    REQUIRE(*found);
    CHECK((*found)->offset == Offset(0));
}

TEST_CASE_FIXTURE(LogFixture, "offsets by time") {
    config.segment_bytes = 1000;
    config.index_interval_bytes = 200;
    log->set_config(config);
    for (int i = 0; i < 50; i++) { // times rise by 10 a batch, but one batch is early, one late
        append({.count = 2, .time = kNowMs + (i == 20 ? 300 : i == 30 ? 5000 : i * 10)}, i / 10);
    }
    const auto first_at = [&](int64_t time) {
        const auto found = log->find_by_time(time, log->log_end_offset());
        REQUIRE(found);
        return *found ? (*found)->offset.value() : -1;
    };
    for (int round = 0; round < 3; round++) {
        CHECK(first_at(0) == 0);
        CHECK(first_at(kNowMs) == 0);
        CHECK(first_at(kNowMs + 1) == 1);
        CHECK(first_at(kNowMs + 2) == 2);
        CHECK(first_at(kNowMs + 195) == 40); // the early 300
        CHECK(first_at(kNowMs + 302) == 60);
        CHECK(first_at(kNowMs + 5001) == 61);
        CHECK(first_at(kNowMs + 5002) == -1);
        const auto greatest = log->max_timestamp_offset();
        REQUIRE(greatest);
        REQUIRE(*greatest);
        CHECK((*greatest)->offset == Offset(61));
        CHECK((*greatest)->timestamp_ms == kNowMs + 5001);
        CHECK((*greatest)->leader_epoch == LeaderEpoch(3));
        CHECK_FALSE(*log->find_by_time(kNowMs + 302, Offset(60)));
        if (round == 0) {
            close_and_open();
        } else {
            kill_and_open(100);
        }
    }
    delete_below(Offset(62));
    CHECK(first_at(0) == 62);
    CHECK((*log->max_timestamp_offset())->timestamp_ms == kNowMs + 491);
}
