// Proves AlterConfigs and AllocateProducerIds: what they write, when they write nothing, and that a
// lost race is decided again.
#include "server/metadata/decide_configs.h"
#include "server/metadata/decide_ids.h"
#include "server/metadata/decide_topics.h"
#include "tests/unit/server/metadata/metadata_world.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

using Options = std::vector<config::RequestedOption>;
using Alterations = std::vector<config::Alteration>;

void make_topics(World& world) {
    NewTopic orders;
    orders.name = "orders";
    orders.configs = {{"retention.ms", "1000"}, {"segment.bytes", "1048576"}};
    NewTopic plain;
    plain.name = "plain";
    CreateTopics create({orders, plain}, false, world.config);
    world.run(create);
}

} // namespace

TEST_CASE("configs: replace takes all options, alter single ones") {
    World world;
    make_topics(world);
    const Revision topic_revision = world.topic("orders").mod_revision;
    AlterConfigs alter({{"orders", Alterations{{"retention.ms", 0, "5"}}}}, false, world.config);
    world.run(alter);
    CHECK_FALSE(alter.results().at(0));
    CHECK(world.topic("orders").configs.at("retention.ms") == "5");
    CHECK(world.topic("orders").configs.at("segment.bytes") == "1048576");
    CHECK(world.topic("orders").effective.retention_ms == 5);
    CHECK(world.topic("orders").mod_revision == topic_revision);
    CHECK(world.topic("orders").configs_revision == world.image->revision);
    CHECK(world.delta.topics_changed == std::vector<TopicId>{world.topic("orders").id});

    AlterConfigs replace({{"orders", Options{{"retention.ms", "7"}}}}, false, world.config);
    world.run(replace);
    CHECK(world.topic("orders").configs == config::TopicOverrides{{"retention.ms", "7"}});

    AlterConfigs empty({{"orders", Options{}}}, false, world.config);
    world.run(empty);
    CHECK(world.topic("orders").configs.empty());
    CHECK(world.topic("orders").configs_revision == Revision(0));
    CHECK_FALSE(world.store.has(topic_configs_key(world.topic("orders").id)));
}

TEST_CASE("configs: no change and validate_only write nothing") {
    World world;
    make_topics(world);
    AlterConfigs same({{"orders", Alterations{{"retention.ms", 0, "1000"}}}, {"plain", Options{}}},
                      false, world.config);
    CHECK(world.run(same).empty());
    CHECK_FALSE(same.results().at(0));
    AlterConfigs only({{"orders", Options{}}}, true, world.config);
    CHECK(world.run(only).empty());
    CHECK_FALSE(only.results().at(0));
}

TEST_CASE("configs: what is refused, each topic alone") {
    World world;
    make_topics(world);
    AlterConfigs alter({{"missing", Options{}},
                        {"orders", Options{{"retention.ms", "many"}}},
                        {"plain", Alterations{{"retention.ms", 0, "9"}}}},
                       false, world.config);
    world.run(alter);
    CHECK(code_of(alter.results().at(0)) == Code::unknown_topic);
    CHECK(code_of(alter.results().at(1)) == Code::invalid_config);
    CHECK_FALSE(alter.results().at(2));
    CHECK(world.topic("plain").effective.retention_ms == 9);
    AlterConfigs twice({{"orders", Options{}}, {"orders", Options{}}}, false, world.config);
    CHECK(world.run(twice).empty());
    CHECK(code_of(twice.results().at(0)) == Code::invalid_request);
    CHECK(code_of(twice.results().at(1)) == Code::invalid_request);
}

TEST_CASE("configs: two writers do not lose an option; a deleted topic gets none") {
    World world;
    make_topics(world);
    AlterConfigs first({{"plain", Alterations{{"retention.ms", 0, "1"}}}}, false, world.config);
    AlterConfigs second({{"plain", Alterations{{"retention.bytes", 0, "2"}}}}, false, world.config);
    const port::StoreTransaction late = second.decide(*world.image, world.random);
    world.run(first);
    CHECK(world.store.commit(late).error().code == Code::store_conflict);
    const port::StoreTransaction again = second.decide(*world.image, world.random);
    DeleteTopics remove({{"plain", TopicId{}}});
    world.run(remove);
    CHECK(world.store.commit(again).error().code == Code::store_conflict);
    CHECK(world.run(second).empty());
    CHECK(code_of(second.results().at(0)) == Code::unknown_topic);
}

TEST_CASE("configs: a failed change is every item's error") {
    World world;
    make_topics(world);
    AlterConfigs alter({{"orders", Options{}}, {"missing", Options{}}}, false, world.config);
    alter.decide(*world.image, world.random);
    alter.finish(Error(Code::store_unavailable, "away"));
    CHECK(code_of(alter.results().at(0)) == Code::store_unavailable);
    CHECK(code_of(alter.results().at(1)) == Code::unknown_topic);
}

TEST_CASE("producer ids: blocks follow each other and never overlap") {
    World world;
    AllocateProducerIds first;
    AllocateProducerIds second;
    const port::StoreTransaction late = second.decide(*world.image, world.random);
    world.run(first);
    CHECK(world.store.commit(late).error().code == Code::store_conflict);
    world.run(second);
    CHECK(first.outcome().value() == 0);
    CHECK(second.outcome().value() == kProducerIdBlockSize);
    CHECK(world.image->next_producer_id == 2 * kProducerIdBlockSize);
    AllocateProducerIds failed;
    failed.decide(*world.image, world.random);
    failed.finish(Error(Code::timed_out, "late"));
    CHECK(failed.outcome().error().code == Code::timed_out);
}

TEST_CASE("producer ids: the last block is the end") {
    World world;
    world.write({{producer_ids_key(), encode_producer_ids(INT64_MAX - 5)}});
    AllocateProducerIds ids;
    CHECK(world.run(ids).empty());
    CHECK(ids.outcome().error().code == Code::internal);
}
