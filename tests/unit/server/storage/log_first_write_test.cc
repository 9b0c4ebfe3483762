// Proves that the first append to a partition and a roll wait for no device, that a flush makes the
// new names durable with the records, and that a power loss which finds any part of that leaves a
// log that goes on: whatever subset of the flush's syncs is done before it.
#include "server/storage/partition_files.h"
#include "tests/unit/server/storage/log_fixture.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

// Syncs those files of a flush whose bit is set, and loses the power.
void lose_power_within_flush(LogFixture& f, unsigned subset, int64_t recovery_point) {
    {
        const auto work = f.log->begin_flush();
        REQUIRE(work);
        REQUIRE(*work);
        for (size_t i = 0; i < (*work)->files.size(); i++) {
            if ((subset >> i & 1U) != 0) {
                REQUIRE((*work)->files[i]->sync_blocking());
            }
        }
    }
    f.lose_power_and_open(recovery_point);
}

void check_goes_on(LogFixture& f) {
    REQUIRE_FALSE(f.log->failure());
    const Offset end = f.log->log_end_offset();
    CHECK(f.append().base_offset == end);
    f.flush();
    f.lose_power_and_open((end + 1).value());
    REQUIRE_FALSE(f.log->failure());
    CHECK(f.log->log_end_offset() == end + 1);
    CHECK(f.read_all(0).size() == static_cast<size_t>((end + 1).value()));
}

} // namespace

TEST_CASE("log: a first append makes nothing durable before its flush") {
    LogFixture f;
    f.append();
    CHECK(f.disk.has("/data/t-0"));
    f.lose_power_and_open(0);
    CHECK_FALSE(f.disk.has("/data/t-0"));
    CHECK(f.log->log_end_offset() == Offset(0));

    f.append();
    const auto work = f.log->begin_flush();
    REQUIRE(work);
    REQUIRE(*work);
    CHECK((*work)->files.size() == 4); // segment, its directory, whose it is, the parent
    CHECK((*work)->has_parent);
    for (const port::FileRef& file : (*work)->files) {
        REQUIRE(file->sync_blocking());
    }
    REQUIRE(f.log->finish_flush(**work));
    f.append();
    const auto next = f.log->begin_flush();
    REQUIRE(next);
    REQUIRE(*next);
    CHECK((*next)->files.size() == 1);
    CHECK_FALSE((*next)->has_parent);
}

TEST_CASE("log: a power loss within the first flush leaves a log that goes on") {
    constexpr unsigned kAll = 15;
    for (unsigned subset = 0; subset <= kAll; subset++) {
        CAPTURE(subset);
        LogFixture f;
        f.append();
        lose_power_within_flush(f, subset, 0);
        CHECK(f.log->log_end_offset() == Offset(subset == kAll ? 1 : 0));
        check_goes_on(f);
    }
}

TEST_CASE("log: a power loss within the flush of a roll loses nothing that was flushed") {
    for (unsigned subset = 0; subset < 8; subset++) {
        CAPTURE(subset);
        LogFixture f;
        f.config.segment_bytes = 250;
        f.open();
        f.append();
        f.flush();
        while (f.log->segment_count() < 2) {
            f.append();
        }
        const Offset end = f.log->log_end_offset();
        lose_power_within_flush(f, subset, 1);
        CHECK(f.log->log_end_offset() >= Offset(1));
        if (subset == 7) {
            CHECK(f.log->log_end_offset() == end);
        }
        check_goes_on(f);
    }
}

TEST_CASE("log: what a killed process left in the page cache is durable when it is read again") {
    LogFixture f;
    f.append();
    f.kill_and_open(0);
    REQUIRE(f.log->log_end_offset() == Offset(1));
    f.lose_power_and_open(1);
    REQUIRE_FALSE(f.log->failure());
    CHECK(f.read_all(0).size() == 1);
}

TEST_CASE("log: a close makes a new log durable, with and without records") {
    LogFixture f;
    f.append();
    f.close_and_open();
    f.log.reset();
    f.disk.lose_power();
    f.open();
    CHECK(f.read_all(0).size() == 1);

    LogFixture full;
    full.disk.is_full = true;
    full.disk.full_suffix = ".log";
    CHECK(full.try_append().error().code == Code::storage_full);
    full.disk.is_full = false;
    full.close_and_open();
    full.log.reset();
    full.disk.lose_power();
    full.open();
    check_goes_on(full);
}

TEST_CASE("log: records without the file that says whose they are") {
    const std::string meta = "/data/t-0/partition.meta";
    std::vector<std::byte> whole;
    {
        LogFixture f;
        f.append();
        f.flush();
        whole = f.disk.bytes(meta);
    }
    // Cut anywhere, or zeros in its place: nothing of it was flushed, so nothing was acknowledged.
    for (size_t size = 0; size <= whole.size(); size++) {
        const bool is_zeros = size == whole.size();
        CAPTURE(size);
        LogFixture f;
        f.append();
        f.flush();
        std::vector<std::byte> torn(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
        if (is_zeros) {
            std::fill(torn.begin(), torn.end(), std::byte{0});
        }
        f.disk.put(meta, torn);
        f.kill_and_open(0);
        REQUIRE_FALSE(f.log->failure());
        CHECK(f.log->log_end_offset() == Offset(0));
        CHECK(f.disk.has("/data/.quarantine/t-0/00000000000000000000.log"));
        check_goes_on(f);
    }
    // Known to have been flushed, or changed where it stands: that is damage.
    for (const bool is_known : {false, true}) {
        CAPTURE(is_known);
        LogFixture f;
        f.append();
        f.flush();
        std::vector<std::byte> bad = whole;
        if (is_known) {
            bad.resize(bad.size() / 2);
        } else {
            bad[bad.size() / 2] ^= std::byte{1};
        }
        f.disk.put(meta, bad);
        f.kill_and_open(is_known ? 1 : 0);
        REQUIRE(f.log->failure());
        CHECK(f.log->failure()->code == Code::storage_damaged);
    }
}
