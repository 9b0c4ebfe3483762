// Proves DescribeLogDirs in every version: which partitions are asked, where each is shown, what is
// said of a directory that is offline.
#include "lib/protocol/msg/describe_log_dirs.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::DescribeLogDirsRequest;
using protocol::DescribeLogDirsResponse;

namespace {

constexpr int16_t kStorageError = 56;

replica::PartitionResult described(uint64_t size_bytes, int32_t dir) {
    replica::DescribeResult result;
    result.size_bytes = size_bytes;
    result.log_dir = dir;
    return replica::PartitionResult(result);
}

struct Fixture : KafkaFixture {
    Fixture() {
        services.log_dirs_.resize(2);
        services.log_dirs_[0].path = "/a";
        services.log_dirs_[0].free_bytes = 30;
        services.log_dirs_[0].total_bytes = 100;
        services.log_dirs_[1].path = "/b";
    }
};

} // namespace

TEST_CASE("describe log dirs: all partitions, each in its directory, in every version") {
    for (int16_t version = 1; version <= 5; version++) {
        CAPTURE(version);
        Fixture fixture;
        DescribeLogDirsRequest request;
        request.topics.reset();
        fixture.send(request, version);
        REQUIRE(fixture.services.submitted.size() == 5);
        for (uint64_t i = 0; i < 5; i++) { // __internal-0, events-0, orders-0, -1, -2
            fixture.services.answer_partition(described(1000 + i, i % 2 == 0 ? 0 : 1));
        }
        const auto response = fixture.receive<DescribeLogDirsResponse>(version);
        CHECK(response.error_code == 0);
        REQUIRE(response.results.size() == 2);
        const auto& first = response.results[0];
        CHECK(first.log_dir == "/a");
        CHECK(first.error_code == 0);
        CHECK(first.total_bytes == (version >= 4 ? 100 : -1));
        CHECK(first.usable_bytes == (version >= 4 ? 30 : -1));
        CHECK_FALSE(first.is_cordoned);
        REQUIRE(first.topics.size() == 2);
        CHECK(first.topics[0].name == "__consumer_offsets");
        CHECK(first.topics[1].name == "orders");
        REQUIRE(first.topics[1].partitions.size() == 2);
        CHECK(first.topics[1].partitions[1].partition_index == 2);
        CHECK(first.topics[1].partitions[1].partition_size == 1004);
        CHECK(first.topics[1].partitions[1].offset_lag == 0);
        CHECK_FALSE(first.topics[1].partitions[1].is_future_key);
        const auto& second = response.results[1];
        CHECK(second.total_bytes == -1); // not known
        REQUIRE(second.topics.size() == 2);
        CHECK(second.topics[0].name == "events");
    }
}

TEST_CASE("describe log dirs: asked partitions alone; unknown and offline ones are left out") {
    Fixture fixture;
    fixture.services.log_dirs_[1].failure = Error(Code::storage_offline, "cannot sync");
    DescribeLogDirsRequest request;
    auto& orders = request.topics->emplace_back();
    orders.topic = "orders";
    orders.partitions = {1, 2, 9};
    auto& other = request.topics->emplace_back();
    other.topic = "nobody";
    other.partitions = {0};
    fixture.send(request, 5);
    REQUIRE(fixture.services.submitted.size() == 2);
    fixture.services.answer_partition(described(7, 0));
    fixture.services.answer_partition(Error(Code::storage_offline));
    const auto response = fixture.receive<DescribeLogDirsResponse>(5);
    REQUIRE(response.results.size() == 2);
    REQUIRE(response.results[0].topics.size() == 1);
    REQUIRE(response.results[0].topics[0].partitions.size() == 1);
    CHECK(response.results[0].topics[0].partitions[0].partition_size == 7);
    CHECK(response.results[1].error_code == kStorageError);
    CHECK(response.results[1].topics.empty());
}

TEST_CASE("describe log dirs: an empty list of topics asks for the directories alone") {
    Fixture fixture;
    const auto response = fixture.call<DescribeLogDirsResponse>(DescribeLogDirsRequest{}, 4);
    REQUIRE(response.results.size() == 2);
    CHECK(response.results[0].topics.empty());
    CHECK(fixture.services.submitted.empty());
}
