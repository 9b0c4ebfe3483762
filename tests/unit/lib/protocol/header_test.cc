// Request and response headers of both layouts, the exceptions for ApiVersions and client_id, and
// the tables of APIs and error codes they rest on.
#include "lib/protocol/api.h"
#include "lib/protocol/header.h"
#include "lib/protocol/kafka_error.h"
#include "lib/protocol/msg/api_versions.h"
#include "tests/unit/lib/protocol/batch_fixture.h"

#include <set>

using namespace qtool;
using namespace qtool::protocol;
using test::from_hex;

TEST_CASE("header: both request layouts, the client id never compact") {
    size_t size = 0;
    const auto classic = from_hex("0003 0008 00000007 0003 616263 ff");
    const auto first = decode_request_header(classic, size);
    REQUIRE(first.has_value());
    CHECK(size == classic.size() - 1);
    CHECK(first->api_key == 3);
    CHECK(first->api_version == 8);
    CHECK(first->correlation_id == 7);
    CHECK(first->client_id == "abc");

    const auto flexible = from_hex("0003 0009 00000007 0003 616263 01 05 02 aabb ff");
    const auto second = decode_request_header(flexible, size);
    REQUIRE(second.has_value());
    CHECK(size == flexible.size() - 1);
    CHECK(second->client_id == "abc");
}

TEST_CASE("header: a null client id is told from an empty one") {
    size_t size = 0;
    CHECK_FALSE(decode_request_header(from_hex("0000 0003 00000001 ffff"), size)->client_id);
    CHECK(decode_request_header(from_hex("0000 0003 00000001 0000"), size)->client_id == "");
}

TEST_CASE("header: ApiVersions decodes at any version and is answered with header 0") {
    size_t size = 0;
    const auto header = decode_request_header(from_hex("0012 7fff 00000007 ffff 00"), size);
    REQUIRE(header.has_value());
    CHECK(header->api_version == 32767);
    for (const int16_t version : {int16_t{0}, int16_t{3}, int16_t{4}, int16_t{99}}) {
        ByteWriter out;
        encode_response_header(out, ApiVersionsRequest::kApiKey, version, 7);
        CHECK(out.size() == 4);
    }
}

TEST_CASE("header: the answer to an unknown ApiVersions version has the bytes Kafka sends") {
    ByteWriter out;
    encode_response_header(out, 18, 99, 7);
    ApiVersionsResponse response;
    response.error_code = static_cast<int16_t>(KafkaError::unsupported_version);
    response.api_keys.push_back({18, 0, 4});
    response.encode(out, 0);
    CHECK(out.take() == from_hex("00000007 0023 00000001 0012 0000 0004"));
}

TEST_CASE("header: response layouts") {
    ByteWriter classic;
    encode_response_header(classic, 3, 8, 7);
    CHECK(classic.view().size() == 4);
    ByteWriter flexible;
    encode_response_header(flexible, 3, 9, 7);
    CHECK(flexible.view().size() == 5);
    size_t size = 0;
    CHECK(decode_response_header(flexible.view(), 3, 9, size).value() == 7);
    CHECK(size == 5);
    CHECK(peek_correlation_id(flexible.view()).value() == 7);
    CHECK(decode_response_header(classic.view(), 3, 9, size).error().code == Code::truncated);
    CHECK(peek_correlation_id(from_hex("0000")).error().code == Code::truncated);
}

TEST_CASE("header: a cut at any byte is an error, and so is a key no API has") {
    size_t size = 0;
    const auto whole = from_hex("0003 0009 00000007 0003 616263 01 05 02 aabb");
    for (size_t cut = 0; cut < whole.size(); cut++) {
        const std::vector<std::byte> part(whole.begin(),
                                          whole.begin() + static_cast<ptrdiff_t>(cut));
        REQUIRE(decode_request_header(part, size).error().code == Code::truncated);
    }
    for (const std::string_view key : {"0004", "005d", "ffff", "7fff"}) {
        const auto frame = from_hex(std::string(key) + " 0000 00000001 ffff");
        CHECK(decode_request_header(frame, size).error().code == Code::unsupported_version);
    }
    CHECK(decode_request_header(from_hex("0003 0008 00000007 fffe"), size).error().code ==
          Code::malformed);
}

TEST_CASE("header: what is encoded decodes, for every API at every version") {
    for (const ApiInfo& api : all_apis()) {
        for (int16_t version = api.version_min; version <= api.version_max; version++) {
            const RequestHeader header{static_cast<int16_t>(api.key), version, -5, "client"};
            ByteWriter out;
            encode_request_header(out, header);
            size_t size = 0;
            const auto decoded = decode_request_header(out.view(), size);
            REQUIRE(decoded.has_value());
            REQUIRE(size == out.size());
            REQUIRE(decoded->api_key == header.api_key);
            REQUIRE(decoded->api_version == version);
            REQUIRE(decoded->correlation_id == -5);
            REQUIRE(decoded->client_id == "client");
        }
    }
}

TEST_CASE("api: names and keys") {
    CHECK(api_name(0) == "Produce");
    CHECK(api_name(75) == "DescribeTopicPartitions");
    CHECK(api_name(92) == "DeleteShareGroupOffsets");
    CHECK(api_name(4).empty());
    CHECK(api_name(93).empty());
    CHECK(api_name(-1).empty());
    CHECK(static_cast<int16_t>(ApiKey::api_versions) == 18);
    std::set<std::string_view> names;
    for (const ApiInfo& api : all_apis()) {
        CHECK(names.insert(api.name).second);
        CHECK(api.version_min <= api.version_max);
    }
}

TEST_CASE("kafka error: names, meanings, and numbers of newer brokers") {
    std::set<std::string_view> names;
    std::set<std::string_view> meanings;
    for (int16_t code = -1; code <= 133; code++) {
        const KafkaError error = kafka_error_of(code);
        REQUIRE(static_cast<int16_t>(error) == code);
        CHECK(names.insert(to_string(error)).second);
        CHECK_FALSE(describe(error).empty());
        meanings.insert(describe(error));
    }
    CHECK(meanings.size() == names.size());
    CHECK(to_string(KafkaError::not_leader_or_follower) == "NOT_LEADER_OR_FOLLOWER");
    CHECK(is_retriable(KafkaError::not_leader_or_follower));
    CHECK_FALSE(is_retriable(KafkaError::none));
    CHECK_FALSE(is_retriable(KafkaError::invalid_record));
    CHECK(kafka_error_of(134) == KafkaError::unknown_server_error);
    CHECK(kafka_error_of(-2) == KafkaError::unknown_server_error);
    CHECK(to_string(static_cast<KafkaError>(9999)) == "UNKNOWN_SERVER_ERROR");
}
