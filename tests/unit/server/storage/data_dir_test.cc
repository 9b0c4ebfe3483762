#include "server/storage/data_dir.h"
#include "server/storage/partition_files.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

PartitionState sample_state(uint64_t id, int64_t end) {
    PartitionState state;
    state.key = PartitionKey{topic_id(id), PartitionIndex(static_cast<int32_t>(id % 5))};
    state.is_clean = true;
    state.has_directory = true;
    state.has_producers = id % 2 == 0;
    state.log_start_offset = Offset(3);
    state.log_end_offset = Offset(end);
    state.synced_end_offset = Offset(end);
    state.size_bytes = 1000 + id;
    state.segment_count = 2;
    state.oldest_max_timestamp = kNowMs;
    state.epochs = {{LeaderEpoch(0), Offset(3)}, {LeaderEpoch(4), Offset(7)}};
    return state;
}

struct Fixture {
    MemoryDisk disk;
    std::unique_ptr<DataDir> dir;

    Fixture() {
        set_log_sink([](LogLevel, std::string_view) {});
    }
    Code try_open(int32_t node = 1) {
        dir.reset();
        auto opened = DataDir::open(disk, "/data", BrokerId(node), topic_id(99));
        if (!opened) {
            return opened.error().code;
        }
        dir = *std::move(opened);
        return Code::internal; // stands for success here
    }
    void open() { REQUIRE(try_open() == Code::internal); }
    void kill_and_open() {
        dir.reset();
        disk.kill();
        open();
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "a new directory gets an identity that lasts") {
    open();
    CHECK_FALSE(dir->was_clean());
    CHECK(dir->directory_id() == topic_id(99));
    CHECK(dir->cluster_id().empty());
    REQUIRE(dir->bind_cluster("c1"));
    REQUIRE(dir->bind_cluster("c1"));
    CHECK(dir->bind_cluster("c2").error().code == Code::invalid_config);
    dir.reset();
    disk.lose_power();
    auto again = DataDir::open(disk, "/data", BrokerId(1), topic_id(5));
    REQUIRE(again);
    CHECK((*again)->directory_id() == topic_id(99));
    CHECK((*again)->cluster_id() == "c1");
    CHECK((*again)->bind_cluster("c2").error().code == Code::invalid_config);
}

TEST_CASE_FIXTURE(Fixture, "one process at a time, one node for good") {
    open();
    CHECK(DataDir::open(disk, "/data", BrokerId(1), topic_id(5)).error().code ==
          Code::storage_locked);
    dir.reset();
    CHECK(try_open(2) == Code::invalid_config);
    CHECK(try_open(1) == Code::internal);
}

TEST_CASE_FIXTURE(Fixture,
                  "a damaged, lost or newer identity refuses to start and changes nothing") {
    open();
    const std::vector<std::byte> good = disk.bytes("/data/data-dir.meta");
    for (size_t i = 0; i < good.size(); i++) {
        std::vector<std::byte> bad = good;
        bad[i] ^= std::byte{1};
        disk.put("/data/data-dir.meta", bad);
        CHECK(try_open() == Code::storage_damaged);
        CHECK(disk.bytes("/data/data-dir.meta") == bad);
    }
    const std::string newer = encode_text_file("version=2\ndirectory.id=x\n");
    const ByteView bytes = as_bytes(newer);
    disk.put("/data/data-dir.meta", {bytes.begin(), bytes.end()});
    CHECK(try_open() == Code::unsupported_version);
    REQUIRE(disk.remove("/data/data-dir.meta"));
    REQUIRE(disk.make_directory("/data/orders-0"));
    CHECK(try_open() == Code::storage_damaged);
    CHECK_FALSE(disk.has("/data/data-dir.meta"));
}

TEST_CASE_FIXTURE(Fixture, "a clean stop is believed once; what it says is synced stays") {
    open();
    const std::vector<PartitionState> states = {sample_state(1, 20), sample_state(2, 30)};
    REQUIRE(dir->write_clean_shutdown(states));
    kill_and_open();
    CHECK(dir->was_clean());
    const OpenHint hint = dir->hint(states[1].key.topic_id, states[1].key.index);
    REQUIRE(hint.clean);
    CHECK(*hint.clean == states[1]);
    CHECK_FALSE(dir->hint(topic_id(3), PartitionIndex(0)).clean);
    CHECK(dir->hint(topic_id(3), PartitionIndex(0)).recovery_point == Offset(0));
    dir.reset();
    disk.lose_power();
    open();
    CHECK_FALSE(dir->was_clean());
    const OpenHint later = dir->hint(states[1].key.topic_id, states[1].key.index);
    CHECK_FALSE(later.clean);
    CHECK(later.recovery_point == Offset(30));
}

TEST_CASE_FIXTURE(Fixture, "a clean-shutdown file that is not whole counts as none") {
    open();
    REQUIRE(dir->write_clean_shutdown({sample_state(1, 20)}));
    const std::vector<std::byte> good = disk.bytes("/data/clean-shutdown");
    for (size_t i = 8; i < good.size(); i++) {
        std::vector<std::byte> bad = good;
        bad[i] ^= std::byte{1};
        disk.put("/data/clean-shutdown", bad);
        kill_and_open();
        CHECK_FALSE(dir->was_clean());
        bad = good;
        bad.resize(i);
        disk.put("/data/clean-shutdown", bad);
        kill_and_open();
        CHECK_FALSE(dir->was_clean());
        CHECK_FALSE(disk.has("/data/clean-shutdown"));
    }
    std::vector<std::byte> newer = good;
    newer[7] = std::byte{4};
    disk.put("/data/clean-shutdown", newer);
    CHECK(try_open() == Code::unsupported_version);
    CHECK(disk.has("/data/clean-shutdown"));
}

TEST_CASE_FIXTURE(Fixture, "recovery points: the highest of all cores, kept until a clean stop") {
    open();
    PartitionState damaged = sample_state(3, 0); // out of use: the end is not known
    damaged.is_clean = false;
    damaged.log_start_offset = Offset(0);
    damaged.synced_end_offset = Offset(12);
    const std::vector<PartitionState> first = {sample_state(1, 20), damaged};
    const std::vector<PartitionState> second = {sample_state(1, 15), sample_state(2, 8)};
    REQUIRE(dir->write_recovery_points(disk, CoreId(0), first));
    REQUIRE(dir->write_recovery_points(disk, CoreId(1), second));
    disk.put("/data/recovery-points.2", std::vector<std::byte>(50, std::byte{7}));
    const auto point = [&](uint64_t id) {
        const OpenHint hint = dir->hint(topic_id(id), PartitionIndex(static_cast<int32_t>(id % 5)));
        CHECK_FALSE(hint.clean);
        return hint.recovery_point.value();
    };
    for (int round = 0; round < 2; round++) {
        kill_and_open();
        CHECK(point(1) == 20);
        CHECK(point(2) == 8);
        CHECK(point(3) == 12);
        // A core that could not open a partition says nothing of it: its point stays known.
        REQUIRE(dir->write_recovery_points(disk, CoreId(0), {}));
    }
    REQUIRE(dir->write_clean_shutdown({sample_state(1, 21)}));
    kill_and_open();
    CHECK(disk.names("/data") ==
          std::vector<std::string>{"data-dir.meta", "recovery-points.start"});
}

TEST_CASE_FIXTURE(Fixture, "a stop at any step of a start keeps clean states or recovery points") {
    for (int steps = 0; steps < 20; steps++) {
        Fixture f;
        f.open();
        REQUIRE(f.dir->write_recovery_points(f.disk, CoreId(0), std::vector{sample_state(1, 9)}));
        REQUIRE(f.dir->write_clean_shutdown({sample_state(1, 20)}));
        f.dir.reset();
        f.disk.changes_left = steps;
        static_cast<void>(f.try_open());
        f.dir.reset();
        f.disk.lose_power();
        f.open();
        const OpenHint hint = f.dir->hint(topic_id(1), PartitionIndex(1));
        CHECK(hint.recovery_point == Offset(20));
        CHECK(hint.clean.has_value() == f.dir->was_clean());
    }
}

TEST_CASE("states survive their encoding") {
    std::vector<PartitionState> states;
    for (uint64_t i = 0; i < 50; i++) {
        states.push_back(sample_state(i, static_cast<int64_t>(10 + i)));
    }
    const std::vector<std::byte> bytes = encode_partition_states(states);
    const auto read = decode_partition_states(bytes);
    REQUIRE(read);
    CHECK(*read == states);
    CHECK(decode_partition_states(encode_partition_states({}))->empty());
}

TEST_CASE("names of partition directories") {
    const auto parts = [](std::string_view name) -> std::string {
        const auto parsed = parse_partition_name(name);
        return parsed ? parsed->topic + "|" + std::to_string(parsed->index.value()) : "";
    };
    CHECK(parts("orders-3") == "orders|3");
    CHECK(parts("a-b-10") == "a-b|10");
    CHECK(parts("__consumer_offsets-49") == "__consumer_offsets|49");
    for (const char* name : {"orders", "-1", "orders-", "orders--1x", "orders-01", "a b-1", "..-1",
                             "orders-99999999999", "orders-1.deleted", "lost+found-1"}) {
        CHECK(parts(name) == "");
    }
    CHECK(partition_directory_name("orders", PartitionIndex(3)) == "orders-3");
}

TEST_CASE_FIXTURE(Fixture, "what the store does not list goes into quarantine, untouched") {
    open();
    for (const char* name : {"keep-0", "gone-0", "gone-1", "notes", "gone-0.deleted"}) {
        REQUIRE(disk.make_directory(std::string("/data/") + name));
    }
    disk.put("/data/gone-0/file", std::vector<std::byte>(3));
    const auto is_listed = [](const PartitionName& name) { return name.topic == "keep"; };
    const auto was_deleted = [](const PartitionKey&) { return false; };
    const auto moved = dir->quarantine_unlisted(is_listed, was_deleted);
    REQUIRE(moved);
    CHECK(*moved == std::vector<std::string>{"gone-0", "gone-1"});
    CHECK(disk.has("/data/.quarantine/gone-0/file"));
    CHECK(disk.has("/data/keep-0"));
    CHECK(disk.has("/data/notes"));
    REQUIRE(disk.make_directory("/data/gone-0"));
    REQUIRE(dir->quarantine_unlisted(is_listed, was_deleted));
    CHECK(disk.has("/data/.quarantine/gone-0/file"));
    CHECK(disk.has("/data/.quarantine/gone-0.1"));
}

TEST_CASE_FIXTURE(Fixture, "a directory of an older topic of the same name is not this one's") {
    open();
    const PartitionKey old{topic_id(1), PartitionIndex(0)};
    const PartitionKey now{topic_id(2), PartitionIndex(0)};
    REQUIRE(disk.make_directory("/data/orders-0"));
    REQUIRE(write_partition_meta(disk, "/data/orders-0", old));
    REQUIRE(disk.make_directory("/data/bills-0"));
    REQUIRE(write_partition_meta(disk, "/data/bills-0", now));
    const auto is_listed = [](const PartitionName&) { return true; };
    const auto expected = [&](const PartitionName&) { return std::optional(now); };
    const auto moved = dir->quarantine_unlisted(
        is_listed, [](const PartitionKey&) { return false; }, expected);
    REQUIRE(moved);
    CHECK(*moved == std::vector<std::string>{"orders-0"});
    REQUIRE(disk.make_directory("/data/orders-0"));
    REQUIRE(write_partition_meta(disk, "/data/orders-0", old));
    const auto removed = dir->quarantine_unlisted(
        is_listed, [&](const PartitionKey& key) { return key == old; }, expected);
    REQUIRE(removed);
    CHECK(removed->empty());
    CHECK_FALSE(disk.has("/data/orders-0"));
    CHECK(disk.has("/data/bills-0"));
}

TEST_CASE("a topic's deletion that was interrupted anywhere is finished at the next start") {
    for (int steps = 0; steps < 25; steps++) {
        LogFixture f;
        REQUIRE(DataDir::open(f.disk, "/data", BrokerId(1), topic_id(99)));
        f.config.segment_bytes = 300;
        f.log->set_config(f.config);
        for (int i = 0; i < 4; i++) {
            f.append({.value_size = 150, .producer = 3, .sequence = i});
        }
        f.delete_below(Offset(1));
        f.flush();
        REQUIRE(f.disk.make_directory("/data/strange.deleted"));
        f.disk.put("/data/strange.deleted/file", {});
        REQUIRE(f.disk.sync_directory("/data"));
        f.disk.changes_left = steps;
        const bool done = f.log->remove_all().has_value();
        f.log.reset();
        f.disk.kill();
        auto dir = DataDir::open(f.disk, "/data", BrokerId(1), topic_id(99));
        REQUIRE(dir);
        if (done) {
            CHECK_FALSE(f.disk.has(f.directory));
        }
        // Whole as it was, or gone without a trace.
        const size_t ours = f.disk.has(f.directory) ? 1 : 0;
        CHECK(f.disk.names("/data").size() == 3 + ours); // with the identity, points, the stranger
        CHECK(f.disk.has("/data/strange.deleted/file"));
        if (ours == 1) {
            f.kill_and_open(4);
            CHECK(f.read_all(1).size() == 3);
        }
    }
}
