// Proves that replay gives the same image from a snapshot as from the changes one by one, that each
// delta says exactly what changed, and that what it cannot read stops it with the key's name.
#include "server/metadata/decide_configs.h"
#include "server/metadata/decide_ids.h"
#include "server/metadata/decide_topics.h"
#include "server/metadata/replay.h"
#include "tests/unit/server/metadata/metadata_world.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

bool equal(const TopicImage& a, const TopicImage& b) {
    return a.id == b.id && a.name == b.name && a.mod_revision == b.mod_revision &&
           a.partitions == b.partitions &&
           std::equal(a.partitions.begin(), a.partitions.end(), b.partitions.begin(),
                      [](const PartitionImage& x, const PartitionImage& y) {
                          return x.mod_revision == y.mod_revision;
                      }) &&
           a.configs == b.configs && a.effective == b.effective &&
           a.configs_revision == b.configs_revision;
}

bool equal(const Image& a, const Image& b) {
    const auto same_topics = [](const auto& x, const auto& y) {
        return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const auto& p, const auto& q) {
            return p.first == q.first && equal(*p.second, *q.second);
        });
    };
    return a.revision == b.revision && a.cluster_id == b.cluster_id && a.brokers == b.brokers &&
           a.controller == b.controller && same_topics(a.topics_by_name, b.topics_by_name) &&
           same_topics(a.topics_by_id, b.topics_by_id) && a.trash == b.trash &&
           a.next_producer_id == b.next_producer_id &&
           a.producer_ids_revision == b.producer_ids_revision;
}

// What the delta should be, found the slow way.
void check_delta(const Image& before, const Image& after, const Delta& delta) {
    Delta expected;
    for (const auto& [id, topic] : after.topics_by_id) {
        const TopicImage* old = before.topic(id);
        if (old == nullptr) {
            expected.topics_created.push_back(id);
        } else if (old->partitions != topic->partitions || old->configs != topic->configs) {
            expected.topics_changed.push_back(id);
        }
    }
    for (const auto& entry : before.topics_by_id) {
        if (after.topic(entry.first) == nullptr) {
            expected.topics_deleted.push_back(entry.first);
        }
    }
    CHECK(delta.revision == after.revision);
    CHECK(delta.topics_created == expected.topics_created);
    CHECK(delta.topics_changed == expected.topics_changed);
    CHECK(delta.topics_deleted == expected.topics_deleted);
}

std::unique_ptr<Operation> random_operation(Prng& prng, const World& world) {
    const std::string name = "t" + std::to_string(prng.below(8));
    switch (prng.below(6)) {
    case 0:
    case 1: {
        std::vector<NewTopic> topics;
        for (uint64_t i = 0; i < 1 + prng.below(3); i++) {
            NewTopic& topic = topics.emplace_back();
            topic.name = "t" + std::to_string(prng.below(8));
            topic.partition_count = static_cast<int32_t>(1 + prng.below(4));
            if (prng.below(2) == 0) {
                topic.configs.push_back({"retention.ms", std::to_string(prng.below(100))});
            }
        }
        return std::make_unique<CreateTopics>(topics, false, world.config);
    }
    case 2:
        return std::make_unique<DeleteTopics>(std::vector<TopicToDelete>{{name, {}}});
    case 3:
        return std::make_unique<CreatePartitions>(
            std::vector<MorePartitions>{
                {name, static_cast<int32_t>(1 + prng.below(9)), std::nullopt}},
            false);
    case 4: {
        std::vector<config::RequestedOption> options;
        if (prng.below(3) != 0) {
            options.push_back({"segment.bytes", std::to_string(1048576 + prng.below(3))});
        }
        return std::make_unique<AlterConfigs>(std::vector<ResourceChange>{{name, options}}, false,
                                              world.config);
    }
    default:
        return std::make_unique<AllocateProducerIds>();
    }
}

port::StoreWrite partition(uint8_t id, int32_t index) {
    PartitionImage image;
    image.replicas = {BrokerId(1)};
    image.isr = {BrokerId(1)};
    image.leader = BrokerId(1);
    return {partition_key(topic_id(id), index), encode_partition(image)};
}

port::StoreWrite topic(const std::string& name, uint8_t id, int32_t count) {
    return {topic_key(name), encode_topic({topic_id(id), count})};
}

Result<Replay::Step> apply(World& world, std::vector<port::StoreWrite> writes) {
    return world.replay.apply({world.image->revision + 1, std::move(writes)});
}

} // namespace

TEST_CASE("replay: a broker is live while its key is there, whichever came first") {
    World world(1);
    const BrokerId one(1);
    world.write({{live_key(one), std::nullopt}});
    CHECK_FALSE(world.image->is_live(one));
    world.write({{live_key(one), encode_live(topic_id(9))}});
    CHECK(world.image->find_broker(one)->epoch == world.image->revision);
    CHECK(world.image->find_broker(one)->live_incarnation == topic_id(9));
    CHECK(world.delta.brokers_changed == std::vector<BrokerId>{one});
    CHECK(world.delta.topics_changed.empty());

    const Revision epoch = world.image->revision;
    BrokerImage broker = *world.image->find_broker(one);
    broker.rack = "elsewhere";
    world.write({{broker_key(one), encode_broker(broker)}});
    CHECK(world.image->find_broker(one)->epoch == epoch);
    CHECK(world.image->find_broker(one)->mod_revision == world.image->revision);
    world.write({{live_key(one), std::nullopt}});
    CHECK_FALSE(world.image->is_live(one));
    CHECK(world.delta.brokers_changed == std::vector<BrokerId>{one});

    world.write({{live_key(BrokerId(5)), encode_live(topic_id(9))}});
    CHECK_FALSE(world.image->is_live(BrokerId(5)));
    CHECK(world.delta.brokers_changed.empty());
    broker.id = BrokerId(5);
    world.write({{broker_key(broker.id), encode_broker(broker)}});
    CHECK(world.image->is_live(BrokerId(5)));
}

TEST_CASE("replay: the controller is who wrote its key") {
    World world(1);
    CHECK(world.image->controller.id == kNoBroker);
    world.write({{controller_key(), encode_controller(BrokerId(1))}});
    CHECK(world.image->controller.id == BrokerId(1));
    CHECK(world.image->controller.revision == world.image->revision);
    CHECK(world.delta.controller_changed);
    world.write({{controller_key(), std::nullopt}});
    CHECK(world.image->controller == ControllerImage{});
    CHECK(world.delta.controller_changed);
}

TEST_CASE("replay: a delta names the partitions that changed") {
    World world;
    CreateTopics create({{"t", 3, 1, {}, {}}}, false, world.config);
    world.run(create);
    CHECK(world.delta.partitions_changed.empty()); // created
    const TopicImage& topic = world.topic("t");
    PartitionImage changed = topic.partitions[1];
    const PartitionKey key{topic.id, PartitionIndex(1)};
    world.write({{partition_key(key.topic_id, 1), encode_partition(changed)}});
    CHECK(world.delta.partitions_changed.empty()); // the same again
    CHECK(world.image->partition(key)->mod_revision == world.image->revision);
    changed.partition_epoch++;
    world.write({{partition_key(key.topic_id, 1), encode_partition(changed)}});
    CHECK(world.delta.partitions_changed == std::vector<PartitionKey>{key});
    CHECK(world.delta.topics_changed == std::vector<TopicId>{key.topic_id});
    CreatePartitions more({{"t", 4, std::nullopt}}, false);
    world.run(more);
    CHECK(world.delta.partitions_changed ==
          std::vector<PartitionKey>{{key.topic_id, PartitionIndex(3)}});
    CHECK(world.image->partition({key.topic_id, PartitionIndex(4)}) == nullptr);
}

TEST_CASE("replay: loading a snapshot gives what applying the changes gave") {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        CAPTURE(seed);
        Prng prng(seed);
        World world;
        for (int round = 0; round < 60; round++) {
            const ImageRef before = world.image;
            const std::unique_ptr<Operation> operation = random_operation(prng, world);
            if (world.run(*operation).empty()) {
                continue;
            }
            check_delta(*before, *world.image, world.delta);
            Replay fresh(world.config);
            const Result<Replay::Step> loaded = fresh.load(world.store.snapshot());
            REQUIRE(loaded);
            CHECK(equal(*loaded->image, *world.image));
            check_delta(Image{}, *loaded->image, loaded->delta);
        }
    }
}

TEST_CASE("replay: a load in place of what is known says the difference") {
    World behind;
    World ahead;
    CreateTopics create({{"a", 1, 1, {}, {}}, {"b", 1, 1, {}, {}}}, false, ahead.config);
    ahead.run(create);
    behind.write({topic("gone", 9, 1), partition(9, 0)});
    const ImageRef before = behind.image;
    const Result<Replay::Step> step = behind.replay.load(ahead.store.snapshot());
    REQUIRE(step);
    check_delta(*before, *step->image, step->delta);
    CHECK(step->delta.topics_deleted == std::vector<TopicId>{topic_id(9)});
    CHECK(step->delta.topics_created.size() == 2);
}

TEST_CASE("replay: a topic written in pieces appears whole, in any order of keys") {
    World world(1);
    world.write({partition(1, 1)});
    world.write({partition(1, 0),
                 {topic_configs_key(topic_id(1)), encode_configs({{"retention.ms", "5"}})}});
    CHECK(world.image->topics_by_id.empty());
    CHECK(world.delta.topics_created.empty());
    world.write({topic("a", 1, 2)});
    CHECK(world.delta.topics_created == std::vector<TopicId>{topic_id(1)});
    CHECK(world.topic("a").partitions.size() == 2);
    CHECK(world.topic("a").effective.retention_ms == 5);
    CHECK(world.topic("a").configs_revision < world.topic("a").mod_revision);

    world.write({partition(1, 2)});
    CHECK(world.topic("a").partitions.size() == 2);
    CHECK(world.delta.topics_changed.empty());
    world.write({topic("a", 1, 3)});
    CHECK(world.topic("a").partitions.size() == 3);
    CHECK(world.delta.topics_changed == std::vector<TopicId>{topic_id(1)});

    world.write({{topic_key("a"), std::nullopt}});
    CHECK(world.image->topics_by_id.empty());
    CHECK(world.delta.topics_deleted == std::vector<TopicId>{topic_id(1)});
    world.write({{partition_key(topic_id(1), 0), std::nullopt},
                 {partition_key(topic_id(1), 1), std::nullopt},
                 {partition_key(topic_id(1), 2), std::nullopt}});
    Replay fresh(world.config);
    CHECK(equal(*fresh.load(world.store.snapshot())->image, *world.image));
}

TEST_CASE("replay: one name may pass to another topic in one change") {
    World world(1);
    world.write({topic("a", 1, 1), partition(1, 0)});
    world.write({partition(2, 0), topic("a", 2, 1), {partition_key(topic_id(1), 0), std::nullopt}});
    CHECK(world.topic("a").id == topic_id(2));
    CHECK(world.delta.topics_created == std::vector<TopicId>{topic_id(2)});
    CHECK(world.delta.topics_deleted == std::vector<TopicId>{topic_id(1)});
}

TEST_CASE("replay: a key written again with the same value moves revisions, not the delta") {
    World world(1);
    world.write({topic("a", 1, 1), partition(1, 0)});
    world.write({topic("a", 1, 1), partition(1, 0)});
    CHECK(world.topic("a").mod_revision == world.image->revision);
    CHECK(world.delta.topics_changed.empty());
}

TEST_CASE("replay: topics that a change does not touch are shared with the image before") {
    World world(1);
    world.write({topic("a", 1, 1), partition(1, 0), topic("b", 2, 1), partition(2, 0)});
    const ImageRef before = world.image;
    world.write({topic("a", 1, 2), partition(1, 1)});
    CHECK(before->topic("a")->partitions.size() == 1);
    CHECK(before->topic("b") == world.image->topic("b"));
    CHECK(world.image->topic("a") == world.image->topic(topic_id(1)));
}

TEST_CASE("replay: what cannot be is an error, and leaves the image as it was") {
    World world(1);
    world.write({topic("a", 1, 2), partition(1, 0), partition(1, 1)});
    const struct {
        std::vector<port::StoreWrite> writes;
        Code code;
        std::string_view named;
    } cases[] = {
        {{{"planets/x", "{}"}}, Code::unsupported_version, "planets/x"},
        {{{"topics/b", R"({"version":2})"}}, Code::unsupported_version, "topics/b"},
        {{{"topics/b", "?"}}, Code::storage_damaged, "topics/b"},
        {{{"brokers/x", "{}"}}, Code::storage_damaged, "brokers/x"},
        {{topic("b", 2, 1)}, Code::storage_damaged, "partition 0"},
        {{topic("b", 2, INT32_MAX), partition(2, 0), partition(2, 2)},
         Code::storage_damaged,
         "partition 1"},
        {{topic("b", 1, 2)}, Code::storage_damaged, "same id"},
        {{topic("a", 1, 1)}, Code::storage_damaged, "fell"},
        {{{partition_key(topic_id(1), 1), std::nullopt}}, Code::storage_damaged, "partition 1"},
        {{{topic_configs_key(topic_id(1)), encode_configs({{"retention.ms", "x"}})}},
         Code::invalid_config,
         "'a'"},
    };
    for (const auto& c : cases) {
        CAPTURE(c.named);
        const Result<Replay::Step> step = apply(world, c.writes);
        REQUIRE_FALSE(step);
        CHECK(step.error().code == c.code);
        CHECK(step.error().detail.find(c.named) != std::string::npos);
    }
    const Result<Replay::Step> after = apply(world, {partition(1, 2)});
    REQUIRE(after);
    CHECK(after->image->topic("a")->partitions.size() == 2);
    CHECK(after->image->topics_by_name.size() == 1);
}

TEST_CASE("replay: a topic option that no longer exists is kept and has no effect") {
    World world(1);
    world.write({topic("a", 1, 1),
                 partition(1, 0),
                 {topic_configs_key(topic_id(1)), encode_configs({{"was.once", "1"}})}});
    CHECK(world.topic("a").configs.at("was.once") == "1");
    CHECK(world.topic("a").effective == config::TopicConfig{});
}
