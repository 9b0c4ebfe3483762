// Proves DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources for topics,
// brokers, groups and the broker's logger.
#include "lib/config/dynamic_config.h"
#include "lib/protocol/msg/alter_configs.h"
#include "lib/protocol/msg/describe_configs.h"
#include "lib/protocol/msg/incremental_alter_configs.h"
#include "lib/protocol/msg/list_config_resources.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::AlterConfigsRequest;
using protocol::AlterConfigsResponse;
using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::IncrementalAlterConfigsRequest;
using protocol::IncrementalAlterConfigsResponse;
using protocol::ListConfigResourcesRequest;
using protocol::ListConfigResourcesResponse;

namespace {

template <class Request>
auto& add_resource(Request& request, int8_t type, std::string_view name) {
    auto& resource = request.resources.emplace_back();
    resource.resource_type = type;
    resource.resource_name = name;
    return resource;
}

template <class Response>
std::vector<int16_t> errors_of(const Response& response) {
    std::vector<int16_t> errors;
    for (const auto& resource : response.responses) {
        errors.push_back(resource.error_code);
        CHECK(resource.error_message.has_value() == (resource.error_code != 0));
    }
    return errors;
}

} // namespace

TEST_CASE("describe configs: every version tells value, source and what else was asked") {
    for (int16_t version = 1; version <= 4; version++) {
        CAPTURE(version);
        KafkaFixture fixture;
        DescribeConfigsRequest request;
        add_resource(request, 2, "orders").configuration_keys = {"retention.ms", "no.such"};
        request.include_synonyms = true;
        request.include_documentation = version >= 3;
        const auto response = fixture.call<DescribeConfigsResponse>(request, version);
        REQUIRE(response.results.size() == 1);
        CHECK(response.results[0].error_code == 0);
        CHECK(response.results[0].error_message == std::nullopt);
        REQUIRE(response.results[0].configs.size() == 1);
        const auto& config = response.results[0].configs[0];
        CHECK(config.name == "retention.ms");
        CHECK(config.value == "1000");
        CHECK(config.config_source == 1);
        CHECK(config.synonyms.at(0).name == "retention.ms");
        CHECK(config.config_type == (version >= 3 ? 5 : 0));
        if (version >= 3) {
            CHECK(!config.documentation.value_or("").empty());
        }
    }
}

TEST_CASE("describe configs: no keys ask for all, of topics and of this broker") {
    KafkaFixture fixture;
    DescribeConfigsRequest request;
    add_resource(request, 2, "events").configuration_keys.reset();
    add_resource(request, 4, "1");
    add_resource(request, 4, "");
    const auto response = fixture.call<DescribeConfigsResponse>(request, 4);
    CHECK(response.results.at(0).configs.size() == config::topic_options().rows.size());
    CHECK(response.results.at(1).configs.size() == config::broker_options().rows.size());
    CHECK(response.results.at(2).configs.empty());
    CHECK(response.results.at(2).error_code == 0);
    CHECK(response.results.at(0).configs.at(0).synonyms.empty());
    CHECK(response.results.at(0).configs.at(0).documentation == std::nullopt);
}

TEST_CASE("describe configs: unknown topics, other brokers and other types are errors") {
    KafkaFixture fixture;
    DescribeConfigsRequest request;
    add_resource(request, 2, "missing");
    add_resource(request, 4, "2");
    add_resource(request, 16, "metrics");
    add_resource(request, 2, "no name");
    const auto response = fixture.call<DescribeConfigsResponse>(request, 4);
    CHECK(response.results.at(3).error_code == 17);
    CHECK(response.results.at(0).error_code == 3);
    CHECK(response.results.at(1).error_code == 42);
    CHECK(response.results.at(2).error_code == 42);
    CHECK(response.results.at(2).error_message.has_value());
}

TEST_CASE("incremental alter configs: each resource is all or nothing") {
    for (int16_t version = 0; version <= 1; version++) {
        KafkaFixture fixture;
        IncrementalAlterConfigsRequest request;
        auto& good = add_resource(request, 2, "orders").configs.emplace_back();
        good.name = "retention.ms";
        good.value = "5000";
        auto& bad = add_resource(request, 2, "events").configs.emplace_back();
        bad.name = "no.such.option";
        bad.value = "1";
        auto& null = add_resource(request, 2, "__consumer_offsets").configs.emplace_back();
        null.name = "retention.ms";
        null.value.reset();
        add_resource(request, 2, "missing");
        fixture.send(request, version);
        fixture.services.commit();
        const auto response = fixture.receive<IncrementalAlterConfigsResponse>(version);
        CHECK(errors_of(response) == std::vector<int16_t>{0, 40, 42, 3});
        CHECK(response.responses[0].resource_name == "orders");
    }
}

TEST_CASE("alter configs: replaces a topic's options, and a null value is refused") {
    for (int16_t version = 0; version <= 2; version++) {
        KafkaFixture fixture;
        AlterConfigsRequest request;
        auto& good = add_resource(request, 2, "orders").configs.emplace_back();
        good.name = "segment.bytes";
        good.value = "1048576";
        auto& null = add_resource(request, 2, "events").configs.emplace_back();
        null.name = "retention.ms";
        null.value.reset();
        add_resource(request, 2, "no name");
        fixture.send(request, version);
        fixture.services.commit();
        CHECK(errors_of(fixture.receive<AlterConfigsResponse>(version)) ==
              std::vector<int16_t>{0, 42, 17});
    }
}

TEST_CASE("alter configs: a resource twice, broker options and other types are refused") {
    KafkaFixture fixture;
    IncrementalAlterConfigsRequest request;
    add_resource(request, 2, "orders");
    add_resource(request, 2, "orders");
    auto& known = add_resource(request, 4, "1").configs.emplace_back();
    known.name = "num.partitions";
    known.value = "3";
    auto& unknown = add_resource(request, 4, "").configs.emplace_back();
    unknown.name = "no.such.option";
    unknown.value = "3";
    add_resource(request, 16, "metrics");
    add_resource(request, 4, "7");
    const auto response = fixture.call<IncrementalAlterConfigsResponse>(request, 1);
    CHECK(errors_of(response) == std::vector<int16_t>{42, 42, 42, 40, 42, 42});
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("alter configs: validate_only writes nothing") {
    KafkaFixture fixture;
    IncrementalAlterConfigsRequest request;
    request.validate_only = true;
    auto& option = add_resource(request, 2, "orders").configs.emplace_back();
    option.name = "retention.ms";
    option.value = "5000";
    CHECK(errors_of(fixture.call<IncrementalAlterConfigsResponse>(request, 1)) ==
          std::vector<int16_t>{0});
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("describe configs: the defaults of brokers, a group, and the broker's log level") {
    KafkaFixture fixture;
    fixture.services.config_ =
        config::with_dynamic({}, {{"log.retention.ms", "5"}}, {{"log.level", "warn"}}).value();
    auto image = make_image();
    image->group_configs["readers"].options = {{"consumer.heartbeat.interval.ms", "6000"}};
    fixture.services.image_ = image;
    DescribeConfigsRequest request;
    request.include_synonyms = true;
    add_resource(request, 4, "").configuration_keys.reset();
    add_resource(request, 4, "1").configuration_keys = {"log.level"};
    add_resource(request, 32, "readers").configuration_keys = {"consumer.heartbeat.interval.ms"};
    add_resource(request, 8, "1").configuration_keys.reset();
    add_resource(request, 2, "events").configuration_keys = {"retention.ms"};
    const auto response = fixture.call<DescribeConfigsResponse>(request, 4);
    const auto value = [&](size_t at) {
        REQUIRE(response.results.at(at).configs.size() == 1);
        const auto& config = response.results.at(at).configs[0];
        return std::string(config.value.value_or("null")) + " " +
               std::to_string(config.config_source);
    };
    CHECK(value(0) == "5 3");
    CHECK(value(1) == "warn 2");
    CHECK(response.results[1].configs[0].synonyms.size() == 2);
    CHECK_FALSE(response.results[1].configs[0].read_only);
    CHECK(value(2) == "6000 8");
    CHECK(value(3) == "WARN 6");
    CHECK(value(4) == "5 3");
}

TEST_CASE("alter configs: options of this broker, defaults of all and groups are stored") {
    KafkaFixture fixture;
    IncrementalAlterConfigsRequest request;
    auto& own = add_resource(request, 4, "1").configs.emplace_back();
    own.name = "log.retention.ms";
    own.value = "5000";
    auto& group = add_resource(request, 32, "readers").configs.emplace_back();
    group.name = "consumer.heartbeat.interval.ms";
    group.value = "6000";
    auto& share = add_resource(request, 32, "others").configs.emplace_back();
    share.name = "share.session.timeout.ms";
    share.value = "50000";
    auto& level = add_resource(request, 8, "1").configs.emplace_back();
    level.name = "root";
    level.value = "DEBUG";
    fixture.send(request, 1);
    REQUIRE(fixture.services.changes.size() == 1);
    CHECK(fixture.services.changes[0].transaction.writes.size() == 2);
    fixture.services.commit();
    CHECK(errors_of(fixture.receive<IncrementalAlterConfigsResponse>(1)) ==
          std::vector<int16_t>{0, 0, 40, 42});
}

TEST_CASE("list config resources: the old version knows client metrics only, the new one all") {
    KafkaFixture fixture;
    auto image = make_image();
    image->group_configs["readers"];
    fixture.services.image_ = image;
    CHECK(fixture.call<ListConfigResourcesResponse>(ListConfigResourcesRequest{}, 0)
              .config_resources.empty());
    ListConfigResourcesRequest all;
    const auto everything = fixture.call<ListConfigResourcesResponse>(all, 1);
    CHECK(everything.config_resources.size() == 6); // 3 topics, broker, its logger, the group
    ListConfigResourcesRequest groups;
    groups.resource_types = {32};
    const auto response = fixture.call<ListConfigResourcesResponse>(groups, 1);
    REQUIRE(response.config_resources.size() == 1);
    CHECK(response.config_resources[0].resource_name == "readers");
    ListConfigResourcesRequest unknown;
    unknown.resource_types = {77};
    CHECK(fixture.call<ListConfigResourcesResponse>(unknown, 1).error_code == 35);
}
