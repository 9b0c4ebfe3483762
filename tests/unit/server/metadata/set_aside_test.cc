// Proves that what a broker left half made or half deleted when it died is deleted by the
// controller, after a while, and that a topic that is being made meanwhile is made whole or begins
// anew.
#include "server/metadata/controller.h"
#include "server/metadata/decide_topics.h"
#include "server/metadata/partition_change.h"
#include "tests/unit/server/metadata/acting_controller.h"

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

TEST_CASE(
    "controller: what a broker that died left half made is deleted, what is being made is not") {
    Acting world;
    const auto keys = [&] {
        size_t count = 0;
        for (const port::StoreEntry& entry : world.store.snapshot().entries) {
            count +=
                entry.key.starts_with("partitions/") || entry.key.starts_with("configs/topics/")
                    ? 1
                    : 0;
        }
        return count;
    };
    const auto look = [&](Duration after) {
        world.now += after;
        world.controller.on_time(world.now);
        if (world.controller.wants_aside(world.now)) {
            world.controller.on_aside(world.replay.set_aside(), world.now);
        }
        world.settle();
    };
    const auto write_part = [&](Operation& operation) {
        const port::StoreTransaction part = operation.decide(*world.image, world.random);
        const Result<port::StoreChange> change = world.store.commit(part);
        if (!change) {
            return false;
        }
        world.apply(*change);
        world.tell();
        return operation.advance(change->revision);
    };
    world.add_topic("grows", {{1, 2}, {2, 1}});

    NewTopic big;
    big.name = "big";
    big.partition_count = 300;
    big.replication_factor = 2;
    CreateTopics create({big}, false, world.config);
    create.set_writes_max(120);
    CreatePartitions more({{"grows", 250, {}}}, false);
    more.set_writes_max(120);
    REQUIRE(write_part(create));
    REQUIRE(write_part(create));
    REQUIRE(write_part(more));
    CHECK(keys() == 2 + 240 + 120);

    look(kAsideAfter);
    look(kAsideAfter - 5s); // not yet
    CHECK(keys() == 2 + 240 + 120);

    SUBCASE("nobody goes on") {
        look(5s);
        CHECK(keys() == 2);
        CHECK(world.replay.set_aside().empty());
        CHECK(world.largest <= kBatchPartitionsMax);
        // Whoever comes after all meets a conflict at the end, and begins anew.
        while (write_part(create)) {
        }
        while (write_part(more)) {
        }
        CHECK(world.image->topic("big") == nullptr);
        CHECK(world.topic("grows").partitions.size() == 2);
        while (write_part(create)) {
        }
        while (write_part(more)) {
        }
        CHECK(world.topic("big").partitions.size() == 300);
        CHECK(world.topic("grows").partitions.size() == 250);
        CHECK(keys() == 300 + 250);
        DeleteTopics remove(std::vector<TopicToDelete>{{"big", {}}});
        remove.set_writes_max(120);
        REQUIRE(write_part(remove));
        CHECK(keys() > 250);
        look(kAsideAfter);
        look(kAsideAfter);
        CHECK(keys() == 250);
    }
    SUBCASE("the topics are finished just before") {
        while (write_part(create)) {
        }
        while (write_part(more)) {
        }
        look(5s);
        CHECK(keys() == 300 + 250);
        CHECK(world.topic("big").partitions.size() == 300);
        CHECK(world.topic("grows").partitions.size() == 250);
    }
    SUBCASE("one is finished between the look and the deletion") {
        const std::vector<port::StoreGuard> seen = world.replay.set_aside();
        while (write_part(create)) {
        }
        world.now += 5s;
        world.controller.on_aside(seen, world.now);
        world.settle();
        CHECK(world.topic("big").partitions.size() == 300);
        CHECK(keys() > 300 + 2); // the batch with its keys was refused; later looks see to the rest
        look(kAsideAfter);
        look(kAsideAfter);
        CHECK(keys() == 300 + 2);
    }
    SUBCASE("another broker is controller") {
        world.put({{controller_key(), std::nullopt}});
        world.put({{controller_key(), encode_controller(BrokerId(2)), true}});
        look(kAsideAfter);
        look(kAsideAfter);
        CHECK(keys() == 2 + 240 + 120);
    }
}
