// Proves how a core moves its partitions: one at a time, in the order asked for, with what waits
// having no files; what a stop in the middle, another target, a late sync, a full directory and a
// failing one do. The bytes themselves: tests/unit/server/storage/log_move_test.cc,
// io_error_test.cc.
#include "tests/unit/server/replica/manager_world.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using storage::test::BatchShape;
using storage::test::make_batch;

namespace {

constexpr int kPartitions = 3;

struct World : ManagerWorld {
    ManagerOptions options;

    World() : ManagerWorld(kPartitions) {
        paths = {"/a", "/b", "/c"};
        topic.effective.segment_bytes = 700;
        start();
    }

    void start() {
        Manager::Setup setup;
        setup.options = options;
        ManagerWorld::start(std::move(setup));
    }
    void stop() {
        std::vector<storage::LogDirs::Closed> closed = manager->close();
        manager.reset();
        static_cast<void>(dirs->write_clean_shutdown(std::move(closed)));
        dirs.reset();
        memory.kill();
        disk.syncs.clear();
    }
    void turns(int count, bool is_syncing = true) {
        for (int i = 0; i < count; i++) {
            turn(is_syncing);
        }
    }
    template <class Answer>
    Result<Answer> ask(int index, PartitionOp op) {
        PartitionRequest request;
        request.request = Token{1, 1};
        request.key = key(index);
        request.op = std::move(op);
        out.answers.clear();
        manager->handle(request, CoreId(0), out);
        turns(out.answers.empty() ? 5 : 0);
        REQUIRE(!out.answers.empty());
        Result<PartitionResult> answer = std::move(out.answers.front().reply.result);
        out.answers.clear();
        if (!answer) {
            return answer.error();
        }
        return std::get<Answer>(*answer);
    }
    void produce(int index, int batches) {
        for (int i = 0; i < batches; i++) {
            BatchShape shape;
            shape.value_size = 100;
            std::vector<std::byte> batch = make_batch(shape);
            AppendOp op;
            op.batch = batch;
            op.acks = -1;
            op.deadline = clock.mono() + 1s;
            REQUIRE(ask<AppendResult>(index, op));
        }
    }
    void fill() {
        for (int index = 0; index < kPartitions; index++) {
            produce(index, 10);
        }
    }
    Result<MoveResult> move(int index, size_t to) { return ask<MoveResult>(index, MoveOp{to}); }
    // "0>1": in the first, on its way to the second.
    std::string where(int index) {
        const auto described = ask<DescribeResult>(index, DescribeOp{});
        if (!described) {
            return "offline";
        }
        return std::to_string(described->log_dir) +
               (described->future_log_dir < 0 ? ""
                                              : ">" + std::to_string(described->future_log_dir));
    }
    // Files of the copies that are under way.
    std::vector<size_t> copies() {
        std::vector<size_t> counts;
        for (const std::string& path : paths) {
            for (const std::string& name : memory.names(path)) {
                if (name.ends_with("-future")) {
                    counts.push_back(memory.names(path + "/" + name).size());
                }
            }
        }
        return counts;
    }
};

} // namespace

TEST_CASE("moves: one partition is copied at a time, the others wait without files") {
    World world;
    world.fill();
    CHECK(world.where(0) == "0");
    CHECK(world.where(1) == "1");
    CHECK(world.where(2) == "2");
    REQUIRE(world.move(0, 2));
    REQUIRE(world.move(1, 2));
    REQUIRE(world.move(2, 0));
    CHECK(world.where(0) == "0>2");
    CHECK(world.where(1) == "1>2");
    CHECK(world.where(2) == "2>0");
    const int open_before = world.memory.open_files();
    for (int i = 0; i < 500 && !world.copies().empty(); i++) {
        world.turn();
        const std::vector<size_t> counts = world.copies();
        CHECK(std::count_if(counts.begin(), counts.end(), [](size_t n) { return n > 1; }) <= 1);
        CHECK(world.memory.open_files() <= open_before + 4);
    }
    CHECK(world.where(0) == "2");
    CHECK(world.where(1) == "2");
    CHECK(world.where(2) == "0");
    CHECK(world.dirs->at(2).partition_count() == 2);
    world.fill();
}

TEST_CASE("moves: a clean stop in the middle of one; it goes on after the start") {
    for (const bool is_syncing : {false, true}) {
        World world;
        world.fill();
        REQUIRE(world.move(0, 1));
        REQUIRE(world.move(2, 1));
        world.turns(4, is_syncing);
        CHECK(world.where(0) == "0>1");
        world.stop();
        world.start();
        CHECK(world.where(0) == "0>1");
        CHECK(world.where(2) == "2>1");
        world.turns(200);
        CHECK(world.where(0) == "1");
        CHECK(world.where(2) == "1");
        CHECK(world.copies().empty());
    }
}

TEST_CASE("moves: another target takes the place of the first, whose sync comes late") {
    World world;
    world.fill();
    REQUIRE(world.move(0, 1));
    while (world.disk.syncs.empty()) {
        world.turn(false);
    }
    REQUIRE(world.move(0, 2));
    CHECK(world.where(0) == "0>2");
    world.turns(2, false); // it begins; then the old sync fails
    const FaultyDisk::Sync late = world.disk.syncs.front();
    world.disk.syncs.erase(world.disk.syncs.begin());
    REQUIRE(world.manager->on_synced(late.token, Error(Code::storage_io, "late"), world.out));
    world.turns(200);
    CHECK(world.where(0) == "2");
    CHECK_FALSE(world.dirs->at(1).is_offline());
    CHECK(world.copies().empty());
    world.produce(0, 3);
}

TEST_CASE("moves: asking for the directory it lives in ends a move, and flushes go on") {
    World world;
    world.fill();
    REQUIRE(world.move(0, 1));
    world.turns(6);
    REQUIRE(world.move(0, 0));
    CHECK(world.where(0) == "0");
    CHECK(world.copies().empty());
    world.produce(0, 3);
    world.turns(100);
    CHECK(world.where(0) == "0");
}

TEST_CASE("moves: a partition that is written all the while gets there, acknowledged in time") {
    World world;
    world.fill();
    REQUIRE(world.move(0, 1));
    for (int i = 0; i < 100 && world.where(0) != "1"; i++) {
        world.produce(0, 1);
        world.turn();
    }
    CHECK(world.where(0) == "1");
    world.produce(0, 3);
}

TEST_CASE("moves: without room for it a partition waits, and stays in use") {
    World world;
    world.fill();
    world.memory.free_space = {100, 1 << 30};
    world.clock.passed += 10s;
    REQUIRE(world.move(0, 1));
    world.turns(50);
    CHECK(world.where(0) == "0>1");
    CHECK(world.copies() == std::vector<size_t>{});
    world.produce(0, 1);
    world.memory.free_space = {1 << 30, 1 << 30};
    world.clock.passed += 20s;
    world.turns(200);
    CHECK(world.where(0) == "1");
}

TEST_CASE("moves: a failing target goes offline, and the partition stays in use") {
    World world;
    world.fill();
    REQUIRE(world.move(0, 1));
    while (world.disk.syncs.empty()) {
        world.turn(false);
    }
    const FaultyDisk::Sync sync = world.disk.syncs.front();
    world.disk.syncs.clear();
    REQUIRE(world.manager->on_synced(sync.token, Error(Code::storage_io, "broken"), world.out));
    world.turns(50);
    CHECK(world.dirs->at(1).is_offline());
    CHECK_FALSE(world.dirs->at(0).is_offline());
    CHECK(world.where(0) == "0");
    CHECK(world.where(1) == "offline");
    world.produce(0, 3);
    CHECK(world.move(0, 1).error().code == Code::storage_offline);
    REQUIRE(world.move(0, 2));
    world.turns(200);
    CHECK(world.where(0) == "2");
}

TEST_CASE("moves: a partition without files goes at once, and takes what is left of it along") {
    World world;
    REQUIRE(world.memory.make_directory("/a/t-0")); // a first append that failed
    REQUIRE(world.move(0, 1));
    CHECK(world.where(0) == "1");
    CHECK_FALSE(world.memory.has("/a/t-0"));
    world.produce(0, 3);
    CHECK(world.memory.has("/b/t-0"));
    world.stop();
    world.start();
    CHECK(world.where(0) == "1");
}

TEST_CASE("moves: a rate of 0 stops copying, a higher one lets it go on at once") {
    World world;
    world.fill();
    world.options.mover.bytes_per_second_max = 0;
    world.manager->set_options(world.options);
    REQUIRE(world.move(0, 1));
    world.turns(50);
    CHECK(world.where(0) == "0>1");
    world.options.mover.bytes_per_second_max = UINT64_MAX;
    world.manager->set_options(world.options);
    world.turns(200);
    CHECK(world.where(0) == "1");
}
