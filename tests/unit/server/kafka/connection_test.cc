// Proves the framing of the Kafka door: frames cut anywhere, refused lengths, answers in request
// order, the in-flight bound, and that no bytes crash it. A fake core stands behind it.
#include "lib/base/prng.h"
#include "lib/protocol/msg/api_versions.h"
#include "lib/protocol/msg/list_offsets.h"
#include "server/kafka/api_table.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::ApiVersionsRequest;
using protocol::ApiVersionsResponse;
using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;

namespace {

ListOffsetsRequest list_one() {
    ListOffsetsRequest request;
    request.replica_id = -1;
    auto& topic = request.topics.emplace_back();
    topic.name = "events";
    topic.partitions.emplace_back().timestamp = -1;
    return request;
}

} // namespace

TEST_CASE("connection: a frame cut at any byte is answered as if it came whole") {
    const std::vector<std::byte> frame = make_frame(ApiVersionsRequest{}, 0, 9);
    KafkaFixture whole;
    whole.host.feed(frame);
    REQUIRE(!whole.host.sent.empty());
    for (size_t cut = 1; cut < frame.size(); cut++) {
        KafkaFixture fixture;
        fixture.host.feed(ByteView(frame).first(cut));
        CHECK(fixture.host.sent.empty());
        fixture.host.feed(ByteView(frame).subspan(cut));
        CHECK(fixture.host.sent == whole.host.sent);
    }
    KafkaFixture bytewise;
    for (const std::byte& byte : frame) {
        bytewise.host.feed(ByteView(&byte, 1));
    }
    CHECK(bytewise.host.sent == whole.host.sent);
}

TEST_CASE("connection: requests wait while the peer does not read their answers") {
    KafkaFixture fixture;
    fixture.host.output_full = true;
    fixture.host.feed(make_frame(ApiVersionsRequest{}, 0, 1));
    CHECK(fixture.host.sent.empty());
    CHECK(fixture.host.left() > 0);
    fixture.host.output_full = false;
    fixture.host.feed_again();
    CHECK(!fixture.host.sent.empty());
    CHECK(fixture.host.left() == 0);
}

TEST_CASE("connection: negative and oversized lengths close it, with a counter and a reason") {
    for (const int32_t length : {-1, INT32_MIN, 1024 * 1024 + 1, INT32_MAX}) {
        KafkaFixture fixture;
        ByteWriter writer;
        writer.be(length);
        fixture.host.feed(writer.view());
        REQUIRE(fixture.host.closes.size() == 1);
        CHECK(fixture.host.closes[0].find(std::to_string(length)) != std::string::npos);
        CHECK(!fixture.connection.wants_bytes());
        CHECK(fixture.host.sent.empty());
    }
}

TEST_CASE("connection: pipelined answers leave in request order though finished out of order") {
    KafkaFixture fixture;
    fixture.send(list_one(), 5);           // waits
    fixture.send(ApiVersionsRequest{}, 0); // answered at once, but second in order
    fixture.send(list_one(), 5);           // waits
    CHECK(fixture.host.sent.empty());
    REQUIRE(fixture.services.submitted.size() == 2);
    std::swap(fixture.services.submitted[0], fixture.services.submitted[1]);
    fixture.services.answer_partition(replica::PartitionResult(
        replica::ListOffsetResult{Offset(33), -1, LeaderEpoch(0)})); // of the third request
    CHECK(fixture.host.sent.empty());
    fixture.services.answer_partition(
        replica::PartitionResult(replica::ListOffsetResult{Offset(11), -1, LeaderEpoch(0)}));
    CHECK(fixture.receive<ListOffsetsResponse>(5).topics.at(0).partitions.at(0).offset == 11);
    CHECK(fixture.correlation == 1);
    fixture.receive<ApiVersionsResponse>(0);
    CHECK(fixture.correlation == 2);
    CHECK(fixture.receive<ListOffsetsResponse>(5).topics.at(0).partitions.at(0).offset == 33);
    CHECK(fixture.correlation == 3);
    CHECK(fixture.host.sent.empty());
    CHECK(fixture.connection.is_idle());
}

TEST_CASE("connection: it wants no bytes while as many requests wait as are allowed") {
    KafkaFixture fixture;
    const std::vector<std::byte> frame = make_frame(list_one(), 5, 1);
    std::vector<std::byte> six;
    for (int i = 0; i < 6; i++) {
        six.insert(six.end(), frame.begin(), frame.end());
    }
    fixture.host.feed(six);
    CHECK(fixture.services.submitted.size() == 4);
    CHECK(!fixture.connection.wants_bytes());
    CHECK(fixture.host.left() == 2 * frame.size());
    fixture.services.answer_partition(Error(Code::not_leader));
    CHECK(fixture.connection.wants_bytes());
    fixture.host.feed_again();
    CHECK(fixture.services.submitted.size() == 4);
    CHECK(fixture.host.left() == frame.size());
}

TEST_CASE("dispatch: an unknown key, an unserved version and a bad body close the connection") {
    const struct {
        const char* what;
        int16_t key;
        int16_t version;
        std::string_view body;
    } cases[] = {
        {"unknown key", 999, 0, ""},
        {"negative key", -1, 0, ""},
        {"a key of Kafka that is not served", 11, 9, ""},
        {"version above", 3, 14, ""},
        {"version below", 0, 2, ""},
        {"negative version", 3, -1, ""},
        {"body cut", 2, 1, std::string_view("\0\0", 2)},
        {"bytes after the body", 18, 0, "x"},
        {"a count that lies", 3, 1, std::string_view("\x7f\xff\xff\xff", 4)},
    };
    for (const auto& c : cases) {
        CAPTURE(c.what);
        KafkaFixture fixture;
        fixture.host.feed(make_frame(c.key, c.version, 1, false, as_bytes(c.body)));
        CHECK(fixture.host.closes.size() == 1);
        CHECK(fixture.host.sent.empty());
    }
}

TEST_CASE("connection: random frames never crash it") {
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        CAPTURE(seed);
        Prng prng(seed);
        KafkaFixture fixture;
        std::vector<std::byte> body(prng.next() % 64);
        for (std::byte& byte : body) {
            byte = static_cast<std::byte>(prng.next() & 0xff);
        }
        const auto& table = kafka::api_table();
        const kafka::ApiRow& row = table[prng.next() % table.size()];
        if (row.key <= 1) {
            continue; // produce and fetch wait for partitions: the fuzzer drives them
        }
        const auto version = static_cast<int16_t>(
            row.version_min +
            static_cast<int16_t>(prng.next() %
                                 static_cast<uint64_t>(row.version_max - row.version_min + 1)));
        fixture.host.feed(make_frame(row.key, version, 1, (prng.next() & 1) != 0, body));
        fixture.host.feed(body);
    }
}
