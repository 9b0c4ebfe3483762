// Proves the routes on moves between log directories: what is asked of which partition, what is
// shown, and what is refused before anything is asked.
#include "lib/admin/codec.h"
#include "tests/unit/server/admin/admin_fixture.h"

using namespace qtool;
using namespace qtool::test;

namespace {

struct Fixture : AdminFixture {
    Fixture() {
        services.log_dirs_.resize(3);
        services.log_dirs_[0].path = "/a";
        services.log_dirs_[1].path = "/b";
        services.log_dirs_[2].path = "/c";
        services.log_dirs_[2].failure = Error(Code::storage_offline, "cannot sync");
    }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "moves: a partition is asked to go") {
    const admin::MovePartition move{"orders", 2, "/b"};
    send("POST", "/v1/moves", admin::encode(move));
    REQUIRE(services.submitted.size() == 1);
    CHECK(services.submitted[0].key.index == PartitionIndex(2));
    CHECK(std::get<replica::MoveOp>(services.submitted[0].op).to == 1);
    services.answer_partition(replica::PartitionResult(replica::MoveResult{}));
    const stream::HttpResponse response = receive();
    CHECK(response.status == 200);
    CHECK(admin::decode<admin::MovePartition>(response.body) == move);
    send("POST", "/v1/moves", admin::encode(move));
    services.answer_partition(Error(Code::storage_offline, "the disk is gone"));
    CHECK(code_of(receive()) == Code::storage_offline);
}

TEST_CASE_FIXTURE(Fixture, "moves: what is not there is refused before anything is asked") {
    const auto refused = [&](const admin::MovePartition& move) {
        return code_of(call("POST", "/v1/moves", admin::encode(move)));
    };
    CHECK(refused({"nobody", 0, "/a"}) == Code::unknown_topic);
    CHECK(refused({"orders", 9, "/a"}) == Code::unknown_partition);
    CHECK(refused({"orders", -1, "/a"}) == Code::unknown_partition);
    CHECK(refused({"orders", 0, "/nowhere"}) == Code::resource_not_found);
    CHECK(refused({"orders", 0, "/c"}) == Code::storage_offline);
    for (const char* body : {"", "{}", R"({"topic":"orders","partition":0})",
                             R"({"topic":"orders","partition":0,"log_dir":"/a","x":1})"}) {
        CAPTURE(body);
        CHECK(call("POST", "/v1/moves", body).status == 400);
    }
    CHECK(services.submitted.empty());
}

TEST_CASE_FIXTURE(Fixture, "moves: those under way are listed, others and those offline are not") {
    send("GET", "/v1/moves");
    REQUIRE(services.submitted.size() == 5); // __consumer_offsets-0, events-0, orders-0, -1, -2
    for (int i = 0; i < 5; i++) {
        replica::DescribeResult described;
        described.log_dir = 0;
        if (i == 3) {
            described.future_log_dir = 1;
            described.future_size_bytes = 70;
            described.future_offset_lag = 8;
        }
        services.answer_partition(
            i == 1 ? Result<replica::PartitionResult>(Error(Code::storage_offline))
                   : replica::PartitionResult(described));
    }
    const auto list = admin::decode<admin::MoveList>(receive().body);
    REQUIRE(list);
    CHECK(list->broker_id == 1);
    CHECK(list->moves == std::vector<admin::MoveInfo>{{"orders", 1, "/a", "/b", 70, 8}});
}

TEST_CASE_FIXTURE(Fixture, "moves: the description of a topic says where its partitions are") {
    send("GET", "/v1/topics/events");
    replica::DescribeResult described;
    described.log_dir = 1;
    described.future_log_dir = 0;
    described.future_offset_lag = 3;
    services.answer_partition(replica::PartitionResult(described));
    const auto topic = admin::decode<admin::TopicDescription>(receive().body);
    REQUIRE(topic);
    CHECK(topic->partitions[0].log_dir == "/b");
    CHECK(topic->partitions[0].future_log_dir == "/a");
    CHECK(topic->partitions[0].future_offset_lag == 3);
}
