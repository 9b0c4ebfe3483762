// Proves the routes on brokers, plans and reassignments: what they show, what they ask of the
// store, and what they refuse.
#include "lib/admin/cluster_model.h"
#include "tests/unit/server/admin/admin_fixture.h"

using namespace qtool;
using namespace qtool::test;

namespace {

// Broker 2 beside broker 1 is registered, but gone.
std::shared_ptr<metadata::Image> two_brokers(bool is_live) {
    auto image = make_image();
    metadata::BrokerImage broker;
    broker.id = BrokerId(2);
    broker.host = "second";
    broker.port = 9092;
    broker.epoch = is_live ? Revision(4) : Revision(0);
    image->brokers[broker.id] = broker;
    return image;
}

} // namespace

TEST_CASE("cluster: brokers that are gone or cordoned are told apart") {
    AdminFixture fixture;
    auto image = two_brokers(false);
    image->brokers[BrokerId(1)].is_cordoned = true;
    image->controller = {BrokerId(1), Revision(2)};
    fixture.services.image_ = image;
    const auto info = admin::decode<admin::ClusterInfo>(fixture.call("GET", "/v1/cluster").body);
    REQUIRE(info);
    CHECK(info->controller_id == 1);
    REQUIRE(info->brokers.size() == 2);
    CHECK(info->brokers[0].live);
    CHECK(info->brokers[0].cordoned);
    CHECK_FALSE(info->brokers[1].live);
}

TEST_CASE("brokers: cordoned and forgotten") {
    AdminFixture fixture;
    fixture.services.image_ = two_brokers(false);
    fixture.send("PATCH", "/v1/brokers/2", R"({"cordoned": true})");
    REQUIRE(fixture.services.changes.size() == 1);
    CHECK(fixture.services.changes[0].transaction.writes.at(0).key == "brokers/2");
    fixture.services.commit();
    CHECK(fixture.receive().status == 204);
    fixture.send("DELETE", "/v1/brokers/2");
    REQUIRE(fixture.services.changes.size() == 1);
    fixture.services.commit();
    CHECK(fixture.receive().status == 204);
    CHECK(fixture.call("DELETE", "/v1/brokers/1").status == 400); // it is live
    CHECK(fixture.call("DELETE", "/v1/brokers/9").status == 404);
    CHECK(fixture.call("PATCH", "/v1/brokers/9", R"({"cordoned": true})").status == 404);
    CHECK(fixture.call("PATCH", "/v1/brokers/x", R"({"cordoned": true})").status == 400);
    CHECK(fixture.call("PATCH", "/v1/brokers/1", R"({})").status == 400);
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("plans: of a drain and of a balance; nothing is asked of the store") {
    AdminFixture fixture;
    fixture.services.image_ = two_brokers(true);
    const auto drain = admin::decode<admin::MovePlan>(
        fixture.call("POST", "/v1/plans", R"({"kind": "drain", "broker": 1})").body);
    REQUIRE(drain);
    CHECK(drain->moves.size() == 5); // all partitions of make_image
    CHECK(drain->moves[0] == admin::ReplicaMove{"__consumer_offsets", 0, {1}, {2}});
    CHECK(drain->stuck.empty());
    const auto even = admin::decode<admin::MovePlan>(
        fixture.call("POST", "/v1/plans", R"({"kind": "rebalance"})").body);
    REQUIRE(even);
    CHECK(even->moves.size() == 2);
    for (const char* body : {R"({"kind": "drain"})", R"({"kind": "rebalance", "broker": 1})",
                             R"({"kind": "dance"})", R"({})"}) {
        CAPTURE(body);
        CHECK(fixture.call("POST", "/v1/plans", body).status == 400);
    }
    CHECK(fixture.call("POST", "/v1/plans", R"({"kind": "drain", "broker": 7})").status == 404);
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("reassignments: asked for, each with its result, and listed") {
    AdminFixture fixture;
    auto image = two_brokers(true);
    auto moving = make_topic("moving", 9, 2);
    moving->partitions[1].replicas = {BrokerId(2), BrokerId(1)};
    moving->partitions[1].adding_replicas = {BrokerId(2)};
    moving->partitions[1].removing_replicas = {BrokerId(1)};
    add_topic(*image, moving);
    fixture.services.image_ = image;
    const auto list =
        admin::decode<admin::ReassignmentList>(fixture.call("GET", "/v1/reassignments").body);
    REQUIRE(list);
    CHECK(list->reassignments ==
          std::vector<admin::ReassignmentInfo>{{"moving", 1, {2, 1}, {2}, {1}}});

    fixture.send("POST", "/v1/reassignments",
                 R"({"reassignments": [{"topic": "moving", "partition": 1, "replicas": null},
                     {"topic": "moving", "partition": 0, "replicas": [2]},
                     {"topic": "moving", "partition": 0, "replicas": [2, 7]},
                     {"topic": "orders", "partition": 9, "replicas": [2]}]})");
    REQUIRE(fixture.services.changes.size() == 1);
    CHECK(fixture.services.changes[0].transaction.writes.size() == 1);
    fixture.services.commit();
    const auto results = admin::decode<admin::ReassignmentResults>(fixture.receive().body);
    REQUIRE(results);
    REQUIRE(results->results.size() == 4);
    CHECK(results->results[0].error.empty());
    CHECK(results->results[1].error == "invalid_request"); // twice
    CHECK(results->results[3].error == "unknown_partition");
    CHECK_FALSE(results->results[3].detail.empty());
    CHECK(fixture.call("POST", "/v1/reassignments", R"({"reassignments": []})").status == 400);
    CHECK(fixture.call("POST", "/v1/reassignments", R"({"reassignments": [{"topic": "a"}]})")
              .status == 400);
}

TEST_CASE("moves in JSON: what is written is read back") {
    const admin::AlterReassignmentsRequest request{
        {{"t", 1, std::vector<int32_t>{3, 4}}, {"u", 0, std::nullopt}}};
    CHECK(admin::decode<admin::AlterReassignmentsRequest>(admin::encode(request)).value() ==
          request);
    const admin::PlanRequest plan{"drain", 4};
    CHECK(admin::decode<admin::PlanRequest>(admin::encode(plan)).value() == plan);
    const admin::AlterBrokerRequest broker{true};
    CHECK(admin::decode<admin::AlterBrokerRequest>(admin::encode(broker)).value() == broker);
}
