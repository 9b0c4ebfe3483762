// Proves AlterReplicaLogDirs in both versions: what is asked of whom, and what is answered for a
// directory, topic or partition that is not there, or a directory that is offline.
#include "lib/protocol/msg/alter_replica_log_dirs.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using protocol::AlterReplicaLogDirsRequest;
using protocol::AlterReplicaLogDirsResponse;

namespace {

constexpr int16_t kUnknownTopicOrPartition = 3;
constexpr int16_t kStorageError = 56;
constexpr int16_t kLogDirNotFound = 57;

struct Fixture : KafkaFixture {
    AlterReplicaLogDirsRequest request;

    Fixture() {
        services.log_dirs_.resize(3);
        services.log_dirs_[0].path = "/a";
        services.log_dirs_[1].path = "/b";
        services.log_dirs_[2].path = "/c";
        services.log_dirs_[2].failure = Error(Code::storage_offline, "cannot sync");
    }
    void add(std::string_view dir, std::string_view topic, std::vector<int32_t> partitions) {
        auto& to = request.dirs.emplace_back();
        to.path = dir;
        auto& item = to.topics.emplace_back();
        item.name = topic;
        item.partitions = std::move(partitions);
    }
};

} // namespace

TEST_CASE("alter replica log dirs: each partition is asked to go to its directory") {
    for (int16_t version = 1; version <= 2; version++) {
        CAPTURE(version);
        Fixture fixture;
        fixture.add("/b", "orders", {2, 0});
        fixture.add("/a", "orders", {1});
        fixture.send(fixture.request, version);
        REQUIRE(fixture.services.submitted.size() == 3);
        const std::vector<std::pair<int32_t, size_t>> expected = {{2, 1}, {0, 1}, {1, 0}};
        for (size_t i = 0; i < 3; i++) {
            const replica::PartitionRequest& asked = fixture.services.submitted[i];
            CHECK(asked.key.index == PartitionIndex(expected[i].first));
            CHECK(std::get<replica::MoveOp>(asked.op).to == expected[i].second);
        }
        fixture.services.answer_partition(replica::PartitionResult(replica::MoveResult{}));
        fixture.services.answer_partition(Error(Code::storage_offline));
        fixture.services.answer_partition(replica::PartitionResult(replica::MoveResult{}));
        const auto response = fixture.receive<AlterReplicaLogDirsResponse>(version);
        REQUIRE(response.results.size() == 1);
        CHECK(response.results[0].topic_name == "orders");
        REQUIRE(response.results[0].partitions.size() == 3);
        CHECK(response.results[0].partitions[0].partition_index == 2);
        CHECK(response.results[0].partitions[0].error_code == 0);
        CHECK(response.results[0].partitions[1].error_code == kStorageError);
        CHECK(response.results[0].partitions[2].error_code == 0);
    }
}

TEST_CASE("alter replica log dirs: what is not there is answered without asking") {
    Fixture fixture;
    fixture.add("/nowhere", "orders", {0});
    fixture.add("/c", "orders", {1});
    fixture.add("/a", "nobody", {0});
    const auto response = fixture.call<AlterReplicaLogDirsResponse>(fixture.request, 2);
    CHECK(fixture.services.submitted.empty());
    REQUIRE(response.results.size() == 2);
    CHECK(response.results[0].topic_name == "nobody");
    CHECK(response.results[0].partitions[0].error_code == kUnknownTopicOrPartition);
    CHECK(response.results[1].partitions[0].error_code == kLogDirNotFound);
    CHECK(response.results[1].partitions[1].error_code == kStorageError);
}

TEST_CASE("alter replica log dirs: nothing asked, nothing answered") {
    Fixture fixture;
    const auto response = fixture.call<AlterReplicaLogDirsResponse>(fixture.request, 2);
    CHECK(response.results.empty());
}
