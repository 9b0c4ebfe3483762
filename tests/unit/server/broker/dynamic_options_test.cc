// Proves of every broker option that may be set at run time that setting it changes what runs: the
// effective configuration of a topic without options of its own, what the partitions of a core work
// by, or what is read from the options in force at each use. A row that is live and in no table
// here, and accepts another value than its default, fails the test.
#include "server/broker/manager_options.h"
#include "server/metadata/decide_configs.h"
#include "server/metadata/decide_topics.h"
#include "server/replica/log_config.h"
#include "tests/unit/server/metadata/metadata_world.h"

using namespace qtool;
using namespace qtool::metadata;
using namespace qtool::test;

namespace {

enum class SeenBy : uint8_t {
    topic,    // the image of a topic changes, and its partitions hear of it
    manager,  // replica::ManagerOptions
    each_use, // asked of Services::config or Host::config where it matters
};

struct Case {
    std::string value;
    SeenBy seen_by;
};

const std::map<std::string, Case, std::less<>> kCases = {
    {"compression.gzip.level", {"7", SeenBy::topic}},
    {"compression.lz4.level", {"3", SeenBy::topic}},
    {"compression.type", {"zstd", SeenBy::topic}},
    {"compression.zstd.level", {"9", SeenBy::topic}},
    {"group.consumer.assignment.interval.ms", {"2000", SeenBy::each_use}},
    {"log.cleaner.backoff.ms", {"7", SeenBy::manager}},
    {"log.cleaner.dedupe.buffer.size", {"2097152", SeenBy::manager}},
    {"log.cleaner.delete.retention.ms", {"7", SeenBy::topic}},
    {"log.cleaner.io.buffer.size", {"70000", SeenBy::manager}},
    {"log.cleaner.io.max.bytes.per.second", {"70000", SeenBy::manager}},
    {"log.cleaner.max.compaction.lag.ms", {"7", SeenBy::topic}},
    {"log.cleaner.min.cleanable.ratio", {"0.25", SeenBy::topic}},
    {"log.cleaner.min.compaction.lag.ms", {"7", SeenBy::topic}},
    {"log.cleanup.policy", {"compact", SeenBy::topic}},
    {"log.flush.interval.messages", {"7", SeenBy::topic}},
    {"log.flush.interval.ms", {"7", SeenBy::topic}},
    {"log.index.interval.bytes", {"70", SeenBy::topic}},
    {"log.index.size.max.bytes", {"70000", SeenBy::topic}},
    {"log.level", {"error", SeenBy::each_use}},
    {"log.message.timestamp.after.max.ms", {"7", SeenBy::topic}},
    {"log.message.timestamp.before.max.ms", {"7", SeenBy::topic}},
    {"follower.replication.throttled.rate", {"70000", SeenBy::manager}},
    {"leader.replication.throttled.rate", {"70000", SeenBy::manager}},
    {"log.message.timestamp.type", {"LogAppendTime", SeenBy::topic}},
    {"log.retention.bytes", {"7", SeenBy::topic}},
    {"log.retention.ms", {"7", SeenBy::topic}},
    {"log.roll.jitter.ms", {"7", SeenBy::topic}},
    {"log.roll.ms", {"7", SeenBy::topic}},
    {"log.segment.bytes", {"2000000", SeenBy::topic}},
    {"log.segment.delete.delay.ms", {"7", SeenBy::topic}},
    {"max.connections", {"7", SeenBy::each_use}},
    {"message.max.bytes", {"70000", SeenBy::topic}},
    {"min.insync.replicas", {"2", SeenBy::topic}},
    {"producer.id.expiration.ms", {"7", SeenBy::manager}},
    {"replica.alter.log.dirs.io.max.bytes.per.second", {"70000", SeenBy::manager}},
    {"unclean.leader.election.enable", {"true", SeenBy::topic}},
    {"write.caching", {"true", SeenBy::topic}},
};

std::optional<Error> set(World& world, std::string_view name, std::optional<std::string> value) {
    const int8_t op = value ? 0 : 1;
    AlterConfigs operation(
        {{"1", std::vector<config::Alteration>{{std::string(name), op, std::move(value)}},
          Resource::broker}},
        false, world.config);
    world.run(operation);
    return operation.results().at(0);
}

void create_plain_topic(World& world) {
    NewTopic topic;
    topic.name = "plain";
    CreateTopics create({topic}, false, world.config);
    world.run(create);
}

} // namespace

TEST_CASE("dynamic options: each has its effect without a restart, and back") {
    for (const auto& [name, one] : kCases) {
        CAPTURE(name);
        const config::OptionRow* row = config::find_option(config::broker_options(), name);
        REQUIRE(row != nullptr);
        CHECK(row->update == config::UpdateMode::live);
        World world;
        create_plain_topic(world);
        const ImageRef before = world.image;
        REQUIRE_FALSE(set(world, name, one.value));

        const config::TopicConfig& was = before->topic("plain")->effective;
        const config::TopicConfig& is = world.image->topic("plain")->effective;
        const bool topic_hears = world.delta.topics_changed.size() == 1;
        const auto options = [](const Image& image) {
            return broker::manager_options(*image.broker, 2);
        };
        switch (one.seen_by) {
        case SeenBy::topic: {
            CHECK_FALSE(is == was);
            CHECK(topic_hears);
            // Beyond the options of its log a partition knows these; a level waits for its codec.
            const bool is_of_log = name != "min.insync.replicas" && name != "write.caching" &&
                                   name != "unclean.leader.election.enable" &&
                                   !name.ends_with(".level");
            const bool log_hears =
                replica::make_log_config(is, 1) != replica::make_log_config(was, 1);
            CHECK(log_hears == is_of_log);
            break;
        }
        case SeenBy::manager:
            CHECK_FALSE(options(*world.image) == options(*before));
            break;
        case SeenBy::each_use: {
            // The options differ in more than the text that was set.
            config::BrokerConfig typed = *world.image->broker;
            typed.dynamic_own.clear();
            CHECK_FALSE(typed == *before->broker);
            break;
        }
        }
        REQUIRE_FALSE(set(world, name, std::nullopt));
        CHECK(*world.image->broker == *before->broker);
        CHECK(world.image->topic("plain")->effective == was);
    }
}

TEST_CASE("dynamic options: no live row is left out, and what is not built is refused") {
    World world;
    for (const config::OptionRow& row : config::broker_options().rows) {
        const std::string name(row.name);
        CAPTURE(name);
        if (row.update == config::UpdateMode::read_only) {
            CHECK(code_of(set(world, name, std::string(row.default_text))) ==
                  Code::invalid_request);
            continue;
        }
        if (kCases.contains(name)) {
            CHECK(row.served == config::Served::yes);
            continue;
        }
        REQUIRE(row.served == config::Served::default_only);
        for (const std::string value : {"true", "false", "1", "7", "0.25"}) {
            if (value != row.default_text) {
                CHECK(code_of(set(world, name, value)) == Code::invalid_config);
            }
        }
    }
}
