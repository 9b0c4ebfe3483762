// Proves pauses: the answer leaves with its throttle time and the connection wants no bytes until
// it is over; an overdrawn fetch is empty; changes of topics are refused or done by version; and
// the field is set at the right place of every answer.
#include "lib/protocol/msg/api_versions.h"
#include "lib/protocol/msg/create_topics.h"
#include "lib/protocol/msg/delete_topics.h"
#include "lib/protocol/msg/fetch.h"
#include "lib/protocol/msg/list_offsets.h"
#include "lib/protocol/msg/metadata.h"
#include "lib/protocol/msg/produce.h"
#include "server/kafka/throttle.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using metadata::QuotaEntity;

namespace {

void set_quota(KafkaFixture& fixture, std::string key, double value) {
    auto image = make_image();
    image->quotas[QuotaEntity{.client_id = QuotaEntity::Name("test")}].values[std::move(key)] =
        value;
    fixture.services.image_ = image;
}

template <class Response>
void check_place(int16_t version, bool has_field) {
    CAPTURE(version);
    kafka::ReplyHead head;
    head.api_key = Response::kApiKey;
    head.api_version = version;
    auto pieces = kafka::make_answer(head, Response{});
    kafka::set_throttle_time(pieces, Response::kApiKey, version, 0x01020304);
    const auto& bytes = std::get<std::vector<std::byte>>(pieces.at(0));
    CHECK(static_cast<size_t>(load_be<int32_t>(bytes.data())) == bytes.size() - 4);
    const bool tagged = version >= Response::kFlexibleFrom && Response::kApiKey != kApiVersionsKey;
    const auto response = Response::decode(ByteView(bytes).subspan(tagged ? 9 : 8), version);
    REQUIRE(response);
    CHECK(response->throttle_time_ms == (has_field ? 0x01020304 : 0));
}

} // namespace

TEST_CASE("throttle: the field is set where each version has it") {
    for (int16_t v = 3; v <= protocol::ProduceResponse::kVersionMax; v++) {
        check_place<protocol::ProduceResponse>(v, true);
    }
    for (int16_t v = 0; v <= protocol::ApiVersionsResponse::kVersionMax; v++) {
        check_place<protocol::ApiVersionsResponse>(v, v >= 1);
    }
    for (int16_t v = 1; v <= protocol::ListOffsetsResponse::kVersionMax; v++) {
        check_place<protocol::ListOffsetsResponse>(v, v >= 2);
    }
    for (int16_t v = 0; v <= protocol::MetadataResponse::kVersionMax; v++) {
        check_place<protocol::MetadataResponse>(v, v >= 3);
    }
    for (int16_t v = 4; v <= protocol::FetchResponse::kVersionMax; v++) {
        check_place<protocol::FetchResponse>(v, true);
    }
}

TEST_CASE("throttle: a producer over its rate is answered and then not read") {
    KafkaFixture fixture;
    set_quota(fixture, "producer_byte_rate", 1); // 10 bytes at once
    protocol::ProduceRequest request;
    request.acks = 1;
    auto& topic = request.topic_data.emplace_back();
    topic.name = "missing";
    topic.partition_data.emplace_back().records.emplace().bytes = as_bytes("0123456789");
    fixture.send(request, 9);
    const auto response = fixture.receive<protocol::ProduceResponse>(9);
    CHECK(response.throttle_time_ms > 0);
    CHECK(response.responses.size() == 1);
    CHECK_FALSE(fixture.connection.wants_bytes());
    REQUIRE(fixture.host.wakes.size() == 1);
    CHECK(fixture.host.counters_.throttled_produce.value() == 1);
    // What comes meanwhile waits.
    fixture.send(protocol::MetadataRequest{}, 9);
    CHECK(fixture.host.sent.empty());
    fixture.services.now_ = fixture.host.wakes[0];
    fixture.connection.on_tick(fixture.services.now_, fixture.host);
    CHECK(fixture.connection.wants_bytes());
    fixture.host.feed_again();
    CHECK(fixture.receive<protocol::MetadataResponse>(9).throttle_time_ms == 0);
}

TEST_CASE("throttle: clients without a quota are not touched") {
    KafkaFixture fixture;
    set_quota(fixture, "consumer_byte_rate", 1);
    CHECK(
        fixture.call<protocol::MetadataResponse>(protocol::MetadataRequest{}, 9).throttle_time_ms ==
        0);
    CHECK(fixture.connection.wants_bytes());
}

TEST_CASE("throttle: what a fetch took beyond the rate makes the next one empty") {
    KafkaFixture fixture;
    set_quota(fixture, "consumer_byte_rate", 10); // 100 bytes at once
    protocol::FetchRequest request;
    request.max_bytes = 1'000'000;
    request.session_epoch = -1;
    auto& topic = request.topics.emplace_back();
    topic.topic = "events";
    topic.partitions.emplace_back().partition_max_bytes = 1'000'000;
    fixture.send(request, 11);
    replica::ReadResult result;
    result.range.size = 5000;
    result.first_batch_size = 200; // one batch is given whatever the quota
    fixture.services.answer_partition(result);
    const size_t records_size = 200;
    const auto length = static_cast<size_t>(load_be<int32_t>(fixture.host.sent.data()));
    CHECK(length + 4 == fixture.host.sent.size() + records_size);
    fixture.host.sent.clear();
    CHECK(fixture.connection.wants_bytes());
    fixture.send(request, 11);
    const auto empty = fixture.receive<protocol::FetchResponse>(11);
    CHECK(empty.responses.empty());
    CHECK(empty.throttle_time_ms == 10'000);
    CHECK_FALSE(fixture.connection.wants_bytes());
    CHECK(fixture.services.submitted.empty());
}

TEST_CASE("throttle: changes of topics are refused item by item, in old versions done") {
    for (const int16_t version : {int16_t{5}, int16_t{6}}) {
        KafkaFixture fixture;
        set_quota(fixture, "controller_mutation_rate", 1); // 11 at once
        protocol::CreateTopicsRequest request;
        for (const char* name : {"a", "b"}) {
            auto& topic = request.topics.emplace_back();
            topic.name = name;
            topic.num_partitions = 20;
            topic.replication_factor = 1;
        }
        fixture.send(request, version);
        REQUIRE(fixture.services.changes.size() == 1);
        fixture.services.commit();
        const auto response = fixture.receive<protocol::CreateTopicsResponse>(version);
        REQUIRE(response.topics.size() == 2);
        CHECK(response.topics[0].error_code == 0);
        CHECK(response.topics[1].error_code == (version >= 6 ? 89 : 0));
        CHECK(response.throttle_time_ms == (version >= 6 ? 9'000 : 29'000));
    }
}
