// Proves what clients rely on before anything else: the list, and the answer to an unknown version.
#include "lib/protocol/msg/api_versions.h"
#include "server/kafka/api_table.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

#include <algorithm>

using namespace qtool;
using namespace qtool::test;
using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;

TEST_CASE("api versions: an unknown version is answered in version 0, byte for byte") {
    const std::vector<std::byte> frame = make_frame(18, 99, 7, true, as_bytes("anything"));
    KafkaFixture fixture;
    fixture.host.feed(frame);
    // Size, correlation id, error 35, one entry: key 18, versions 0 to 4.
    const uint8_t expected[] = {0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4};
    REQUIRE(fixture.host.sent.size() == sizeof expected);
    CHECK(std::equal(fixture.host.sent.begin(), fixture.host.sent.end(), expected,
                     [](std::byte a, uint8_t b) { return std::to_integer<uint8_t>(a) == b; }));
    CHECK(fixture.host.closes.empty());
}

TEST_CASE("api versions: every version lists each API of the table, Produce from 0") {
    for (int16_t version = 0; version <= 4; version++) {
        KafkaFixture fixture;
        ApiVersionsRequest request;
        request.client_software_name = "test";
        request.client_software_version = "1.0";
        const auto response = fixture.call<ApiVersionsResponse>(request, version);
        CHECK(response.error_code == 0);
        REQUIRE(response.api_keys.size() == kafka::api_table().size());
        for (size_t i = 0; i < response.api_keys.size(); i++) {
            CHECK(response.api_keys[i].api_key == kafka::api_table()[i].key);
            CHECK(response.api_keys[i].max_version == kafka::api_table()[i].version_max);
        }
        CHECK(response.api_keys[0].min_version == 0);
        // Groups of KIP-848 and transactions of KIP-890 are served, and clients look here before
        // they use them. What is supported from level 0 is hidden from clients that fail on it.
        for (const auto& [name, level] : {std::pair<std::string_view, int16_t>{"group.version", 1},
                                          {"transaction.version", 2}}) {
            const auto has_name = [&, wanted = name](const auto& feature) {
                return feature.name == wanted;
            };
            const auto& supported = response.supported_features;
            const auto& finalized = response.finalized_features;
            CHECK(std::any_of(supported.begin(), supported.end(), has_name) == (version >= 4));
            const auto found = std::find_if(finalized.begin(), finalized.end(), has_name);
            REQUIRE((found != finalized.end()) == (version >= 3));
            if (found != finalized.end()) {
                CHECK(found->max_version_level == level);
            }
        }
        CHECK(response.finalized_features_epoch == (version >= 3 ? 5 : -1));
    }
}

TEST_CASE("api versions: a client's name and version follow Kafka's pattern") {
    const struct {
        std::string_view name;
        bool ok;
    } cases[] = {{"a", true},    {"librdkafka", true}, {"a-b.c", true}, {"7", true},
                 {"", false},    {"-a", false},        {"a.", false},   {"a b", false},
                 {"a_b", false}, {"\xc3\xa9", false},  {"a\n", false}};
    for (const auto& c : cases) {
        CAPTURE(c.name);
        for (const bool as_version : {false, true}) {
            KafkaFixture fixture;
            ApiVersionsRequest request;
            request.client_software_name = as_version ? "ok" : c.name;
            request.client_software_version = as_version ? c.name : "ok";
            const auto response = fixture.call<ApiVersionsResponse>(request, 3);
            CHECK(response.error_code == (c.ok ? 0 : 42));
            CHECK(response.api_keys.empty() == !c.ok);
        }
    }
}
