// Proves what the routes of groups and transactions make of their coordinators' answers: lists are
// those of all shards or none, a name may hold a slash, and a change says what went wrong. The
// shards are played by the test.
#include "lib/admin/group_model.h"
#include "lib/protocol/msg/delete_groups.h"
#include "lib/protocol/msg/describe_transactions.h"
#include "lib/protocol/msg/init_producer_id.h"
#include "lib/protocol/msg/list_groups.h"
#include "lib/protocol/msg/list_transactions.h"
#include "server/coordinator/machine.h"
#include "tests/unit/server/admin/admin_fixture.h"

using namespace qtool;
using namespace qtool::test;

namespace {

constexpr int32_t kShards = 3;

class CoordinatorsFixture : public AdminFixture {
public:
    CoordinatorsFixture() {
        auto image = make_image();
        add_topic(*image, make_topic("__consumer_offsets", 3, kShards));
        add_topic(*image, make_topic("__transaction_state", 4, kShards));
        services.image_ = image;
    }
    [[nodiscard]] int32_t shard() const { return services.submitted.at(0).key.index.value(); }
    template <class Request>
    Request asked() const {
        REQUIRE_FALSE(services.submitted.empty());
        const auto& op = std::get<replica::CoordinatorOp>(services.submitted.front().op);
        CHECK(op.api_key == Request::kApiKey);
        auto request = Request::decode(op.body, op.api_version);
        REQUIRE(request.has_value());
        return std::move(*request);
    }
    template <class Response>
    void reply(const Response& response) {
        const auto& op = std::get<replica::CoordinatorOp>(services.submitted.front().op);
        ByteWriter writer;
        response.encode(writer, op.api_version);
        services.answer_partition(
            replica::PartitionResult(replica::CoordinatorResult{writer.take()}));
    }
};

int32_t shard_of(std::string_view key) {
    return coordinator::shard_of(key, kShards).value();
}

} // namespace

TEST_CASE("coordinator routes: a list is that of all shards, sorted; half of it is an error") {
    for (const bool is_loading : {false, true}) {
        CAPTURE(is_loading);
        CoordinatorsFixture fixture;
        fixture.send("GET", "/v1/groups");
        CHECK(fixture.services.submitted.size() == kShards);
        for (const std::string_view name : {"c", "a", "b"}) {
            if (is_loading && name == "a") {
                fixture.services.answer_partition(Error(Code::coordinator_loading));
                continue;
            }
            protocol::ListGroupsResponse response;
            response.groups.emplace_back().group_id = name;
            fixture.reply(response);
        }
        const auto groups = fixture.receive();
        fixture.send("GET", "/v1/transactions");
        for (const std::string_view name : {"z", "x", "y"}) {
            if (is_loading && name == "x") {
                fixture.services.answer_partition(Error(Code::coordinator_loading));
                continue;
            }
            protocol::ListTransactionsResponse response;
            response.transaction_states.push_back({name, 7, "Ongoing"});
            fixture.reply(response);
        }
        const auto transactions = fixture.receive();
        if (is_loading) {
            CHECK(code_of(groups) == Code::coordinator_loading);
            CHECK(code_of(transactions) == Code::coordinator_loading);
            continue;
        }
        const auto list = admin::decode<admin::GroupList>(groups.body);
        REQUIRE(list);
        REQUIRE(list->groups.size() == 3);
        CHECK(list->groups[0].group == "a");
        CHECK(list->groups[2].group == "c");
        const auto open = admin::decode<admin::TransactionList>(transactions.body);
        REQUIRE(open);
        REQUIRE(open->transactions.size() == 3);
        CHECK(open->transactions[0].transactional_id == "x");
        CHECK(open->transactions[2].transactional_id == "z");
    }
}

TEST_CASE("coordinator routes: a name may hold what a path escapes, slashes too") {
    struct Case {
        std::string_view target;
        std::string_view name;
    };
    for (const Case& c : {Case{"a%2Fb", "a/b"}, Case{"%2f", "/"}, Case{"a%20b%3F", "a b?"},
                          Case{"..", ".."}, Case{"%25%32%46", "%2F"}}) {
        CAPTURE(c.target);
        CoordinatorsFixture fixture;
        fixture.send("DELETE", "/v1/groups/" + std::string(c.target));
        const auto request = fixture.asked<protocol::DeleteGroupsRequest>();
        CHECK(fixture.shard() == shard_of(c.name));
        REQUIRE(request.groups_names.size() == 1);
        CHECK(request.groups_names[0] == c.name);
        protocol::DeleteGroupsResponse response;
        response.results.push_back({c.name, 0});
        fixture.reply(response);
        CHECK(fixture.receive().status == 204);

        fixture.send("DELETE", "/v1/transactions/" + std::string(c.target));
        CHECK(fixture.asked<protocol::DescribeTransactionsRequest>().transactional_ids[0] ==
              c.name);
        protocol::DescribeTransactionsResponse found;
        found.transaction_states.emplace_back().transactional_id = c.name;
        fixture.reply(found);
        CHECK(fixture.asked<protocol::InitProducerIdRequest>().transactional_id == c.name);
        fixture.reply(protocol::InitProducerIdResponse{});
        CHECK(fixture.receive().status == 204);
    }
}

TEST_CASE("coordinator routes: a refused change says why, once") {
    CoordinatorsFixture fixture;
    fixture.send("DELETE", "/v1/groups/g");
    protocol::DeleteGroupsResponse busy;
    busy.results.push_back({"g", 68});
    fixture.reply(busy);
    CHECK(code_of(fixture.receive()) == Code::invalid_request);

    fixture.send("DELETE", "/v1/transactions/x");
    protocol::DescribeTransactionsResponse unknown;
    unknown.transaction_states.emplace_back().error_code = 105;
    fixture.reply(unknown);
    CHECK(fixture.services.submitted.empty()); // nothing is made of an unknown id
    CHECK(code_of(fixture.receive()) == Code::resource_not_found);

    auto image = make_image();
    image->topics_by_name.erase("__consumer_offsets");
    fixture.services.image_ = image;
    for (const std::string_view target : {"/v1/groups/g", "/v1/transactions/x"}) {
        CHECK(code_of(fixture.call("DELETE", target)) == Code::resource_not_found);
    }
    CHECK(fixture.call("GET", "/v1/groups").status == 200);
}
