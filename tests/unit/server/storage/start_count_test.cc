// The count of starts on a disk in memory: it rises on a full disk, too, and is this one or the one
// before wherever the process dies.
#include "server/storage/start_count.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

const std::string kSpare = "/a/start-count.spare";

struct Fixture {
    MemoryDisk disk;

    Fixture() {
        REQUIRE(disk.make_directory("/a"));
        REQUIRE(disk.sync_directory("/"));
    }
    Result<void> write(int64_t count) { return write_start_count(disk, "/a", count); }
    int64_t read_after_power_loss() {
        disk.lose_power();
        const auto count = read_start_count(disk, "/a");
        return count ? *count : -1;
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "start count: what was written last, durably; 0 before") {
    CHECK(read_after_power_loss() == 0);
    REQUIRE(write(1));
    CHECK(read_after_power_loss() == 1);
    REQUIRE(write(2));
    CHECK(read_after_power_loss() == 2);
}

TEST_CASE_FIXTURE(Fixture, "start count: a full disk counts every start, and so does one with room "
                           "again") {
    REQUIRE(write(1));
    disk.is_full = true;
    for (const int64_t count : {2, 3, 4}) {
        REQUIRE(write(count));
        CHECK(read_after_power_loss() == count);
    }
    disk.is_full = false;
    REQUIRE(write(5));
    CHECK(read_after_power_loss() == 5);
}

TEST_CASE_FIXTURE(Fixture, "start count: a torn write on a full disk leaves the one before") {
    REQUIRE(write(1));
    disk.is_full = true;
    REQUIRE(write(2));
    REQUIRE(write(3));
    disk.bytes(kSpare)[4096 + 7] = std::byte{9}; // of 3
    CHECK(read_start_count(disk, "/a").value() == 2);
    disk.bytes(kSpare)[7] = std::byte{9};
    CHECK(read_start_count(disk, "/a").value() == 1);
}

TEST_CASE_FIXTURE(Fixture, "start count: what was full from the first start on is not counted") {
    disk.is_full = true;
    const Result<void> written = write(1);
    REQUIRE_FALSE(written);
    CHECK(written.error().code == Code::storage_full);
    CHECK(read_after_power_loss() == 0);
}

TEST_CASE("start count: a process that dies anywhere leaves this count or the one before") {
    for (const bool is_full : {false, true}) {
        for (int changes = 0;; changes++) {
            CAPTURE(is_full);
            CAPTURE(changes);
            Fixture at;
            REQUIRE(at.write(1));
            at.disk.is_full = is_full;
            at.disk.changes_left = changes;
            const bool is_written = at.write(2).has_value();
            const int64_t count = at.read_after_power_loss();
            CHECK(count >= (is_written ? 2 : 1));
            CHECK(count <= 2);
            if (is_written) {
                break;
            }
        }
    }
}
