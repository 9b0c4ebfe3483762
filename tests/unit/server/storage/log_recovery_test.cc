#include "server/storage/partition_files.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

TEST_CASE_FIXTURE(LogFixture, "kill -9 loses nothing that was written") {
    config.segment_bytes = 1000;
    log->set_config(config);
    for (int i = 0; i < 40; i++) {
        append({.count = 2}, i / 10);
    }
    const auto before = read_all(0);
    kill_and_open();
    CHECK(disk.open_files() == 0);
    CHECK(log->is_cold());
    CHECK(log->log_end_offset() == Offset(80));
    CHECK(log->synced_end_offset() == Offset(80));
    CHECK(read_all(0) == before);
    CHECK(log->epoch_end(LeaderEpoch(1))->end_offset == Offset(40));
    CHECK(log->latest_epoch() == LeaderEpoch(3));
    CHECK(append().base_offset == Offset(80));
    lose_power_and_open(80); // recovery had synced what it found
    CHECK(read_all(0) == before);
}

TEST_CASE_FIXTURE(LogFixture, "power loss keeps what was flushed, whatever happens to the rest") {
    config.segment_bytes = 700;
    log->set_config(config);
    for (int i = 0; i < 10; i++) {
        append({.value_size = 60});
    }
    flush();
    for (int i = 0; i < 10; i++) {
        append({.value_size = 60});
    }
    lose_power_and_open(10);
    REQUIRE_FALSE(log->failure());
    CHECK(log->log_end_offset() >= Offset(10));
    CHECK(read_all(0).size() == static_cast<size_t>(log->log_end_offset().value()));
    append();
    CHECK(read_all(0).size() == static_cast<size_t>(log->log_end_offset().value()));
}

TEST_CASE_FIXTURE(LogFixture, "the last batch torn at every byte") {
    append({.count = 2});
    append({.count = 2});
    const size_t keep = disk.bytes(segment(0)).size();
    append({.count = 2});
    const std::vector<std::byte> whole = disk.bytes(segment(0));
    for (size_t size = keep; size < whole.size(); size++) {
        for (const bool zeroes : {false, true}) { // cut off, or of the right size and not written
            log.reset();
            disk.bytes(segment(0)) = whole;
            disk.bytes(segment(0)).resize(size);
            if (zeroes) {
                disk.bytes(segment(0)).resize(whole.size());
            }
            // The last byte of a batch is the count of headers, a zero.
            const bool is_whole = disk.bytes(segment(0)) == whole;
            kill_and_open(4);
            REQUIRE_FALSE(log->failure());
            CHECK(log->log_end_offset() == Offset(is_whole ? 6 : 4));
            CHECK(disk.bytes(segment(0)).size() == (is_whole ? whole.size() : keep));
        }
    }
    const Offset end = log->log_end_offset();
    CHECK(append().base_offset == end);
    CHECK(read_all(0).size() >= 3);
}

TEST_CASE_FIXTURE(LogFixture, "garbage behind the last batch is cut off") {
    append({.count = 3});
    const std::vector<std::byte> good = disk.bytes(segment(0));
    for (const size_t size : {1u, 12u, 60u, 61u, 62u, 500u, 5000u}) {
        for (const std::byte fill :
             {std::byte{0}, std::byte{0xff}, std::byte{2}, std::byte{0x7f}}) {
            disk.bytes(segment(0)) = good;
            disk.bytes(segment(0)).resize(good.size() + size, fill);
            kill_and_open(3);
            REQUIRE_FALSE(log->failure());
            CHECK(log->log_end_offset() == Offset(3));
            CHECK(disk.bytes(segment(0)) == good);
        }
    }
}

TEST_CASE_FIXTURE(LogFixture,
                  "any flipped bit below the recovery point is damage; nothing is cut") {
    for (int i = 0; i < 3; i++) {
        append({.value_size = 10});
    }
    const std::vector<std::byte> good = disk.bytes(segment(0));
    const size_t batch = good.size() / 3;
    for (size_t at = batch; at < 2 * batch; at++) {
        if (at >= batch + 12 && at < batch + 16) {
            continue; // the leader epoch, which the checksum does not cover
        }
        std::vector<std::byte> bad = good;
        bad[at] ^= std::byte{1};
        disk.bytes(segment(0)) = bad;
        kill_and_open(3);
        REQUIRE(log->failure());
        CHECK(log->failure()->code == Code::storage_damaged);
        CHECK(disk.bytes(segment(0)) == bad);
        CHECK(log->state_for_checkpoint().synced_end_offset == Offset(3));
        CHECK(log->read(Offset(0), Offset(3), 100).error().code == Code::storage_damaged);
        // Above the recovery point it is a torn tail, and what is whole behind it is kept aside.
        kill_and_open(1);
        REQUIRE_FALSE(log->failure());
        CHECK(log->log_end_offset() == Offset(1));
    }
    disk.bytes(segment(0)) = good;
    disk.bytes(segment(0))[batch + 70] ^= std::byte{1};
    kill_and_open(1);
    CHECK(has_name_with(".discarded"));
}

TEST_CASE_FIXTURE(
    LogFixture,
    "a flipped base offset is damage below the recovery point, and a torn tail above it") {
    for (int i = 0; i < 3; i++) {
        append({.count = 2});
    }
    const std::vector<std::byte> good = disk.bytes(segment(0));
    const size_t batch = good.size() / 3;
    for (size_t bit = 0; bit < size_t{3} * 64; bit++) {
        CAPTURE(bit);
        std::vector<std::byte> bad = good;
        bad[bit / 64 * batch + bit % 64 / 8] ^= std::byte{1} << bit % 8;
        disk.bytes(segment(0)) = bad;
        for (const int64_t recovery_point : {2, 4, 6}) {
            disk.bytes(segment(0)) = bad;
            kill_and_open(recovery_point);
            if (const auto sound = static_cast<int64_t>(bit / 64 * 2); sound < recovery_point) {
                REQUIRE(log->failure());
                CHECK(log->failure()->code == Code::storage_damaged);
                CHECK(disk.bytes(segment(0)) == bad);
            } else if (sound < 4) { // a torn tail
                REQUIRE_FALSE(log->failure());
                CHECK(log->log_end_offset() == Offset(sound));
            }
        }
    }
}

TEST_CASE_FIXTURE(LogFixture,
                  "after a clean stop no reader gets a batch with a flipped base offset") {
    constexpr size_t kBatches = 5;
    for (size_t i = 0; i < kBatches; i++) {
        append({.count = 2});
    }
    close_and_open();
    const std::vector<std::byte> good = disk.bytes(segment(0));
    const size_t batch = good.size() / kBatches;
    // Whether somebody reads on from `from` to the end; what there is until then is right.
    const auto reads_to_end = [&](int64_t from, uint32_t bytes_max) {
        Offset next(from);
        while (next < Offset(kBatches * 2)) {
            const Result<ReadInfo> info = log->read(next, Offset(kBatches * 2), bytes_max);
            if (!info) {
                CHECK(info.error().code == Code::storage_damaged);
                return false;
            }
            for (uint64_t at = info->range.position; at < info->range.position + info->range.size;
                 at += batch) {
                CHECK(load_be<int64_t>(disk.bytes(segment(0)).data() + at) ==
                      static_cast<int64_t>(at / batch * 2));
            }
            next =
                Offset(static_cast<int64_t>((info->range.position + info->range.size) / batch) * 2);
        }
        return true;
    };
    for (size_t bit = 0; bit < kBatches * 64; bit++) {
        for (const uint32_t bytes_max : {1U, static_cast<uint32_t>(2 * batch), 1'000'000U}) {
            CAPTURE(bit);
            disk.bytes(segment(0)) = good;
            disk.bytes(segment(0))[bit / 64 * batch + bit % 64 / 8] ^= std::byte{1} << bit % 8;
            open();
            CHECK_FALSE(reads_to_end(0, bytes_max));
        }
    }
}

TEST_CASE_FIXTURE(LogFixture, "missing files below the recovery point are damage") {
    config.segment_bytes = 200;
    log->set_config(config);
    for (int i = 0; i < 4; i++) {
        append({.value_size = 60});
    }
    SUBCASE("the last segment") {
        REQUIRE(disk.remove(segment(3)));
    }
    SUBCASE("all segments") {
        for (int i = 0; i < 4; i++) {
            REQUIRE(disk.remove(segment(i)));
        }
    }
    SUBCASE("the owner") {
        REQUIRE(disk.remove(directory + "/" + kPartitionMetaName));
    }
    SUBCASE("the directory") {
        REQUIRE(disk.rename(directory, "/data/elsewhere"));
    }
    kill_and_open(4);
    REQUIRE(log->failure());
    CHECK(log->failure()->code == Code::storage_damaged);
}

TEST_CASE_FIXTURE(LogFixture, "a missing segment in the middle is noticed when it is read") {
    config.segment_bytes = 200;
    log->set_config(config);
    for (int i = 0; i < 4; i++) {
        append({.value_size = 60});
    }
    REQUIRE(disk.remove(segment(1)));
    kill_and_open(4);
    CHECK(log->read(Offset(0), Offset(4), 1));
    CHECK(log->read(Offset(1), Offset(4), 1).error().code == Code::storage_damaged);
}

TEST_CASE_FIXTURE(LogFixture, "index files may be lost, damaged or of another time") {
    config.segment_bytes = 1500;
    config.index_interval_bytes = 150;
    log->set_config(config);
    for (int i = 0; i < 40; i++) {
        append({.time = kNowMs + i});
    }
    const auto before = read_all(0);
    flush();
    REQUIRE(log->close());
    const PartitionState state = log->state_for_checkpoint();
    REQUIRE(disk.has(segment(0, ".qindex")));
    const std::vector<std::byte> index = disk.bytes(segment(0, ".qindex"));
    const auto check = [&] {
        for (const bool is_clean : {true, false}) {
            hint.clean.reset();
            if (is_clean) {
                hint.clean = state;
            }
            hint.recovery_point = Offset(40);
            open();
            REQUIRE_FALSE(log->failure());
            for (int64_t from = 0; from < 40; from++) {
                REQUIRE(read_all(from).size() == static_cast<size_t>(40 - from));
            }
            const auto found = log->find_by_time(kNowMs + 5, Offset(40));
            REQUIRE(found);
            REQUIRE(*found);
            CHECK((*found)->offset == Offset(5));
            REQUIRE(log->close());
        }
    };
    SUBCASE("lost") {
        for (const std::string& name : disk.names(directory)) {
            if (name.ends_with(".qindex")) {
                REQUIRE(disk.remove(directory + "/" + name));
            }
        }
        check();
    }
    SUBCASE("cut or flipped anywhere") {
        for (size_t at = 0; at < index.size(); at += 3) {
            disk.bytes(segment(0, ".qindex")) = index;
            disk.bytes(segment(0, ".qindex")).resize(at);
            check();
            disk.bytes(segment(0, ".qindex")) = index;
            disk.bytes(segment(0, ".qindex"))[at] ^= std::byte{0x10};
            check();
        }
    }
    CHECK(read_all(0) == before);
}

TEST_CASE_FIXTURE(LogFixture, "a late removal leaves the directory of a topic of the same name") {
    append();
    const std::unique_ptr<Log> deleted = std::move(log);
    hint.key = PartitionKey{topic_id(2), PartitionIndex(0)};
    open(); // created again before the first one's files were removed
    append();
    REQUIRE(deleted->remove_all());
    CHECK(disk.has("/data/t-0/00000000000000000000.log"));
    CHECK(append().base_offset == Offset(1));
}

TEST_CASE_FIXTURE(LogFixture, "what another topic left under the name goes into quarantine") {
    append();
    flush();
    log.reset();
    hint.key.topic_id = topic_id(2);
    open();
    REQUIRE_FALSE(log->failure());
    CHECK(log->log_end_offset() == Offset(0));
    CHECK(disk.has("/data/.quarantine/t-0/00000000000000000000.log"));
    append();
    CHECK(read_all(0).size() == 1);
}

TEST_CASE_FIXTURE(LogFixture, "deleted records stay deleted, and the log goes on behind them") {
    config.segment_bytes = 300;
    log->set_config(config);
    for (int i = 0; i < 10; i++) {
        append({.count = 2, .value_size = 60});
    }
    CHECK(log->advance_log_start(Offset(21)).error().code == Code::offset_out_of_range);
    delete_below(Offset(7));
    delete_below(Offset(3)); // changes nothing
    CHECK(log->log_start_offset() == Offset(7));
    CHECK_FALSE(disk.has(segment(0)));
    CHECK(has_name_with(".deleted"));
    CHECK(log->read(Offset(6), Offset(20), 10).error().code == Code::offset_out_of_range);
    CHECK(read_all(7).size() == 7);
    SUBCASE("after a kill") {
        kill_and_open(0);
    }
    SUBCASE("after a clean stop") {
        close_and_open();
    }
    CHECK_FALSE(has_name_with(".deleted"));
    CHECK(log->log_start_offset() == Offset(7));
    CHECK(read_all(7).size() == 7);
}

TEST_CASE_FIXTURE(LogFixture, "records deleted that were never synced: power loss is no damage") {
    for (int i = 0; i < 10; i++) {
        append();
    }
    flush();
    for (int i = 0; i < 10; i++) {
        append();
    }
    REQUIRE(write_log_start(disk, directory, Offset(15)));
    lose_power_and_open(10);
    REQUIRE_FALSE(log->failure());
    CHECK(log->log_start_offset() == Offset(15));
    CHECK(log->log_end_offset() == Offset(15));
    CHECK(append().base_offset == Offset(15));
    close_and_open();
    CHECK(read_all(15).size() == 1);
    kill_and_open(16);
    CHECK(read_all(15).size() == 1);
}

TEST_CASE_FIXTURE(LogFixture, "a crash at any step of appends and rolls") {
    for (int steps = 0; steps < 80; steps++) {
        LogFixture f;
        f.config.segment_bytes = 300;
        f.log->set_config(f.config);
        f.disk.changes_left = steps;
        int64_t acknowledged = 0;
        int64_t synced = 0;
        for (int i = 0; i < 8; i++) {
            if (!f.try_append({.value_size = 150, .producer = 7, .sequence = i})) {
                break;
            }
            acknowledged++;
            const auto work = f.log->begin_flush();
            if (!work || !*work) {
                break;
            }
            bool good = true;
            for (const port::FileRef& file : (*work)->files) {
                good = good && file->sync_blocking();
            }
            if (!good) {
                break;
            }
            REQUIRE(f.log->finish_flush(**work));
            synced++;
        }
        f.lose_power_and_open(synced);
        REQUIRE_FALSE(f.log->failure());
        CHECK(f.log->log_end_offset().value() >= synced);
        CHECK(f.log->log_end_offset().value() <= acknowledged + 1);
        CHECK(f.read_all(0).size() == static_cast<size_t>(f.log->log_end_offset().value()));
    }
}

TEST_CASE_FIXTURE(LogFixture, "a directory whose making was cut off is made again") {
    append();
    log.reset();
    REQUIRE(disk.remove(directory + "/partition.meta"));
    disk.bytes(segment(0)).clear();
    kill_and_open(0);
    REQUIRE_FALSE(log->failure());
    CHECK_FALSE(log->has_directory());
    SUBCASE("by an append") {
        CHECK(append().base_offset == Offset(0));
    }
    SUBCASE("by a log that begins elsewhere: the empty segment is gone") {
        REQUIRE(log->restart_at(Offset(20), wall(now_ms)));
        CHECK_FALSE(disk.has(segment(0)));
        append();
        flush();
        kill_and_open(21);
        CHECK(log->log_start_offset() == Offset(20));
    }
    CHECK(read_all(log->log_start_offset().value()).size() == 1);
}

TEST_CASE_FIXTURE(LogFixture, "a deleted topic leaves its name at once") {
    config.segment_bytes = 300;
    log->set_config(config);
    for (int i = 0; i < 5; i++) {
        append({.value_size = 150});
    }
    delete_below(Offset(2));
    REQUIRE(log->remove_all());
    CHECK_FALSE(disk.has(directory));
    CHECK(disk.names("/data").empty());
    CHECK(disk.open_files() == 0);
}

TEST_CASE_FIXTURE(LogFixture, "notes of a replica that left mean nothing for one that came back") {
    append({.count = 50});
    flush();
    const Offset noted = log->log_end_offset();
    REQUIRE(log->remove_all());
    int appended = 0;
    SUBCASE("nothing arrived yet") {}
    SUBCASE("some records are there") {
        appended = 3;
    }
    hint.void_until = noted;
    open();
    if (appended > 0) {
        append({.count = appended});
        flush();
    }
    hint.void_until = Offset(0);
    lose_power_and_open(noted.value());
    CHECK_FALSE(log->failure());
    CHECK(log->log_end_offset() == Offset(appended));
    append({.count = 60}); // beyond them the notes are true again
    flush();
    lose_power_and_open(log->log_end_offset().value());
    CHECK_FALSE(log->failure());
    CHECK(log->log_end_offset() == Offset(appended + 60));
}

TEST_CASE_FIXTURE(LogFixture,
                  "a deleted file that a power loss brings back is no part of the log") {
    config.segment_bytes = 200;
    log->set_config(config);
    for (int i = 0; i < 4; i++) {
        append({.value_size = 100}); // a batch takes a segment
    }
    flush();
    const std::vector<std::byte> old = disk.bytes(segment(0));
    delete_below(Offset(2));
    REQUIRE(log->restart_at(Offset(10), wall(now_ms)));
    log.reset();
    disk.put(segment(0), old);
    lose_power_and_open(4); // what is noted is of the log before
    CHECK_FALSE(log->failure());
    CHECK(log->log_start_offset() == Offset(10));
    CHECK(log->log_end_offset() == Offset(10));
    append();
    CHECK(read_all(10) == std::vector<int64_t>{10});
}

// The log start came to be between two segments when the second one began: the first stays until
// something is deleted again, and counts.
TEST_CASE_FIXTURE(LogFixture, "a segment that ends at the log start is no damage after a pause") {
    config.segment_bytes = 500;
    log->set_config(config);
    append({.value_size = 150}); // a batch takes a segment
    delete_below(Offset(1));
    append({.value_size = 400});
    REQUIRE(log->segment_count() == 2);
    SUBCASE("of an idle log") {
        flush();
        log->release_idle();
        REQUIRE(log->is_cold());
    }
    SUBCASE("of a broker that stopped") {
        close_and_open();
    }
    SUBCASE("of a broker that stopped, and the power that brings back what was deleted") {
        delete_below(Offset(2));
        append({.value_size = 400});
        REQUIRE(log->segment_count() == 2);
        REQUIRE(log->close());
        hint.clean = log->state_for_checkpoint();
        disk.put(segment(0), make_batch({.value_size = 150}));
        open();
    }
    const Offset start = log->log_start_offset();
    append();
    CHECK_FALSE(log->failure());
    CHECK(read_all(start.value()).size() == 2);
    CHECK(log->segment_count() == 3);
    delete_below(log->log_end_offset());
    CHECK(log->segment_count() == 1);
}
