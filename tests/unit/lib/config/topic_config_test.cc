// Proves where a topic's values come from (its own, then the broker's synonyms in order, then the
// table), that no served option is ignored, and the operations of IncrementalAlterConfigs.
#include "lib/config/broker_config.h"
#include "lib/config/topic_config.h"

#include <doctest/doctest.h>

#include <set>

using namespace qtool;
using namespace qtool::config;

namespace {

BrokerConfig broker_with(std::string_view file) {
    BrokerConfigBuilder builder;
    REQUIRE(builder.add_file("f", file).has_value());
    auto broker = builder.build();
    REQUIRE(broker.has_value());
    return *broker;
}

TopicConfig topic_with(const TopicOverrides& overrides, std::string_view file = "") {
    const auto topic = make_topic_config(overrides, broker_with(file));
    REQUIRE(topic.has_value());
    return *topic;
}

std::string other_than_default(const OptionRow& row) {
    if (row.type == OptionType::boolean) {
        return "true";
    }
    if (!row.valid.one_of.empty()) {
        for (const std::string& name : to_list(row.valid.one_of)) {
            if (name != row.default_text) {
                return name;
            }
        }
    }
    if (row.valid.max) {
        return std::to_string(*row.valid.max);
    }
    if (row.name.ends_with(".throttled.replicas")) {
        return "*";
    }
    return "2000000";
}

Alteration alter(std::string name, AlterOp op, std::optional<std::string> value) {
    return {std::move(name), static_cast<int8_t>(op), std::move(value)};
}

Result<TopicOverrides> apply(const TopicOverrides& current, std::vector<Alteration> alterations) {
    return apply_alterations(current, alterations, BrokerConfig());
}

const DescribedOption& find(const std::vector<DescribedOption>& options, std::string_view name) {
    for (const DescribedOption& option : options) {
        if (option.name == name) {
            return option;
        }
    }
    FAIL("not described");
    return options.front();
}

} // namespace

TEST_CASE("topic config: nothing set gives the defaults of the struct") {
    CHECK(topic_with({}) == TopicConfig());
    CHECK(broker_with("").topic_defaults == TopicConfig());
}

TEST_CASE("topic config: no served option is accepted and ignored") {
    // Read from the overrides where they are used: tests/unit/server/replica/replication_test.cc.
    const std::set<std::string, std::less<>> untyped = {"follower.replication.throttled.replicas",
                                                        "leader.replication.throttled.replicas"};
    for (const OptionRow& row : topic_options().rows) {
        if (row.served == Served::yes) {
            CAPTURE(row.name);
            const std::string value = other_than_default(row);
            CHECK((topic_with({{std::string(row.name), value}}) == TopicConfig()) ==
                  untyped.contains(row.name));
            // And so is each broker option it falls back to.
            for (const std::string& synonym : to_list(row.synonyms)) {
                if (find_option(broker_options(), synonym)->served == Served::yes) {
                    CAPTURE(synonym);
                    CHECK_FALSE(topic_with({}, synonym + "=" + value) == TopicConfig());
                }
            }
        }
    }
}

TEST_CASE("topic config: throttled replicas are all, or pairs of partition and broker") {
    for (const char* name :
         {"leader.replication.throttled.replicas", "follower.replication.throttled.replicas"}) {
        const OptionRow& row = *find_option(topic_options(), name);
        const std::pair<const char*, const char*> valid[] = {
            {"", ""}, {"*", "*"}, {" 0:1, 12:3 ", "0:1,12:3"}, {"0:2147483648", "0:2147483648"}};
        for (const auto& [text, normalized] : valid) {
            CAPTURE(text);
            REQUIRE(normalize(row, text));
            CHECK(*normalize(row, text) == normalized);
        }
        for (const char* text : {"1", "1:", ":1", "a:1", "1:-1", "1:2:3", "*,0:1", "0:1,*", "**",
                                 "0 :1", "0:1,,0:2"}) {
            CAPTURE(text);
            CHECK(normalize(row, text).error().code == Code::invalid_config);
        }
    }
}

TEST_CASE("topic config: of the broker's synonyms the first one set wins, in its own unit") {
    CHECK(topic_with({}, "log.retention.hours=2").retention_ms == 7'200'000);
    CHECK(topic_with({}, "log.retention.hours=2\nlog.retention.minutes=3").retention_ms == 180'000);
    CHECK(topic_with({}, "log.retention.hours=2\nlog.retention.ms=5").retention_ms == 5);
    CHECK(topic_with({}, "log.retention.minutes=-7").retention_ms == -1);
    CHECK(topic_with({}, "log.retention.hours=2147483647").retention_ms == 7'730'941'129'200'000);
    CHECK(topic_with({}, "log.roll.hours=1").segment_ms == 3'600'000);
    CHECK(topic_with({}, "log.roll.jitter.hours=1").segment_jitter_ms == 3'600'000);
    CHECK(topic_with({}, "log.flush.interval.ms=9").flush_ms == 9);
    CHECK(topic_with({{"retention.ms", "1"}}, "log.retention.ms=5").retention_ms == 1);
    CHECK(topic_with({{"write.caching", "false"}}, "write.caching=true").write_caching == false);
}

TEST_CASE("topic config: 2^63 - 1 is the largest time, 2^63 is refused") {
    CHECK(topic_with({{"retention.ms", "9223372036854775807"}}).retention_ms == kUnlimited);
    const auto over = make_topic_config({{"retention.bytes", "9223372036854775808"}}, {});
    REQUIRE_FALSE(over.has_value());
    CHECK(over.error().code == Code::invalid_config);
}

TEST_CASE(
    "topic overrides: values are normalized; null, unknown, unbuilt and repeated are refused") {
    const RequestedOption good[] = {{"retention.ms", " +5 "}, {"cleanup.policy", "delete"}};
    const auto overrides = make_topic_overrides(good);
    REQUIRE(overrides.has_value());
    CHECK(*overrides == TopicOverrides{{"cleanup.policy", "delete"}, {"retention.ms", "5"}});

    const auto code = [](std::vector<RequestedOption> options) {
        const auto made = make_topic_overrides(options);
        REQUIRE_FALSE(made.has_value());
        return made.error().code;
    };
    CHECK(code({{"retention.ms", std::nullopt}}) == Code::invalid_config);
    CHECK(code({{"retention.sm", "1"}}) == Code::invalid_config);
    CHECK(code({{"cleanup.policy", "shred"}}) == Code::invalid_config);
    CHECK(code({{"compression.type", "lzma"}}) == Code::invalid_config);
    CHECK(code({{"remote.storage.enable", "true"}}) == Code::invalid_config);
    CHECK(code({{"min.cleanable.dirty.ratio", "1.1"}}) == Code::invalid_config);
    CHECK(code({{"segment.bytes", "1048575"}}) == Code::invalid_config);
    CHECK(code({{"flush.ms", "1"}, {"flush.ms", "1"}}) == Code::invalid_request);
}

TEST_CASE("alterations: set, delete, and all or nothing") {
    const TopicOverrides current = {{"flush.ms", "7"}, {"retention.ms", "5"}};
    auto after = apply(current, {alter("retention.ms", AlterOp::set, "+6"),
                                 alter("flush.ms", AlterOp::remove, std::nullopt),
                                 alter("segment.ms", AlterOp::remove, "ignored")});
    REQUIRE(after.has_value());
    CHECK(*after == TopicOverrides{{"retention.ms", "6"}});

    after = apply(
        current, {alter("retention.ms", AlterOp::set, "6"), alter("flush.ms", AlterOp::set, "-1")});
    REQUIRE_FALSE(after.has_value());
    CHECK(after.error().code == Code::invalid_config);
}

TEST_CASE("alterations: append and subtract work on lists, from the value in force") {
    const std::string policy = "cleanup.policy";
    // Appending what the default holds changes nothing in effect.
    auto after = apply({}, {alter(policy, AlterOp::append, "delete")});
    REQUIRE(after.has_value());
    CHECK(*after == TopicOverrides{{policy, "delete"}});
    after = apply({}, {alter(policy, AlterOp::subtract, "compact")});
    REQUIRE(after.has_value());
    CHECK(*after == TopicOverrides{{policy, "delete"}});

    after = apply({}, {alter(policy, AlterOp::append, "compact")});
    REQUIRE(after.has_value());
    CHECK(*after == TopicOverrides{{policy, "delete,compact"}});
    after = apply(*after, {alter(policy, AlterOp::subtract, "delete")});
    REQUIRE(after.has_value());
    CHECK(*after == TopicOverrides{{policy, "compact"}});
    after = apply({}, {alter(policy, AlterOp::subtract, "delete")}); // keep all, for ever
    REQUIRE(after.has_value());
    CHECK(*after == TopicOverrides{{policy, ""}});
    CHECK_FALSE(topic_with(*after).cleanup_delete);
    CHECK_FALSE(topic_with(*after).cleanup_compact);
    after = apply({}, {alter(policy, AlterOp::append, "shred")});
    REQUIRE_FALSE(after.has_value());
    after = apply({}, {alter("retention.ms", AlterOp::append, "1")});
    REQUIRE_FALSE(after.has_value());
    CHECK(after.error().code == Code::invalid_config);
    CHECK(after.error().detail == "retention.ms is a long; append and subtract work on lists only");
}

TEST_CASE("alterations: a name twice, a missing value, an unknown operation or name") {
    const auto code = [](std::vector<Alteration> alterations) {
        const auto after = apply({}, std::move(alterations));
        REQUIRE_FALSE(after.has_value());
        return after.error().code;
    };
    CHECK(code({alter("flush.ms", AlterOp::set, "1"), alter("flush.ms", AlterOp::remove, {})}) ==
          Code::invalid_request);
    CHECK(code({alter("flush.ms", AlterOp::set, std::nullopt)}) == Code::invalid_request);
    CHECK(code({alter("cleanup.policy", AlterOp::append, std::nullopt)}) == Code::invalid_request);
    CHECK(code({{"flush.ms", 4, "1"}}) == Code::invalid_request);
    CHECK(code({{"flush.ms", -1, "1"}}) == Code::invalid_request);
    CHECK(code({alter("flush.msx", AlterOp::set, "1")}) == Code::invalid_config);
    // What an older version left behind can be removed; of any other name nothing is there.
    const auto after = apply({{"gone", "1"}}, {alter("gone", AlterOp::remove, {}),
                                               alter("flush.msx", AlterOp::remove, {})});
    REQUIRE(after.has_value());
    CHECK(after->empty());
}

TEST_CASE("describe_topic: value, source and synonyms in falling priority") {
    const BrokerConfig broker = broker_with("log.retention.minutes=3\nlog.segment.bytes=2000000");
    const auto options = describe_topic({{"retention.ms", "5"}, {"gone", "1"}}, broker);
    CHECK(options.size() == topic_options().rows.size());

    const DescribedOption& own = find(options, "retention.ms");
    CHECK(own.value == "5");
    CHECK(own.source == ConfigSource::topic);
    CHECK_FALSE(own.is_default);
    CHECK_FALSE(own.read_only);
    CHECK(own.type == OptionType::int64);
    REQUIRE(own.synonyms.size() == 3);
    CHECK(own.synonyms[0].name == "retention.ms");
    CHECK(own.synonyms[1].name == "log.retention.minutes");
    CHECK(own.synonyms[1].value == "3");
    CHECK(own.synonyms[1].source == ConfigSource::static_broker);
    CHECK(own.synonyms[2].name == "log.retention.hours");
    CHECK(own.synonyms[2].value == "168");
    CHECK(own.synonyms[2].source == ConfigSource::built_in);

    const DescribedOption& from_file = find(options, "segment.bytes");
    CHECK(from_file.value == "2000000");
    CHECK(from_file.source == ConfigSource::static_broker);
    CHECK_FALSE(from_file.is_default);

    const DescribedOption& built_in = find(options, "segment.ms");
    CHECK(built_in.value == "604800000"); // log.roll.hours=168
    CHECK(built_in.is_default);
}

TEST_CASE("describe_topic: by default every value is the default of the table") {
    for (const DescribedOption& option : describe_topic({}, BrokerConfig())) {
        CAPTURE(option.name);
        CHECK(option.value == find_option(topic_options(), option.name)->default_text);
        CHECK(option.is_default);
        CHECK_FALSE(option.documentation.empty());
        CHECK_FALSE(option.synonyms.empty());
    }
}
