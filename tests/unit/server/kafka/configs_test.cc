// Proves DescribeConfigs, AlterConfigs and IncrementalAlterConfigs for topics and the broker.
#include "lib/protocol/msg/alter_configs.h"
#include "lib/protocol/msg/describe_configs.h"
#include "lib/protocol/msg/incremental_alter_configs.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::AlterConfigsRequest;
using protocol::AlterConfigsResponse;
using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;
using protocol::IncrementalAlterConfigsRequest;
using protocol::IncrementalAlterConfigsResponse;

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
    add_resource(request, 8, "1");
    const auto response = fixture.call<DescribeConfigsResponse>(request, 4);
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
        fixture.send(request, version);
        fixture.services.commit();
        CHECK(errors_of(fixture.receive<AlterConfigsResponse>(version)) ==
              std::vector<int16_t>{0, 40});
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
