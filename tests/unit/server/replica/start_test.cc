// A start of many logs after a crash: what they find becomes durable at once, before it is served.
#include "tests/unit/server/replica/manager_world.h"

using namespace qtool;
using namespace qtool::replica;
using namespace qtool::replica::test;
using storage::test::make_batch;

namespace {

constexpr int kPartitions = 12;

struct Fixture : ManagerWorld {
    uint32_t next_request = 1;

    Fixture() : ManagerWorld(kPartitions) {
        paths = {"/disk0", "/disk1"};
        topic.effective.write_caching = true; // acknowledged without a flush
    }

    void end() {
        manager.reset();
        dirs.reset();
        disk.syncs.clear();
    }

    PartitionReply ask(int index, PartitionOp op) {
        PartitionRequest request;
        request.request = Token{next_request++, 1};
        request.key = key(index);
        request.op = std::move(op);
        out.answers.clear();
        manager->handle(request, CoreId(0), out);
        REQUIRE(out.answers.size() == 1);
        return std::move(out.answers.front().reply);
    }
    void write_one_each() {
        for (int i = 0; i < kPartitions; i++) {
            std::vector<std::byte> batch = make_batch();
            AppendOp op;
            op.batch = batch;
            REQUIRE(ask(i, op).result);
        }
    }
    [[nodiscard]] int count_readable() {
        int count = 0;
        for (int i = 0; i < kPartitions; i++) {
            ReadOp op;
            op.bytes_max = 1000;
            const PartitionReply reply = ask(i, op);
            count += reply.result && std::get<ReadResult>(*reply.result).range.size > 0 ? 1 : 0;
        }
        return count;
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture,
                  "start: what a reader gets after a crash survives the power loss behind it") {
    start();
    write_one_each();
    end();
    memory.kill();
    start();
    CHECK(count_readable() == kPartitions);
    end();
    memory.lose_power();
    start();
    CHECK(count_readable() == kPartitions);
}

TEST_CASE_FIXTURE(Fixture, "start: what cannot be made durable is not served") {
    start();
    write_one_each();
    end();
    memory.kill();
    memory.fails_sync = true; // of the file systems alone: nothing else is synced at such a start
    start();
    CHECK(count_readable() == 0);
    CHECK(counters.partitions_offline.value() > 0);
    end();
    memory.kill();
    memory.fails_sync = false;
    start();
    CHECK(count_readable() == kPartitions);
}

// It left the broker, whose notes still tell of it, and came back while the broker was away.
TEST_CASE_FIXTURE(Fixture,
                  "start: a replica that nobody counts on, and whose files are gone, is new") {
    topic.effective.flush_messages = 1;
    start();
    write_one_each();
    turn();
    clock.passed += 10s; // recovery points
    turn();
    end();
    for (const std::string& path : paths) {
        for (const std::string& name : memory.names(path + "/t-0")) {
            REQUIRE(memory.remove(path + "/t-0/" + name));
        }
        REQUIRE(memory.remove(path + "/t-0"));
        REQUIRE(memory.sync_directory(path));
    }
    SUBCASE("others are in sync") {
        topic.partitions[0].isr = {BrokerId(2)};
        topic.partitions[0].replicas = {BrokerId(2), BrokerId(1)};
        topic.partitions[0].leader = BrokerId(2);
        start();
        CHECK(!manager->find(key(0))->is_offline());
    }
    SUBCASE("it is said to be") {
        start();
        CHECK(manager->find(key(0))->is_offline());
    }
}
