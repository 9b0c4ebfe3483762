// Proves that a compacted log keeps the latest value of each key, whatever happens: a crash after
// any change on disk, with and without the page cache, a full disk, a map too small, deletions
// meanwhile; and that it keeps no more than it should: older values, tombstones behind their
// horizon, needless segments.
#include "tests/unit/server/storage/compaction_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

// Five keys written over and over, one deleted, in several segments.
void write_history(CompactionFixture& f, int rounds = 6) {
    for (int round = 0; round < rounds; round++) {
        for (int key = 0; key < 5; key++) {
            f.append_keyed({{"k" + std::to_string(key), "v" + std::to_string(round)},
                            {"once" + std::to_string(round * 5 + key), "o"}});
        }
        if (round == 2) {
            f.append_keyed({{"k4", std::nullopt}, {"gone", "x"}, {"gone", std::nullopt}});
        }
    }
    f.append_keyed({{"k3", std::nullopt}});
    f.fill_segment();
}

} // namespace

TEST_CASE_FIXTURE(CompactionFixture, "compaction: of each key the latest record stays, in place") {
    write_history(*this);
    const auto before = view();
    REQUIRE(before.latest == expected);
    const uint64_t size_before = log->size_bytes();
    const CompactionStep done = run_well();
    CHECK(done.bytes_after < done.bytes_before);
    CHECK(done.records_dropped > 0);
    const auto after = view();
    CHECK(after.latest == expected);
    CHECK(after.offsets.size() < before.offsets.size());
    for (const int64_t offset : after.offsets) { // no record got another offset
        CHECK(std::count(before.offsets.begin(), before.offsets.end(), offset) == 1);
    }
    CHECK(log->size_bytes() < size_before);
    CHECK_FALSE(log->is_compacting());
    CHECK_FALSE(has_name_with(".cleaned"));
    CHECK_FALSE(has_name_with(".swap"));
    // Every offset can be asked for, also where records are gone.
    for (int64_t from = 0; from < log->log_end_offset().value(); from++) {
        const auto info = log->read(Offset(from), log->log_end_offset(), 1);
        REQUIRE(info);
        CHECK(info->range.size > 0);
    }
    // Nothing is left to do until there are new records.
    const auto need = log->compaction_need(wall(now_ms), log->log_end_offset());
    REQUIRE(need);
    CHECK_FALSE(*need);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: no reader is sent emptied batches alone") {
    for (int i = 0; i < 200; i++) { // a dozen segments and more without a latest value
        append_keyed({{"k" + std::to_string(i % 2), std::string(30, 'v')}});
    }
    fill_segment();
    REQUIRE(log->segment_count() > 12);
    run_well();
    REQUIRE(view().latest == expected);
    // Those behind the first record there is; the rest of the log comes next, whatever the size.
    const auto info = log->read(Offset(0), log->log_end_offset(), 1);
    REQUIRE(info);
    CHECK(info->first_base_offset > Offset(100));
    const std::vector<std::byte> bytes = read_range(*info);
    CHECK(protocol::parse_batch_header(bytes)->records_count > 0);
    // Where nothing else may be read, the last batch below the bound brings the reader there.
    const Offset bound(log->log_end_offset().value() / 2);
    Offset next(0);
    for (int answers = 0; next < bound; answers++) {
        REQUIRE(answers < 2);
        const auto part = log->read(next, bound, 100'000);
        REQUIRE(part);
        REQUIRE(part->range.size > 0);
        const std::vector<std::byte> got = read_range(*part);
        protocol::BatchWalker walker(got);
        while (const protocol::BatchView* batch = *walker.next()) {
            next = batch->header.next_offset();
        }
    }
    kill_and_open(log->synced_end_offset().value());
    CHECK(view().latest == expected);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: neighbours that became small become one") {
    for (int i = 0; i < 60; i++) {
        append_keyed({{"k" + std::to_string(i % 3), std::to_string(i)}});
    }
    fill_segment();
    const uint32_t segments_before = log->segment_count();
    run_well();
    CHECK(log->segment_count() == segments_before);
    fill_segment();
    run_well();
    CHECK(log->segment_count() < segments_before / 2);
    CHECK(view().latest == expected);
    kill_and_open(log->synced_end_offset().value());
    CHECK(view().latest == expected);
}

TEST_CASE_FIXTURE(CompactionFixture,
                  "compaction: clean stops and kills in between change nothing") {
    for (int round = 0; round < 4; round++) {
        write_history(*this, 3);
        run_well();
        CHECK(view().latest == expected);
        if (round % 2 == 0) {
            close_and_open();
        } else {
            kill_and_open(log->synced_end_offset().value());
        }
        REQUIRE_FALSE(log->failure());
        CHECK(view().latest == expected);
    }
    lose_power_and_open(log->synced_end_offset().value());
    REQUIRE_FALSE(log->failure());
    CHECK(view().latest == expected);
}

TEST_CASE("compaction: a crash after any change on disk loses no latest value") {
    for (const bool power_loss : {false, true}) {
        bool finished = false;
        for (int step = 0; !finished; step++) {
            CAPTURE(power_loss);
            CAPTURE(step);
            REQUIRE(step < 500);
            CompactionFixture f;
            write_history(f);
            f.now_ms += 1000;
            const int64_t synced = f.log->synced_end_offset().value();
            REQUIRE(synced == f.log->log_end_offset().value());
            f.disk.changes_left = step;
            finished = f.run(1'000'000).has_value() && f.disk.changes_left > 0;
            if (power_loss) {
                f.lose_power_and_open(synced);
            } else {
                f.kill_and_open(synced);
            }
            REQUIRE_FALSE(f.log->failure());
            CHECK(f.log->log_end_offset().value() == synced);
            CHECK(f.view().latest == f.expected);
            CHECK_FALSE(f.has_name_with(".swap"));
            CHECK_FALSE(f.has_name_with(".cleaned"));
            // It goes on: new records, another run, another loss.
            write_history(f, 2);
            f.run_well();
            CHECK(f.view().latest == f.expected);
            f.lose_power_and_open(f.log->synced_end_offset().value());
            REQUIRE_FALSE(f.log->failure());
            CHECK(f.view().latest == f.expected);
        }
    }
}

TEST_CASE("compaction: a disk that fails at any change is survived by the running log") {
    for (int step = 0; step < 60; step++) {
        CAPTURE(step);
        CompactionFixture f;
        write_history(f);
        f.disk.changes_left = step;
        const bool finished = f.run(1'000'000).has_value();
        f.disk.changes_left.reset();
        CHECK_FALSE(f.log->is_compacting());
        if (f.log->failure()) { // undoing failed, too: a restart finds out
            f.kill_and_open(f.log->synced_end_offset().value());
        }
        REQUIRE_FALSE(f.log->failure());
        CHECK(f.view().latest == f.expected);
        f.fill_segment();
        f.run_well();
        CHECK(f.view().latest == f.expected);
        if (finished) {
            break;
        }
    }
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: a full disk ends the run, not the log") {
    write_history(*this);
    const auto before = view();
    disk.is_full = true;
    const auto step = run();
    REQUIRE_FALSE(step);
    CHECK(step.error().code == Code::storage_full);
    CHECK_FALSE(log->failure());
    CHECK_FALSE(log->uncleanable());
    CHECK(view().offsets == before.offsets);
    disk.is_full = false;
    run_well();
    CHECK(view().latest == expected);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: a failed sync of the new segment is no harm") {
    write_history(*this);
    disk.fails_sync = true;
    const auto step = run();
    REQUIRE_FALSE(step);
    disk.fails_sync = false;
    CHECK_FALSE(log->failure());
    run_well();
    CHECK(view().latest == expected);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: a tombstone goes when its horizon has passed") {
    config.delete_retention_ms = 5000;
    log->set_config(config);
    append_keyed({{"a", "1"}, {"b", "1"}});
    append_keyed({{"a", std::nullopt}});
    fill_segment();
    run_well();
    CHECK(view().tombstones == 1); // its horizon was set now
    now_ms += 4999;
    fill_segment();
    run_well();
    CHECK(view().tombstones == 1);
    now_ms += 1;
    fill_segment();
    run_well();
    CHECK(view().tombstones == 0);
    CHECK(view().latest == expected);
    CHECK(expected.count("a") == 0);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: times of records survive the horizon") {
    append_keyed({{"a", std::nullopt}, {"b", "1"}});
    const int64_t written = now_ms;
    fill_segment();
    now_ms += 100;
    run_well();
    const auto found = log->find_by_time(written, log->log_end_offset());
    REQUIRE(found);
    REQUIRE(*found);
    CHECK((*found)->offset == Offset(0));
    CHECK((*found)->timestamp_ms == written);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: the greatest time is found among what is left") {
    append_keyed({{"b", "1"}});
    now_ms += 50'000;
    append_keyed({{"a", "1"}});
    now_ms -= 50'000;
    append_keyed({{"a", "2"}});
    fill_segment();
    run_well();
    const auto found = log->max_timestamp_offset();
    REQUIRE(found);
    REQUIRE(*found);
    CHECK((*found)->timestamp_ms == now_ms);

    // An empty batch at the end of a segment has a time, but no record of it.
    now_ms += 50'000;
    while (log->segment_count() < 3) {
        append_keyed({{"a", std::string(100, 'x')}});
    }
    now_ms -= 50'000;
    append_keyed({{"a", "3"}});
    fill_segment();
    run_well();
    CHECK(view().empty_batches > 0);
    const auto again = log->max_timestamp_offset();
    REQUIRE(again);
    REQUIRE(*again);
    CHECK((*again)->timestamp_ms == now_ms);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: a map too small cleans up to what fitted") {
    means.map_bytes_max = 4 * OffsetMap::kBytesPerKey;
    for (int i = 0; i < 40; i++) {
        append_keyed({{"k" + std::to_string(i % 10), std::to_string(i)}});
    }
    fill_segment();
    const uint64_t before = log->size_bytes();
    for (int runs = 0;; runs++) {
        REQUIRE(runs < 40);
        const auto need = log->compaction_need(wall(now_ms), log->log_end_offset());
        REQUIRE(need);
        if (!*need) {
            break;
        }
        run_well();
        CHECK(view().latest == expected);
    }
    CHECK(log->size_bytes() < before);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: compressed batches keep their codec") {
    config.segment_bytes = 2000;
    log->set_config(config);
    const std::string text(200, 'z');
    for (const protocol::Compression codec :
         {protocol::Compression::gzip, protocol::Compression::snappy, protocol::Compression::lz4,
          protocol::Compression::zstd}) {
        protocol::BatchClose close;
        close.compression = codec;
        const std::string name(protocol::to_string(codec));
        append_keyed({{"twice", text + "1"}, {name, text}, {"twice", text + "2"}}, close);
    }
    fill_segment();
    run_well();
    CHECK(view().latest == expected);
    const auto info = log->read(Offset(0), Offset(1), 1);
    REQUIRE(info);
    std::vector<std::byte> bytes(info->range.size);
    REQUIRE(info->range.file->read_at(bytes, info->range.position));
    const auto header = protocol::parse_batch_header(bytes);
    REQUIRE(header);
    CHECK(header->records_count == 1);
    CHECK(header->last_offset_delta == 2);
    CHECK(*header->compression() == protocol::Compression::gzip);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: a producer's last batch stays for recovery") {
    protocol::BatchClose close;
    close.producer_id = ProducerId(7);
    close.producer_epoch = ProducerEpoch(0);
    close.base_sequence = 0;
    append_keyed({{"p", "1"}}, close);
    close.base_sequence = 1;
    append_keyed({{"p", "2"}}, close);
    append_keyed({{"p", "3"}});
    fill_segment();
    run_well();
    const auto info = log->read(Offset(1), Offset(2), 1); // alone: readers pass over it else
    REQUIRE(info);
    CHECK(info->first_base_offset == Offset(1));
    CHECK(info->first_batch_size == protocol::kBatchHeaderSize);
    // Snapshots are lost: the producer is known all the same.
    for (const std::string& name : disk.names(directory)) {
        if (name.ends_with(".snapshot")) {
            REQUIRE(disk.remove(directory + "/" + name));
        }
    }
    kill_and_open(log->synced_end_offset().value());
    close.base_sequence = 3; // a gap
    const auto gap = try_append_keyed({{"p", "4"}}, close);
    REQUIRE_FALSE(gap);
    CHECK(gap.error().code == Code::out_of_order_sequence);
    close.base_sequence = 2;
    append_keyed({{"p", "4"}}, close);
    CHECK(view().latest == expected);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: a reader of the old file finishes reading it") {
    write_history(*this);
    const auto info = log->read(Offset(0), log->log_end_offset(), 300);
    REQUIRE(info);
    std::vector<std::byte> before(info->range.size);
    REQUIRE(info->range.file->read_at(before, info->range.position) == before.size());
    run_well();
    now_ms += 1;
    retain(now_ms, log->log_end_offset()); // unlinks the old files
    CHECK_FALSE(has_name_with(".deleted"));
    std::vector<std::byte> after(info->range.size);
    REQUIRE(info->range.file->read_at(after, info->range.position) == after.size());
    CHECK(before == after);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: between the steps the log serves and grows") {
    write_history(*this);
    REQUIRE(*log->begin_compaction(wall(now_ms), log->log_end_offset(), means));
    for (bool done = false; !done;) {
        const auto step = log->step_compaction(wall(now_ms), 1);
        REQUIRE(step);
        done = step->is_done;
        append_keyed({{"k0", "new"}, {"k1", std::nullopt}});
        flush();
        log->release_idle();
        if (step->to_sync) {
            CHECK(view().latest == expected);
            log->compaction_synced(step->to_sync->sync_blocking());
        }
    }
    CHECK(view().latest == expected);
    lose_power_and_open(log->synced_end_offset().value());
    CHECK(view().latest == expected);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: segments deleted meanwhile end the run") {
    write_history(*this);
    REQUIRE(*log->begin_compaction(wall(now_ms), log->log_end_offset(), means));
    REQUIRE(log->step_compaction(wall(now_ms), 1));
    delete_below(log->log_end_offset());
    bool ended = false;
    for (int i = 0; i < 1000 && !ended; i++) {
        const auto step = log->step_compaction(wall(now_ms), 100);
        ended = !step || step->is_done;
        if (step && step->to_sync) {
            log->compaction_synced(step->to_sync->sync_blocking());
        }
    }
    CHECK(ended);
    CHECK_FALSE(log->is_compacting());
    CHECK_FALSE(log->failure());
    append_keyed({{"z", "1"}});
    CHECK(view().latest == std::map<std::string, std::string>{{"z", "1"}});
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: a damaged log is left alone and says so") {
    write_history(*this);
    disk.bytes(segment(0))[80] ^= std::byte{1};
    const auto step = run();
    REQUIRE_FALSE(step);
    CHECK(step.error().code == Code::storage_damaged);
    REQUIRE(log->uncleanable());
    CHECK_FALSE(log->failure()); // what can be read is served
    const auto need = log->compaction_need(wall(now_ms), log->log_end_offset());
    REQUIRE(need);
    CHECK_FALSE(*need);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: nothing behind the limit, nothing too young") {
    append_keyed({{"a", "1"}});
    fill_segment();
    const int64_t sealed = log->log_end_offset().value() - 1; // active: one record
    CHECK_FALSE(*log->compaction_need(wall(now_ms), Offset(0)));
    CHECK_FALSE(*log->compaction_need(wall(now_ms), Offset(sealed - 1)));
    CHECK(*log->compaction_need(wall(now_ms), Offset(sealed)));

    config.min_compaction_lag_ms = 1000;
    log->set_config(config);
    CHECK_FALSE(*log->compaction_need(wall(now_ms + 999), Offset(sealed)));
    CHECK(*log->compaction_need(wall(now_ms + 1000), Offset(sealed)));
}

TEST_CASE_FIXTURE(CompactionFixture,
                  "compaction: max.compaction.lag.ms rolls and cleans idle logs") {
    config.min_cleanable_dirty_ratio_ppm = 1'000'000; // never by the ratio
    config.max_compaction_lag_ms = 1000;
    log->set_config(config);
    append_keyed({{"a", "1"}});
    append_keyed({{"a", "2"}});
    flush();
    CHECK_FALSE(*log->compaction_need(wall(now_ms + 1000), log->log_end_offset()));
    const auto need = log->compaction_need(wall(now_ms + 1001), log->log_end_offset());
    REQUIRE(need);
    REQUIRE(*need);
    CHECK((*need)->is_overdue);
    now_ms += 1001;
    run_well();
    CHECK(view().offsets == std::vector<int64_t>{1});
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: plain compact deletes nothing by time or size") {
    config.retention_ms = 1;
    config.retention_bytes = 1;
    log->set_config(config);
    write_history(*this);
    now_ms += 1'000'000;
    CHECK(retain(now_ms, log->log_end_offset()) == 0);
    config.deletes = true; // compact,delete
    log->set_config(config);
    CHECK(retain(now_ms, log->log_end_offset()) > 0);
}

TEST_CASE_FIXTURE(CompactionFixture, "compaction: none begins while segments are about to go") {
    write_history(*this);
    REQUIRE(log->advance_log_start(Offset(5)));
    CHECK_FALSE(*log->begin_compaction(wall(now_ms), log->log_end_offset(), means));
    finish_deletion();
    CHECK(log->log_start_offset() == Offset(5));
    CHECK(*log->begin_compaction(wall(now_ms), log->log_end_offset(), means));
}

TEST_CASE("compaction: of a segment made of what is about to go and what is not nothing goes") {
    uint32_t kept = 0;
    bool is_last = false;
    for (size_t n = 1; !is_last; n++) {
        CompactionFixture f;
        write_history(f);
        f.config.segment_bytes = 1000; // room for neighbours
        f.log->set_config(f.config);
        REQUIRE(*f.log->begin_compaction(wall(f.now_ms), f.log->log_end_offset(), f.means));
        std::vector<Offset> bases;
        for (const std::string& name : f.disk.names(f.directory)) {
            if (const auto base = parse_offset_file_name(name, kLogExtension)) {
                bases.push_back(*base);
            }
        }
        is_last = n + 1 == bases.size();
        REQUIRE(f.log->advance_log_start(bases[n]));
        for (bool done = false; !done;) {
            const auto step = f.log->step_compaction(wall(f.now_ms), 1'000'000);
            REQUIRE(step);
            done = step->is_done;
            if (step->to_sync) {
                f.log->compaction_synced(step->to_sync->sync_blocking());
            }
        }
        f.finish_deletion();
        CHECK(f.log->log_start_offset() == bases[n]);
        const auto first = f.log->read(bases[n], f.log->log_end_offset(), 1);
        REQUIRE(first);
        kept += f.disk.has(f.segment(bases[n].value())) ? 0 : 1;
        f.lose_power_and_open(f.log->log_end_offset().value());
        REQUIRE_FALSE(f.log->failure());
        CHECK(f.log->log_start_offset() == bases[n]);
        CHECK(f.log->read(bases[n], f.log->log_end_offset(), 1));
    }
    CHECK(kept > 0);
}

TEST_CASE_FIXTURE(CompactionFixture,
                  "compaction: records without a key go once a topic is compacted") {
    config.compacted = false;
    log->set_config(config);
    protocol::BatchBuilder builder;
    REQUIRE(builder.append(std::nullopt, as_bytes("keyless"), {}, now_ms));
    auto batch = builder.finish({});
    REQUIRE(batch);
    REQUIRE(log->append(*batch, LeaderEpoch(0), wall(now_ms)));
    config.compacted = true;
    log->set_config(config);
    fill_segment();
    run_well();
    CHECK(view().offsets.front() > 0);
    CHECK(view().latest == expected);
}
