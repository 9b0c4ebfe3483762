// Proves what CreateTopics, DeleteTopics and CreatePartitions write and refuse, each item alone,
// and that guards catch every change made meanwhile.
#include "server/metadata/decide_configs.h"
#include "server/metadata/decide_topics.h"
#include "tests/unit/server/metadata/metadata_world.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

NewTopic sized(std::string name, int32_t partitions, int16_t factor) {
    NewTopic topic;
    topic.name = std::move(name);
    topic.partition_count = partitions;
    topic.replication_factor = factor;
    return topic;
}

CreatedTopic create(World& world, NewTopic topic) {
    CreateTopics operation({std::move(topic)}, false, world.config);
    world.run(operation);
    return operation.results().at(0);
}

std::vector<BrokerId> ids(std::initializer_list<int32_t> numbers) {
    std::vector<BrokerId> out;
    for (const int32_t number : numbers) {
        out.emplace_back(number);
    }
    return out;
}

NewTopic assigned(std::vector<ReplicaAssignment> assignments) {
    NewTopic topic = sized("manual", -1, -1);
    topic.assignments = std::move(assignments);
    return topic;
}

} // namespace

TEST_CASE("create: a topic is there with its partitions, leaders and configs") {
    World world;
    NewTopic asked = sized("orders", 6, 2);
    asked.configs.push_back({"retention.ms", " 60000 "});
    const CreatedTopic created = create(world, asked);
    CHECK_FALSE(created.error);
    CHECK(created.partition_count == 6);
    CHECK(created.replication_factor == 2);
    CHECK(created.configs == config::TopicOverrides{{"retention.ms", "60000"}});

    const TopicImage& topic = world.topic("orders");
    CHECK(topic.id == created.id);
    CHECK(world.image->topic(created.id) == &topic);
    CHECK(topic.mod_revision == world.image->revision);
    CHECK(topic.configs_revision == world.image->revision);
    CHECK(topic.effective.retention_ms == 60000);
    REQUIRE(topic.partitions.size() == 6);
    std::map<BrokerId, int> leaders;
    for (const PartitionImage& partition : topic.partitions) {
        CHECK(partition.replicas.size() == 2);
        CHECK(partition.isr == partition.replicas);
        CHECK(partition.leader == partition.replicas[0]);
        CHECK(partition.leader_epoch == LeaderEpoch(0));
        leaders[partition.leader]++;
    }
    CHECK(leaders == std::map<BrokerId, int>{{BrokerId(1), 2}, {BrokerId(2), 2}, {BrokerId(3), 2}});
    CHECK(world.delta.topics_created == std::vector<TopicId>{created.id});
    CHECK(world.delta.topics_changed.empty());
}

TEST_CASE("create: -1 takes the broker's defaults") {
    config::BrokerConfig start;
    start.num_partitions = 5;
    start.default_replication_factor = 3;
    World world(3, start);
    const CreatedTopic created = create(world, sized("orders", -1, -1));
    CHECK(created.partition_count == 5);
    CHECK(created.replication_factor == 3);
    CHECK(created.configs.empty());
    CHECK_FALSE(world.store.has(topic_configs_key(created.id)));
}

TEST_CASE("create: what is refused, and with which code") {
    World world;
    create(world, sized("taken", 1, 1));
    create(world, sized("dotted.name", 1, 1));
    NewTopic bad_config = sized("config", 1, 1);
    bad_config.configs.push_back({"no.such.option", "1"});
    NewTopic null_config = sized("config", 1, 1);
    null_config.configs.push_back({"retention.ms", std::nullopt});
    NewTopic config_twice = sized("config", 1, 1);
    config_twice.configs = {{"retention.ms", "1"}, {"retention.ms", "2"}};
    NewTopic both = assigned({{0, ids({1})}});
    both.partition_count = 1;
    const struct {
        NewTopic topic;
        Code code;
    } cases[] = {
        {sized("taken", 1, 1), Code::topic_exists},
        {sized("", 1, 1), Code::invalid_topic_name},
        {sized("a b", 1, 1), Code::invalid_topic_name},
        {sized("dotted_name", 1, 1), Code::invalid_topic_name},
        {sized("a", 0, 1), Code::invalid_partitions},
        {sized("a", -2, 1), Code::invalid_partitions},
        {sized("a", 1, 0), Code::invalid_replication_factor},
        {sized("a", 1, -2), Code::invalid_replication_factor},
        {sized("a", 1, 4), Code::invalid_replication_factor},
        {sized("a", kPartitionsPerRequestMax + 1, 1), Code::policy_violation},
        {sized("a", INT32_MAX, 1), Code::policy_violation},
        {bad_config, Code::invalid_config},
        {null_config, Code::invalid_config},
        {config_twice, Code::invalid_request},
        {both, Code::invalid_request},
        {assigned({{1, ids({1})}}), Code::invalid_replica_assignment},
        {assigned({{-1, ids({1})}}), Code::invalid_replica_assignment},
        {assigned({{0, ids({1})}, {0, ids({1})}}), Code::invalid_replica_assignment},
        {assigned({{0, ids({1})}, {1, ids({1, 2})}}), Code::invalid_replica_assignment},
        {assigned({{0, ids({})}}), Code::invalid_replica_assignment},
        {assigned({{0, ids({1, 1})}}), Code::invalid_replica_assignment},
        {assigned({{0, ids({9})}}), Code::invalid_replica_assignment},
    };
    for (const auto& c : cases) {
        CAPTURE(c.topic.name);
        CAPTURE(c.topic.partition_count);
        CreateTopics operation({c.topic}, false, world.config);
        CHECK(world.run(operation).empty());
        CHECK(code_of(operation.results().at(0).error) == c.code);
    }
}

TEST_CASE("create: explicit assignments are kept") {
    World world;
    const CreatedTopic created = create(world, assigned({{1, ids({3, 1})}, {0, ids({2, 3})}}));
    CHECK_FALSE(created.error);
    CHECK(created.replication_factor == 2);
    CHECK(world.topic("manual").partitions.at(0).replicas == ids({2, 3}));
    CHECK(world.topic("manual").partitions.at(1).replicas == ids({3, 1}));
    CHECK(world.topic("manual").partitions.at(1).leader == BrokerId(3));
}

TEST_CASE("create: items of one request stand alone, a name twice fails both times") {
    World world;
    CreateTopics operation({sized("a", 1, 1), sized("twice", 1, 1), sized("b.c", 1, 1),
                            sized("twice", 1, 1), sized("b_c", 1, 1)},
                           false, world.config);
    world.run(operation);
    const auto& results = operation.results();
    CHECK_FALSE(results.at(0).error);
    CHECK(code_of(results.at(1).error) == Code::invalid_request);
    CHECK_FALSE(results.at(2).error);
    CHECK(code_of(results.at(3).error) == Code::invalid_request);
    CHECK(code_of(results.at(4).error) == Code::invalid_topic_name);
    CHECK(world.image->topics_by_name.size() == 2);
}

TEST_CASE("create: the bound on partitions holds over the items of a request") {
    World world;
    CreateTopics operation({sized("a", 6000, 1), sized("b", 6000, 1), sized("c", 4000, 1)}, true,
                           world.config);
    world.run(operation);
    CHECK_FALSE(operation.results().at(0).error);
    CHECK(code_of(operation.results().at(1).error) == Code::policy_violation);
    CHECK_FALSE(operation.results().at(2).error);
}

TEST_CASE("create: validate_only writes nothing and answers as if") {
    World world;
    CreateTopics operation({sized("a", 2, 1), sized("", 1, 1)}, true, world.config);
    CHECK(world.run(operation).empty());
    CHECK_FALSE(operation.results().at(0).error);
    CHECK(operation.results().at(0).partition_count == 2);
    CHECK(code_of(operation.results().at(1).error) == Code::invalid_topic_name);
}

TEST_CASE("create: a conflict is decided again and then sees the topic") {
    World world;
    CreateTopics first({sized("a", 1, 1)}, false, world.config);
    CreateTopics second({sized("a", 3, 1)}, false, world.config);
    const port::StoreTransaction late = second.decide(*world.image, world.random);
    world.run(first);
    CHECK(world.store.commit(late).error().code == Code::store_conflict);
    CHECK(world.run(second).empty());
    CHECK(code_of(second.results().at(0).error) == Code::topic_exists);
    CHECK(world.topic("a").partitions.size() == 1);
}

TEST_CASE("create: a failed change fails the items that were fine, and those keep no id") {
    World world;
    CreateTopics operation({sized("a", 1, 1), sized("", 1, 1)}, false, world.config);
    operation.decide(*world.image, world.random);
    operation.finish(Error(Code::storage_full, "no space"));
    CHECK(code_of(operation.results().at(0).error) == Code::storage_full);
    CHECK(operation.results().at(0).id.is_zero());
    CHECK(code_of(operation.results().at(1).error) == Code::invalid_topic_name);
}

TEST_CASE("create: the topic's key is the last write") {
    World world;
    CreateTopics operation({sized("a", 3, 1)}, false, world.config);
    const std::vector<port::StoreWrite> writes = world.run(operation);
    REQUIRE(writes.size() == 4);
    CHECK(writes.back().key == topic_key("a"));
}

TEST_CASE("delete: removes every key of the topic and remembers it as trash") {
    World world;
    NewTopic asked = sized("orders", 3, 1);
    asked.configs.push_back({"retention.ms", "1"});
    const TopicId id = create(world, asked).id;
    const TopicId other = create(world, sized("other", 1, 1)).id;
    DeleteTopics operation({{"orders", {}}, {"missing", {}}, {"", topic_id(9)}, {"", other}});
    world.run(operation);
    const auto& results = operation.results();
    CHECK_FALSE(results.at(0).error);
    CHECK(results.at(0).id == id);
    CHECK(code_of(results.at(1).error) == Code::unknown_topic);
    CHECK(results.at(1).name == "missing");
    CHECK(code_of(results.at(2).error) == Code::unknown_topic_id);
    CHECK(results.at(2).name.empty());
    CHECK_FALSE(results.at(3).error);
    CHECK(results.at(3).name == "other");
    CHECK(world.image->topics_by_name.empty());
    CHECK(world.image->topics_by_id.empty());
    CHECK(world.image->trash == std::map<TopicId, std::string>{{id, "orders"}, {other, "other"}});
    CHECK(world.delta.topics_deleted.size() == 2);
    for (const port::StoreEntry& entry : world.store.snapshot().entries) {
        CHECK((entry.key.starts_with("brokers/") || entry.key.starts_with("trash/") ||
               entry.key.starts_with("live/")));
    }
    // The name is free again, for a topic with another id.
    CHECK(create(world, sized("orders", 1, 1)).id != id);
}

TEST_CASE("delete: one topic twice, also by name and by id, is refused") {
    World world;
    const TopicId id = create(world, sized("orders", 1, 1)).id;
    DeleteTopics operation({{"orders", {}}, {"", id}});
    CHECK(world.run(operation).empty());
    CHECK(code_of(operation.results().at(0).error) == Code::invalid_request);
    CHECK(code_of(operation.results().at(1).error) == Code::invalid_request);
}

TEST_CASE("delete: partitions or configs that appear meanwhile are a conflict, not left behind") {
    World world;
    create(world, sized("orders", 1, 1));
    DeleteTopics remove({{"orders", TopicId{}}});
    SUBCASE("partitions") {
        const port::StoreTransaction late = remove.decide(*world.image, world.random);
        CreatePartitions more({{"orders", 2, std::nullopt}}, false);
        world.run(more);
        CHECK(world.store.commit(late).error().code == Code::store_conflict);
    }
    SUBCASE("configs") {
        const port::StoreTransaction late = remove.decide(*world.image, world.random);
        AlterConfigs alter(
            {{"orders", std::vector<config::RequestedOption>{{"retention.ms", "1"}}}}, false,
            world.config);
        world.run(alter);
        CHECK(world.store.commit(late).error().code == Code::store_conflict);
    }
    world.run(remove);
    CHECK(world.store.snapshot().entries.size() == 7); // three live brokers, one trash
}

TEST_CASE("create and delete: what is refused for what an old image shows is decided again") {
    World world;
    create(world, sized("there", 1, 1));
    CreateTopics again({sized("there", 1, 1)}, false, world.config);
    const port::StoreTransaction exists = again.decide(*world.image, world.random);
    DeleteTopics remove({{"missing", TopicId{}}});
    const port::StoreTransaction missing = remove.decide(*world.image, world.random);
    CHECK(exists.writes.empty());
    CHECK(missing.writes.empty());
    CHECK(world.store.commit(exists)); // nothing has changed: so it is
    CHECK(world.store.commit(missing));

    DeleteTopics other({{"there", TopicId{}}});
    world.run(other);
    create(world, sized("missing", 1, 1));
    CHECK(world.store.commit(exists).error().code == Code::store_conflict);
    CHECK(world.store.commit(missing).error().code == Code::store_conflict);
    again.finish(Error(Code::store_conflict, "faster")); // not confirmed: not said
    remove.finish(Error(Code::store_conflict, "faster"));
    CHECK(code_of(again.results().at(0).error) == Code::store_conflict);
    CHECK(code_of(remove.results().at(0).error) == Code::store_conflict);
    world.run(again);
    CHECK_FALSE(again.results().at(0).error);
    world.run(remove);
    CHECK_FALSE(remove.results().at(0).error);
    CHECK(world.image->topic("missing") == nullptr);
}

TEST_CASE("delete: trash has a bound, new entries stay") {
    World world;
    std::vector<port::StoreWrite> old;
    for (size_t i = 0; i < kTrashedTopicsMax; i++) {
        old.push_back({trash_key(make_uuid(world.random.next(), i)), encode_trash("old")});
    }
    world.write(old);
    const TopicId id = create(world, sized("orders", 1, 1)).id;
    DeleteTopics operation({{"orders", TopicId{}}});
    world.run(operation);
    CHECK(world.image->trash.size() == kTrashedTopicsMax);
    CHECK(world.image->trash.at(id) == "orders");
}

TEST_CASE("more partitions: the new ones are added, the old ones stay as they are") {
    World world;
    create(world, sized("orders", 2, 2));
    const std::vector<PartitionImage> before = world.topic("orders").partitions;
    CreatePartitions operation({{"orders", 5, std::nullopt}}, false);
    world.run(operation);
    CHECK_FALSE(operation.results().at(0));
    const TopicImage& topic = world.topic("orders");
    REQUIRE(topic.partitions.size() == 5);
    CHECK(std::equal(before.begin(), before.end(), topic.partitions.begin()));
    CHECK(topic.partitions[4].replicas.size() == 2);
    CHECK(world.delta.topics_changed == std::vector<TopicId>{topic.id});
    CHECK(world.delta.topics_created.empty());
}

TEST_CASE("more partitions: what is refused, and with which code") {
    World world;
    create(world, sized("orders", 2, 2));
    using Assignments = std::vector<std::vector<BrokerId>>;
    const struct {
        MorePartitions more;
        Code code;
    } cases[] = {
        {{"missing", 3, std::nullopt}, Code::unknown_topic},
        {{"orders", 2, std::nullopt}, Code::invalid_partitions},
        {{"orders", -1, std::nullopt}, Code::invalid_partitions},
        {{"orders", INT32_MAX, std::nullopt}, Code::policy_violation},
        {{"orders", 3, Assignments{}}, Code::invalid_replica_assignment},
        {{"orders", 3, Assignments{ids({1})}}, Code::invalid_replica_assignment},
        {{"orders", 3, Assignments{ids({1, 9})}}, Code::invalid_replica_assignment},
        {{"orders", 3, Assignments{ids({1, 2}), ids({1, 2})}}, Code::invalid_replica_assignment},
    };
    for (const auto& c : cases) {
        CAPTURE(c.more.count);
        CreatePartitions operation({c.more}, false);
        CHECK(world.run(operation).empty());
        CHECK(code_of(operation.results().at(0)) == c.code);
    }
    CreatePartitions twice({{"orders", 3, std::nullopt}, {"orders", 4, std::nullopt}}, false);
    CHECK(world.run(twice).empty());
    CHECK(code_of(twice.results().at(0)) == Code::invalid_request);
    CHECK(code_of(twice.results().at(1)) == Code::invalid_request);
    CreatePartitions given({{"orders", 3, Assignments{ids({3, 1})}}}, false);
    world.run(given);
    CHECK_FALSE(given.results().at(0));
    CHECK(world.topic("orders").partitions.at(2).replicas == ids({3, 1}));
}

TEST_CASE("more partitions: two writers, one wins, the other decides again") {
    World world;
    create(world, sized("orders", 1, 1));
    CreatePartitions first({{"orders", 3, std::nullopt}}, false);
    CreatePartitions second({{"orders", 2, std::nullopt}}, false);
    const port::StoreTransaction late = second.decide(*world.image, world.random);
    world.run(first);
    CHECK(world.store.commit(late).error().code == Code::store_conflict);
    world.run(second);
    CHECK(code_of(second.results().at(0)) == Code::invalid_partitions);
    CHECK(world.topic("orders").partitions.size() == 3);
}
