// The generated codec at the edges, on hand-written bytes: nulls, lying counts, tagged sections,
// memory, records sent from elsewhere. Round trips of all messages are in tests/wire.
#include "lib/protocol/msg/api_versions.h"
#include "lib/protocol/msg/delete_topics.h"
#include "lib/protocol/msg/describe_topic_partitions.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/metadata.h"
#include "lib/protocol/msg/produce.h"
#include "tests/unit/lib/protocol/batch_fixture.h"

using namespace qtool;
using namespace qtool::protocol;
using test::from_hex;

namespace {

template <class Message>
std::vector<std::byte> encoded(const Message& message, int16_t version) {
    ByteWriter writer;
    message.encode(writer, version);
    return writer.take();
}

template <class Message>
Code decode_error(std::string_view hex, int16_t version) {
    const std::vector<std::byte> bytes = from_hex(hex);
    const auto result = Message::decode(bytes, version);
    REQUIRE_FALSE(result.has_value());
    INFO(to_string(result.error()));
    return result.error().code;
}

} // namespace

TEST_CASE("message: nulls are told from empty values, and refused where none may stand") {
    SUBCASE("Metadata v1: null asks for all topics, an empty array for none") {
        CHECK_FALSE(MetadataRequest::decode(from_hex("ffffffff"), 1)->topics.has_value());
        CHECK(MetadataRequest::decode(from_hex("00000000"), 1)->topics->empty());
    }
    SUBCASE("Metadata v0: the array may not be null") {
        CHECK(decode_error<MetadataRequest>("ffffffff", 0) == Code::malformed);
    }
    SUBCASE("a compact array may not be null either") {
        CHECK(decode_error<DescribeTopicPartitionsRequest>("00 00000001 ff 00", 0) ==
              Code::malformed);
    }
    SUBCASE("a topic name may not be null before v10") {
        CHECK(decode_error<MetadataRequest>("00000001 ffff", 1) == Code::malformed);
    }
    SUBCASE("a length below -1 is not null") {
        CHECK(decode_error<MetadataRequest>("fffffffe", 1) == Code::malformed);
        CHECK(decode_error<MetadataRequest>("00000001 fffe", 1) == Code::malformed);
    }
}

TEST_CASE("message: a count larger than the bytes left is refused before anything is reserved") {
    CHECK(decode_error<MetadataRequest>("7fffffff 0001 61", 1) == Code::malformed);
    CHECK(decode_error<MetadataRequest>("ffffffff0f 00", 9) == Code::malformed);
    // Five topics are said to follow in four bytes.
    CHECK(decode_error<DescribeTopicPartitionsRequest>("06 00000000", 0) == Code::malformed);
}

TEST_CASE("message: a string longer than 32767 bytes is refused in compact form") {
    ByteWriter writer;
    writer.uvarint(2);
    writer.uvarint(kStringSizeMax + 2);
    writer.bytes(std::vector<std::byte>(kStringSizeMax + 1, std::byte{'a'}));
    const auto result = MetadataRequest::decode(writer.view(), 9);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Code::malformed);
}

TEST_CASE("message: memory for structures is bounded by the bytes received") {
    // Empty topics of a Fetch take 3 bytes each and a structure of some 56 in memory.
    constexpr uint32_t kTopics = 100'000;
    ByteWriter writer;
    writer.be<int32_t>(-1);
    for (int i = 0; i < 3; i++) {
        writer.be<int32_t>(1); // max_wait_ms, min_bytes, max_bytes
    }
    writer.be<int8_t>(0);
    writer.be<int32_t>(0);
    writer.be<int32_t>(-1);
    writer.uvarint(kTopics + 1);
    for (uint32_t i = 0; i < kTopics; i++) {
        writer.bytes(from_hex("01 01 00"));
    }
    const auto result = FetchRequest::decode(writer.view(), 12);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Code::too_large);
}

TEST_CASE("message: a response of many small structures is within its own bound") {
    DescribeTopicPartitionsResponse response;
    auto& topic = response.topics.emplace_back();
    topic.name = "t";
    topic.partitions.resize(10'000);
    const auto bytes = encoded(response, 0);
    const auto decoded = DescribeTopicPartitionsResponse::decode(bytes, 0);
    REQUIRE(decoded.has_value());
    CHECK(*decoded == response);
}

TEST_CASE("message: unknown tags are skipped by their size") {
    // ApiVersions v3 response: no error, no keys, throttle 0, then three tagged fields of which
    // tag 1 (finalized_features_epoch) is known; 99 and 7 are not, and stand in no order.
    const auto bytes = from_hex("0000 01 00000000 03 63 03 aabbcc 01 08 0000000000000005 07 00");
    const auto response = ApiVersionsResponse::decode(bytes, 3);
    REQUIRE(response.has_value());
    CHECK(response->finalized_features_epoch == 5);
}

TEST_CASE("message: a tagged field must fill its size exactly") {
    CHECK(decode_error<ApiVersionsResponse>("0000 01 00000000 01 01 07 00000000000005", 3) ==
          Code::malformed);
    CHECK(decode_error<ApiVersionsResponse>("0000 01 00000000 01 01 09 000000000000000500", 3) ==
          Code::malformed);
    CHECK(decode_error<ApiVersionsResponse>("0000 01 00000000 01 01 08 00000000000005", 3) ==
          Code::truncated);
}

TEST_CASE("message: tagged fields equal to their default are left out, others go in order of tag") {
    ApiVersionsResponse response;
    CHECK(encoded(response, 3) == from_hex("0000 01 00000000 00"));
    response.zk_migration_ready = true;
    response.finalized_features_epoch = 5;
    CHECK(encoded(response, 3) == from_hex("0000 01 00000000 02 01 08 0000000000000005 03 01 01"));
}

TEST_CASE("message: a nullable structure has a byte that says whether it is there") {
    DescribeTopicPartitionsRequest request;
    CHECK(encoded(request, 0) == from_hex("01 000007d0 ff 00"));
    request.cursor.emplace().topic_name = "t";
    CHECK(encoded(request, 0) == from_hex("01 000007d0 01 02 74 00000000 00 00"));
    // Any byte that is not negative means present.
    const auto decoded =
        DescribeTopicPartitionsRequest::decode(from_hex("01 000007d0 00 01 00000003 00 00"), 0);
    REQUIRE(decoded.has_value());
    CHECK(decoded->cursor->partition_index == 3);
}

TEST_CASE("message: absent fields have the table's default, nullable ones too") {
    CHECK(FetchRequest{}.max_bytes == INT32_MAX);
    CHECK(FetchRequest::FetchPartition{}.high_watermark == INT64_MAX);
    CHECK(MetadataRequest{}.allow_auto_topic_creation);
    CHECK(MetadataRequest{}.topics.has_value()); // nullable, but not null by default
    CHECK_FALSE(DeleteTopicsRequest::DeleteTopicState{}.name.has_value());
    CHECK_FALSE(ProduceRequest::PartitionProduceData{}.records.has_value());
    CHECK(MetadataResponse{}.cluster_authorized_operations == INT32_MIN);
}

TEST_CASE("message: records from elsewhere leave only their length, and their place is reported") {
    for (const int16_t version : {int16_t{11}, int16_t{17}}) {
        INFO("version ", version);
        const std::string first(300, 'x');
        const std::string second = "yy";
        FetchResponse response;
        auto& topic = response.responses.emplace_back();
        for (const std::string* records : {&first, &second}) {
            topic.partitions.emplace_back().records = RecordsRef{{}, records->size()};
        }
        topic.partitions.emplace_back().records.emplace(); // empty: nothing to put in
        auto& endpoint = response.node_endpoints.emplace_back();
        endpoint.host = "h"; // a tagged field behind them must not move them
        ByteWriter writer;
        writer.be<int32_t>(0); // the caller's own bytes in front count
        std::vector<RecordsSplit> splits;
        response.encode(writer, version, &splits);
        REQUIRE(splits.size() == 2);
        CHECK(splits[0].size == first.size());
        CHECK(splits[1].size == second.size());

        std::vector<std::byte> whole;
        size_t at = 4;
        const auto add = [&whole](ByteView bytes) {
            whole.insert(whole.end(), bytes.begin(), bytes.end());
        };
        for (size_t i = 0; i < splits.size(); i++) {
            add(writer.view().subspan(at, splits[i].position - at));
            add(as_bytes(i == 0 ? first : second));
            at = splits[i].position;
        }
        add(writer.view().subspan(at));
        const auto decoded = FetchResponse::decode(whole, version);
        REQUIRE(decoded.has_value());
        const auto& partitions = decoded->responses.at(0).partitions;
        CHECK(as_text(*partitions.at(0).records) == first);
        CHECK(as_text(*partitions.at(1).records) == second);
        CHECK(partitions.at(2).records->empty());
    }
}

TEST_CASE("message: decoded strings and records are views of the bytes") {
    ProduceRequest request;
    auto& topic = request.topic_data.emplace_back();
    topic.name = "topic";
    const auto records = from_hex("01020304");
    topic.partition_data.emplace_back().records = RecordsRef{records, 0};
    const auto bytes = encoded(request, 9);
    const auto decoded = ProduceRequest::decode(bytes, 9);
    REQUIRE(decoded.has_value());
    const ByteView view = *decoded->topic_data.at(0).partition_data.at(0).records;
    CHECK(view.data() >= bytes.data());
    CHECK(view.data() + view.size() <= bytes.data() + bytes.size());
    CHECK(view.size() == 4);
}

TEST_CASE("message: a response drops what its version has no place for") {
    MetadataResponse response;
    response.throttle_time_ms = 5; // v3+
    response.controller_id = 1;    // v1+
    CHECK(encoded(response, 0) == from_hex("00000000 00000000"));
}
