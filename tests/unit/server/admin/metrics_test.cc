// Proves how /metrics finds lag: cores are surveyed, partitions asked a few in each turn, what has
// no answer or no partition is left out, and the age is that of the first record not committed. The
// same for the description of one group.
#include "tests/unit/server/admin/admin_fixture.h"

using namespace qtool;
using namespace qtool::test;

namespace {

replica::PartitionResult lag(int64_t high_watermark, int64_t timestamp_ms) {
    return replica::PartitionResult(replica::LagResult{Offset(high_watermark), timestamp_ms});
}

} // namespace

TEST_CASE("metrics: lag in records and time for each committed offset that has a partition") {
    AdminFixture fixture;
    fixture.send("GET", "/metrics");
    REQUIRE(fixture.services.submitted.size() == 1);
    CHECK(std::holds_alternative<replica::SurveyOp>(fixture.services.submitted[0].op));
    metrics::CoreSurvey core;
    core.offsets = {{"g", "orders", 2, 7},  {"g", "missing", 0, 7}, {"g", "orders", 9, 7},
                    {"g", "orders", -1, 7}, {"a", "orders", 0, 7},  {"a", "orders", 1, 7},
                    {"b", "orders", 1, 90}};
    core.offsets_left_out = 4;
    fixture.services.answer_partition(replica::PartitionResult(std::move(core)));
    CHECK(fixture.services.submitted.empty()); // the next turn of the core
    fixture.services.pass_deadlines();
    REQUIRE(fixture.services.submitted.size() == 4);
    CHECK(std::get<replica::LagOp>(fixture.services.submitted[0].op).committed == Offset(7));
    const int64_t now = fixture.services.wall_now().time_since_epoch().count();
    fixture.services.answer_partition(lag(20, now - 1500));
    fixture.services.answer_partition(Error(Code::storage_offline));
    fixture.services.answer_partition(lag(7, -1));
    CHECK(fixture.host.sent.empty());
    fixture.services.answer_partition(lag(80, now + 5000)); // a clock ahead; offsets from afar
    const auto response = fixture.receive();
    CHECK(response.status == 200);
    CHECK(response.headers.at("content-type").find("version=0.0.4") != std::string::npos);
    CHECK(response.body == "qbroker_test 3 left out 4\n"
                           "a/orders-1 0 0\n"
                           "b/orders-1 0 0\n"
                           "g/orders-2 13 1500\n");
}

TEST_CASE("metrics: partitions are asked 64 in a turn; lag has a bound") {
    AdminFixture fixture;
    fixture.send("GET", "/metrics");
    metrics::CoreSurvey core;
    for (uint32_t i = 0; i < metrics::kLagSeriesMax + 3; i++) {
        core.offsets.push_back({"g" + std::to_string(i), "events", 0, 0});
    }
    fixture.services.answer_partition(replica::PartitionResult(std::move(core)));
    size_t asked = 0;
    while (fixture.host.sent.empty()) {
        fixture.services.pass_deadlines();
        REQUIRE(!fixture.services.submitted.empty());
        REQUIRE(fixture.services.submitted.size() <= 64);
        asked += fixture.services.submitted.size();
        while (!fixture.services.submitted.empty()) {
            fixture.services.answer_partition(lag(0, -1));
        }
    }
    CHECK(asked == metrics::kLagSeriesMax);
    CHECK(fixture.receive().body.rfind("qbroker_test 10000 left out 3\n", 0) == 0);
}
