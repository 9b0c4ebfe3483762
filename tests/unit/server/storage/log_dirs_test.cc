// LogDirs and LogDir on a disk in memory: where partitions are put and found again, what a missing
// or failing directory takes with it, and when the reserve of free space is kept.
#include "server/storage/log_dirs.h"
#include "server/storage/partition_files.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

using Arrival = LogDirs::Arrival;

struct Fixture {
    MemoryDisk disk;
    std::vector<std::string> paths = {"/a", "/b", "/c"};
    std::unique_ptr<LogDirs> dirs;
    uint64_t next_id = 100;

    Fixture() {
        set_log_sink([](LogLevel, std::string_view) {});
    }
    Code try_open() {
        dirs.reset();
        auto opened =
            LogDirs::open(disk, {paths, BrokerId(1), -1, [this] { return topic_id(next_id++); }});
        if (!opened) {
            return opened.error().code;
        }
        dirs = *std::move(opened);
        return Code::internal; // stands for success here
    }
    void open() {
        REQUIRE(try_open() == Code::internal);
        REQUIRE(dirs->quarantine_unlisted([](const PartitionName&) { return true; },
                                          [](const PartitionKey&) { return false; }));
    }
    void reopen() {
        dirs.reset();
        disk.kill();
        open();
    }
    static PartitionKey key(uint64_t id) { return {topic_id(id), PartitionIndex(0)}; }
    Result<size_t> place(uint64_t id, Arrival arrival) {
        return dirs->place(disk, "t" + std::to_string(id), key(id), arrival);
    }
    // As the first append does.
    void make_files(uint64_t id, size_t dir) {
        const std::string path =
            dirs->at(dir).data()->partition_path("t" + std::to_string(id), PartitionIndex(0));
        REQUIRE(disk.make_directory(path));
        REQUIRE(write_partition_meta(disk, path, key(id)));
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture,
                  "log dirs: a new partition goes where the fewest are, the first of them") {
    open();
    CHECK(place(1, Arrival::created) == size_t{0});
    CHECK(place(2, Arrival::created) == size_t{1});
    CHECK(place(3, Arrival::created) == size_t{2});
    CHECK(place(4, Arrival::created) == size_t{0});
    dirs->leave(1);
    CHECK(place(5, Arrival::created) == size_t{1});
}

TEST_CASE_FIXTURE(Fixture, "log dirs: a partition is found again by its directory") {
    open();
    make_files(1, 2);
    make_files(2, 1);
    reopen();
    CHECK(place(1, Arrival::known) == size_t{2});
    CHECK(place(2, Arrival::known) == size_t{1});
    CHECK(place(3, Arrival::known) == size_t{0}); // it has no files anywhere
}

TEST_CASE_FIXTURE(Fixture, "log dirs: of two directories of one name, that of the topic counts") {
    open();
    make_files(7, 0);
    make_files(7, 2);
    REQUIRE(write_partition_meta(disk, "/a/t7-0", key(6))); // a topic that is gone
    reopen();
    CHECK(place(7, Arrival::known) == size_t{2});
}

TEST_CASE_FIXTURE(Fixture, "log dirs: a clean stop remembers partitions without files") {
    open();
    std::vector<LogDirs::Closed> closed(3);
    PartitionState state;
    state.key = key(9);
    state.is_clean = true;
    closed[1].states = {state};
    REQUIRE(dirs->write_clean_shutdown(std::move(closed)));
    reopen();
    CHECK(dirs->was_clean());
    CHECK(place(9, Arrival::known) == size_t{1});
}

TEST_CASE_FIXTURE(Fixture, "log dirs: one that did not close cleanly leaves the others clean") {
    open();
    std::vector<LogDirs::Closed> closed(3);
    closed[1].result = Error(Code::storage_offline, "t-0");
    CHECK(dirs->write_clean_shutdown(std::move(closed)).error().code == Code::storage_offline);
    reopen();
    CHECK(dirs->at(0).data()->was_clean());
    CHECK_FALSE(dirs->at(1).data()->was_clean());
    CHECK(dirs->at(2).data()->was_clean());
}

TEST_CASE_FIXTURE(Fixture, "log dirs: an empty place of a known directory is a disk not mounted") {
    open();
    make_files(1, 1);
    make_files(2, 2);
    dirs.reset();
    REQUIRE(disk.rename("/b", "/b-away"));
    REQUIRE(disk.make_directory("/b"));
    open();
    CHECK(dirs->offline_count() == 1);
    CHECK(dirs->failure_count() == 1);
    REQUIRE(dirs->at(1).is_offline());
    CHECK(dirs->at(1).failure().detail.find("mounted") != std::string::npos);
    CHECK(disk.names("/b").empty());
    // What is found nowhere may be there; what is new is put elsewhere.
    CHECK(place(1, Arrival::known).error().code == Code::storage_offline);
    CHECK(place(2, Arrival::known) == size_t{2});
    CHECK(place(3, Arrival::created) == size_t{0});
    // The disk comes back.
    dirs.reset();
    REQUIRE(disk.remove("/b"));
    REQUIRE(disk.rename("/b-away", "/b"));
    open();
    CHECK(dirs->offline_count() == 0);
    CHECK(place(1, Arrival::known) == size_t{1});
}

TEST_CASE_FIXTURE(Fixture, "log dirs: one taken out of the configuration is given up") {
    open();
    make_files(1, 1);
    dirs.reset();
    paths = {"/a", "/c"};
    open();
    CHECK(dirs->offline_count() == 0);
    CHECK(place(1, Arrival::known) == size_t{0});
    dirs.reset();
    paths = {"/a", "/b2", "/c"}; // and a new one is welcome
    open();
    CHECK(dirs->offline_count() == 0);
}

TEST_CASE_FIXTURE(Fixture, "log dirs: directories in another order keep their partitions") {
    open();
    make_files(1, 1);
    dirs.reset();
    paths = {"/a", "/c", "/b"};
    open();
    CHECK(place(1, Arrival::known) == size_t{2});
}

TEST_CASE_FIXTURE(Fixture, "log dirs: damage takes one offline, a wrong configuration all") {
    open();
    dirs.reset();
    disk.bytes("/c/data-dir.meta").resize(5);
    open();
    CHECK(dirs->at(2).is_offline());
    CHECK(dirs->bind_cluster("c1"));
    CHECK(place(4, Arrival::created) == size_t{0});
    CHECK(place(5, Arrival::created) == size_t{1});
    CHECK(place(6, Arrival::created) == size_t{0});

    dirs.reset();
    auto other = LogDirs::open(disk, {{"/z", "/b"}, BrokerId(2), -1, [] { return topic_id(1); }});
    REQUIRE_FALSE(other);
    CHECK(other.error().code == Code::invalid_config);

    disk.bytes("/a/data-dir.meta").resize(5);
    CHECK(try_open() == Code::storage_damaged); // the first holds the metadata
}

TEST_CASE_FIXTURE(Fixture,
                  "log dirs: of several a failing one goes offline, a single one does not") {
    open();
    dirs->note_failure(1, Error(Code::storage_io, "cannot sync"));
    dirs->note_failure(1, Error(Code::storage_io, "again"));
    CHECK(dirs->failure_count() == 1);
    CHECK(dirs->at(1).is_offline());
    CHECK(dirs->at(1).failure().detail.find("cannot sync") != std::string::npos);
    CHECK(place(1, Arrival::created) == size_t{0});
    CHECK(place(2, Arrival::created) == size_t{2});
    CHECK(dirs->write_clean_shutdown(std::vector<LogDirs::Closed>(3)).error().code ==
          Code::storage_offline);

    dirs.reset();
    paths = {"/single"};
    open();
    dirs->note_failure(0, Error(Code::storage_io, "cannot sync"));
    CHECK_FALSE(dirs->at(0).is_offline());
    CHECK_FALSE(disk.has("/single/log-dirs.meta"));
}

TEST_CASE_FIXTURE(Fixture,
                  "log dir: the reserve is kept from a threshold and given back above it") {
    open();
    LogDir dir("/a", Error(Code::storage_io, "not of interest"), 1000);
    CHECK(dir.is_offline());
    auto data = DataDir::open(disk, "/d", BrokerId(1), topic_id(5));
    REQUIRE(data);
    LogDir used("/d", *std::move(data), 1000);
    MonoTime now{10s};
    const auto look = [&](uint64_t free_bytes, Duration later) {
        disk.free_space = {.free_bytes = free_bytes, .total_bytes = 100'000};
        now += later;
        used.look(disk, now);
        return used.is_low();
    };
    CHECK_FALSE(look(1000, 1s));
    CHECK(look(999, 1s));
    CHECK(used.space().free_bytes == 999);
    CHECK(look(1249, 1s)); // a quarter above, so that it does not flap
    CHECK_FALSE(look(1250, 1s));
    CHECK_FALSE(look(0, 999ms)); // not yet asked again
    used.note_full();
    CHECK(look(0, 0ms));
    CHECK_FALSE(look(5000, 1s));
    used.note_written(kSpaceLookBytesMax); // a fast disk is asked sooner
    CHECK(look(0, 0ms));
}

TEST_CASE_FIXTURE(Fixture,
                  "log dir: the automatic reserve is one percent, at most 64 MiB; 0 is none") {
    open();
    const auto reserve_of = [&](int64_t wanted, uint64_t total) {
        auto data = DataDir::open(disk, "/r" + std::to_string(next_id++), BrokerId(1), topic_id(5));
        LogDir dir("/r", *std::move(data), wanted);
        disk.free_space = {.free_bytes = 0, .total_bytes = total};
        dir.look(disk, MonoTime{1s});
        CHECK(dir.is_low() == (wanted != 0));
        return dir.reserve_bytes();
    };
    CHECK(reserve_of(-1, 100 * MiB) == 1 * MiB);
    CHECK(reserve_of(-1, 1000 * GiB) == 64 * MiB);
    CHECK(reserve_of(0, 1000 * GiB) == 0);
}
