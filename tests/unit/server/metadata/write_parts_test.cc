// Proves that large creations and deletions are cut into transactions that fit a store, and that a
// topic is in the image whole or not at all in between, whatever fails.
#include "server/metadata/decide_topics.h"
#include "tests/unit/server/metadata/metadata_world.h"

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

constexpr size_t kMax = 120;

NewTopic topic(const std::string& name, int32_t partitions) {
    NewTopic out;
    out.name = name;
    out.partition_count = partitions;
    out.replication_factor = 1;
    return out;
}

// Writes part by part; calls `between` after each but the last.
template <class Between>
size_t run_parts(World& world, Operation& operation, Between between) {
    operation.set_writes_max(kMax);
    size_t parts = 0;
    for (;;) {
        const port::StoreTransaction part = operation.decide(*world.image, world.random);
        if (part.writes.empty()) {
            break;
        }
        CHECK(part.writes.size() <= kMax);
        CHECK(part.guards.size() <= kMax);
        const Result<port::StoreChange> change = world.store.commit(part);
        REQUIRE(change);
        world.apply(*change);
        parts++;
        if (!operation.advance(change->revision)) {
            break;
        }
        between();
    }
    operation.finish({});
    return parts;
}

} // namespace

TEST_CASE("write parts: one transaction where it fits") {
    std::vector<WriteUnit> units(2);
    units[0].guards.push_back({"g", Revision{1}});
    units[0].first.push_back({"p", "1"});
    units[0].last.push_back({"k", "2"});
    units[1].last.push_back({"l", "3"});
    WriteParts parts(units, 3);
    CHECK(parts.current().guards.size() == 1);
    CHECK(parts.current().writes.size() == 3);
    CHECK_FALSE(parts.advance(Revision{1}));
    CHECK(parts.current().writes.empty());
    CHECK(WriteParts().current().writes.empty());
    CHECK_FALSE(WriteParts({}, 3).advance(Revision{1}));

    WriteParts cut(units, 2);
    CHECK(cut.current().writes == std::vector<port::StoreWrite>{{"p", "1"}});
    CHECK(cut.current().guards.size() == 1);
    CHECK(cut.advance(Revision{5}));
    CHECK(cut.current().writes == std::vector<port::StoreWrite>{{"k", "2"}, {"p", "1"}});
    CHECK(cut.current().guards.size() == 2);
    CHECK(cut.current().guards.back().key == "p"); // is as this made it
    CHECK(cut.current().guards.back().mod_revision == Revision{5});
    CHECK(cut.half_made() == std::vector<std::string>{"p"});
    CHECK(cut.advance(Revision{6}));
    CHECK(cut.current().writes == std::vector<port::StoreWrite>{{"l", "3"}});
    CHECK(cut.half_made().empty());
    CHECK_FALSE(cut.advance(Revision{7}));
}

TEST_CASE("create topics: large ones appear with their last part") {
    World world;
    CreateTopics create({topic("big", 300), topic("small", 3)}, false, world.config);
    const size_t parts = run_parts(world, create, [&] {
        CHECK(world.image->topic("big") == nullptr);
        CHECK(world.image->topic("small") == nullptr);
    });
    CHECK(parts == 4);
    CHECK_FALSE(create.results()[0].error);
    CHECK(world.topic("big").partitions.size() == 300);
    CHECK(world.topic("small").partitions.size() == 3);

    CreatePartitions more({{"big", 600, std::nullopt}}, false);
    CHECK(run_parts(world, more, [&] { CHECK(world.topic("big").partitions.size() == 300); }) == 4);
    CHECK(world.topic("big").partitions.size() == 600);

    DeleteTopics remove({{"big", {}}, {"small", {}}, {"none", {}}});
    CHECK(run_parts(world, remove, [&] { CHECK(world.image->topics_by_id.empty()); }) > 5);
    CHECK_FALSE(remove.results()[0].error);
    CHECK_FALSE(remove.results()[1].error);
    CHECK(code_of(remove.results()[2].error) == Code::unknown_topic);
    for (const port::StoreEntry& entry : world.store.snapshot().entries) {
        CHECK_FALSE(entry.key.starts_with("partitions/"));
    }
}

TEST_CASE("delete topics: many topics go in several parts too") {
    World world;
    std::vector<NewTopic> topics;
    std::vector<TopicToDelete> names;
    for (int i = 0; i < 100; i++) {
        topics.push_back(topic("t" + std::to_string(i), 2));
        names.push_back({topics.back().name, {}});
    }
    CreateTopics create(topics, false, world.config);
    run_parts(world, create, [] {});
    CHECK(world.image->topics_by_id.size() == 100);
    DeleteTopics remove(names);
    CHECK(run_parts(world, remove, [] {}) == 4);
    CHECK(world.image->topics_by_id.empty());
    for (const DeletedTopic& result : remove.results()) {
        CHECK_FALSE(result.error);
    }
}

TEST_CASE("create topics: who loses a race between two parts says so") {
    World world;
    CreateTopics create({topic("big", 300)}, false, world.config);
    create.set_writes_max(kMax);
    const Result<port::StoreChange> first =
        world.store.commit(create.decide(*world.image, world.random));
    REQUIRE(first);
    world.apply(*first);
    CHECK(create.advance(first->revision));
    const port::StoreTransaction second = create.decide(*world.image, world.random);
    CreateTopics other({topic("big", 1)}, false, world.config);
    world.run(other);
    CHECK(world.store.commit(second).error().code == Code::store_conflict);
    // What was written of the topic that is not to be goes first.
    CHECK(run_parts(world, create, [] {}) == 1);
    const std::string theirs = partition_key(world.topic("big").id, 0);
    for (const port::StoreEntry& entry : world.store.snapshot().entries) {
        CHECK((!entry.key.starts_with("partitions/") || entry.key == theirs));
    }
    CHECK(code_of(create.results()[0].error) == Code::topic_exists);
    CHECK(world.topic("big").partitions.size() == 1);
}

TEST_CASE(
    "create topics: what is left of a lost race goes in several parts, and another topic is made") {
    World world;
    CreateTopics create({topic("big", 300), topic("fine", 200)}, false, world.config);
    create.set_writes_max(kMax);
    for (int i = 0; i < 4; i++) { // all partitions of the first, and some of the second
        const auto part = world.store.commit(create.decide(*world.image, world.random));
        REQUIRE(part);
        world.apply(*part);
        CHECK(create.advance(part->revision));
    }
    CreateTopics other({topic("big", 1)}, false, world.config);
    world.run(other);
    port::StoreTransaction lost = create.decide(*world.image, world.random);
    Result<port::StoreChange> change = world.store.commit(lost);
    while (change) { // parts of the second alone
        world.apply(*change);
        REQUIRE(create.advance(change->revision));
        lost = create.decide(*world.image, world.random);
        change = world.store.commit(lost);
    }
    CHECK(run_parts(world, create, [] {}) > 4);
    CHECK(code_of(create.results()[0].error) == Code::topic_exists);
    CHECK_FALSE(create.results()[1].error);
    CHECK(world.topic("fine").partitions.size() == 200);
    size_t partitions = 0;
    for (const port::StoreEntry& entry : world.store.snapshot().entries) {
        partitions += entry.key.starts_with("partitions/") ? 1 : 0;
    }
    CHECK(partitions == 201);
}

TEST_CASE("delete topics: a failure leaves what is done done") {
    World world;
    CreateTopics create({topic("big", 300)}, false, world.config);
    run_parts(world, create, [] {});
    DeleteTopics remove(std::vector<TopicToDelete>{{"big", {}}});
    remove.set_writes_max(kMax);
    const Result<port::StoreChange> first =
        world.store.commit(remove.decide(*world.image, world.random));
    REQUIRE(first);
    world.apply(*first);
    CHECK(remove.advance(first->revision));
    CHECK(remove.decide(*world.image, world.random).writes.size() == kMax);
    remove.finish(Error(Code::store_unavailable, "away"));
    CHECK_FALSE(remove.results()[0].error); // the topic is gone; some of its keys are left behind
}
