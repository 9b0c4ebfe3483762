// Proves what is set at run time beside topics: options of brokers and groups and client quotas,
// from the decision over the store's keys to the image, and that loading gives what applying gave.
#include "server/metadata/decide_configs.h"
#include "server/metadata/decide_quotas.h"
#include "server/metadata/decide_topics.h"
#include "tests/unit/server/metadata/metadata_world.h"

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

using Options = std::vector<config::RequestedOption>;
using Alterations = std::vector<config::Alteration>;
using Name = QuotaEntity::Name;

std::optional<Error> alter(World& world, Resource resource, std::string name, Alterations change) {
    AlterConfigs operation({{std::move(name), std::move(change), resource}}, false, world.config);
    world.run(operation);
    return operation.results().at(0);
}

std::optional<Error> alter(World& world, QuotaEntity entity, std::string key,
                           std::optional<double> value) {
    AlterQuotas operation({{std::move(entity), {{std::move(key), value}}}}, false);
    world.run(operation);
    return operation.results().at(0);
}

} // namespace

TEST_CASE("broker options: what is set at run time reaches topics without a value of their own") {
    World world;
    NewTopic plain;
    plain.name = "plain";
    NewTopic own;
    own.name = "own";
    own.configs = {{"retention.ms", "7"}};
    CreateTopics create({plain, own}, false, world.config);
    world.run(create);
    CHECK_FALSE(alter(world, Resource::broker, "", {{"log.retention.ms", 0, "100"}}));
    CHECK(world.store.has("configs/brokers/default"));
    CHECK(world.topic("plain").effective.retention_ms == 100);
    CHECK(world.topic("own").effective.retention_ms == 7);
    CHECK(world.delta.topics_changed == std::vector<TopicId>{world.topic("plain").id});
    CHECK_FALSE(alter(world, Resource::broker, "1", {{"log.retention.ms", 0, "50"}}));
    CHECK(world.topic("plain").effective.retention_ms == 50);
    Replay fresh(world.config);
    const auto loaded = fresh.load(world.store.snapshot());
    REQUIRE(loaded);
    CHECK(loaded->image->topic("plain")->effective == world.topic("plain").effective);
    CHECK(*loaded->image->broker == *world.image->broker);
    CHECK_FALSE(alter(world, Resource::broker, "1", {{"log.retention.ms", 1, {}}}));
    CHECK_FALSE(world.store.has("configs/brokers/1"));
    CHECK(world.topic("plain").effective.retention_ms == 100);
}

TEST_CASE("broker options: what is refused") {
    World world;
    const auto code = [&](std::string name, Alterations change) {
        return code_of(alter(world, Resource::broker, std::move(name), std::move(change)));
    };
    CHECK(code("1", {{"num.partitions", 0, "3"}}) == Code::invalid_request);
    CHECK(code("1", {{"no.such.option", 0, "3"}}) == Code::invalid_config);
    CHECK(code("1", {{"log.retention.ms", 0, "many"}}) == Code::invalid_config);
    CHECK(code("2", {{"log.retention.ms", 0, "1"}}) == Code::invalid_request);
    AlterConfigs both({{"", Options{{"log.retention.ms", "1"}}, Resource::broker},
                       {"1", Options{{"log.retention.ms", "2"}}, Resource::broker}},
                      false, world.config);
    world.run(both);
    CHECK_FALSE(both.results().at(0));
    CHECK(code_of(both.results().at(1)) == Code::invalid_request);
}

TEST_CASE("broker options: an option this version does not know is kept and left out") {
    World world;
    world.write({{broker_configs_key(BrokerId(1)),
                  encode_configs({{"of.a.later.version", "1"}, {"max.connections", "9"}})}});
    CHECK(world.image->broker->connections_max == 9);
    CHECK_FALSE(alter(world, Resource::broker, "1", {{"of.a.later.version", 1, {}}}));
    CHECK(world.image->broker_configs.at(BrokerId(1)).options.size() == 1);
}

TEST_CASE("group options: set, bounded, removed") {
    World world;
    CHECK_FALSE(
        alter(world, Resource::group, "a/b", {{"consumer.heartbeat.interval.ms", 0, "9000"}}));
    CHECK(world.image->group_overrides("a/b").at("consumer.heartbeat.interval.ms") == "9000");
    CHECK(world.image->group_overrides("other").empty());
    CHECK(code_of(alter(world, Resource::group, "a/b",
                        {{"consumer.heartbeat.interval.ms", 0, "50000"}})) == Code::invalid_config);
    CHECK(code_of(alter(world, Resource::group, "", {})) == Code::invalid_request);
    CHECK_FALSE(alter(world, Resource::group, "a/b", {{"consumer.heartbeat.interval.ms", 1, {}}}));
    CHECK(world.image->group_configs.empty());
}

TEST_CASE("quotas: set, replaced, removed; the key names the entity") {
    World world;
    const QuotaEntity entity{.user = Name("a=b, c"), .client_id = Name()};
    CHECK_FALSE(alter(world, entity, "producer_byte_rate", 1024));
    CHECK(world.store.has("quotas/user=a%3Db%2C%20c,client-id=<default>"));
    CHECK_FALSE(alter(world, entity, "request_percentage", 12.5));
    CHECK(
        world.image->quotas.at(entity).values ==
        std::map<std::string, double>{{"producer_byte_rate", 1024}, {"request_percentage", 12.5}});
    Replay fresh(world.config);
    CHECK(fresh.load(world.store.snapshot())->image->quotas.at(entity).values.size() == 2);
    CHECK_FALSE(alter(world, entity, "producer_byte_rate", {}));
    CHECK_FALSE(alter(world, entity, "request_percentage", {}));
    CHECK(world.image->quotas.empty());
}

TEST_CASE("quotas: what is refused") {
    World world;
    const auto code = [&](QuotaEntity entity, std::string key, double value) {
        return code_of(alter(world, std::move(entity), std::move(key), value));
    };
    const QuotaEntity user{.user = Name("u")};
    CHECK(code({}, "producer_byte_rate", 1) == Code::invalid_request);
    CHECK(code({.user = Name("")}, "producer_byte_rate", 1) == Code::invalid_request);
    CHECK(code({.user = Name("u"), .ip = Name()}, "producer_byte_rate", 1) ==
          Code::invalid_request);
    CHECK(code({.ip = Name("no address")}, "connection_creation_rate", 1) == Code::invalid_request);
    CHECK(code(user, "connection_creation_rate", 1) == Code::invalid_request);
    CHECK(code(user, "producer_byte_rate", 0) == Code::invalid_request);
    CHECK(code(user, "producer_byte_rate", 1.5) == Code::invalid_request);
    CHECK_FALSE(alter(world, {.ip = Name("::1")}, "connection_creation_rate", 1));
    AlterQuotas twice({{user, {}}, {user, {}}}, false);
    world.run(twice);
    CHECK(code_of(twice.results().at(1)) == Code::invalid_request);
}

TEST_CASE("quota entities: what a key cannot say is refused") {
    for (const char* text : {"user", "user=%4", "user=%zz", "client-id=a,user=b", "planet=x",
                             "user=a,user=b", "user=", "user=%61", ""}) {
        CAPTURE(text);
        CHECK_FALSE(parse_quota_entity(text));
    }
    CHECK(parse_quota_entity("ip=<default>") == QuotaEntity{.ip = Name()});
}
