// Proves payloads and their stamps, how tallies add up, and that a report is JSON whatever it
// names.
#include "cli/bench/payload.h"
#include "cli/bench/report.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <set>

using namespace qtool;
using namespace qtool::cli::bench;

TEST_CASE("payload: sizes are as asked, keys are few, and a seed repeats it") {
    PayloadOptions options;
    options.value_bytes = 100;
    options.key_count = 12;
    Payload one(options);
    Payload again(options);
    std::set<std::string> keys;
    for (int i = 0; i < 500; i++) {
        one.next(MonoTime(1s));
        again.next(MonoTime(2s));
        CHECK(one.value() == again.value());
        CHECK(one.value().size() == 100);
        CHECK(*one.key() == *again.key());
        keys.insert(std::string(*one.key()));
    }
    CHECK(keys.size() == 12);
    CHECK(keys.contains("key-00"));
    CHECK(keys.contains("key-11"));
    CHECK(one.record_bytes() == 106);
}

TEST_CASE("payload: a stamp says when the record was due, to its own run only") {
    PayloadOptions options;
    options.value_bytes = kStampBytes;
    options.run_id = 77;
    Payload payload(options);
    payload.next(MonoTime(123'456ns));
    CHECK(!payload.key());
    CHECK(read_stamp(payload.value(), 77) == MonoTime(123'456ns));
    CHECK(!read_stamp(payload.value(), 78));
    CHECK(!read_stamp(payload.value().substr(1), 77));
    CHECK(!read_stamp("", 77));
}

TEST_CASE("report: workers add up, the time is that of the last one") {
    std::vector<std::unique_ptr<Tally>> tallies;
    for (int i = 0; i < 2; i++) {
        auto tally = std::make_unique<Tally>();
        tally->sent.add(10);
        tally->done.add(8);
        tally->done_bytes.add(800);
        tally->failed.add(1);
        tally->undelivered = 1;
        tally->overdue = 3;
        tally->finished = MonoTime(Duration(10s) + Duration(2s) * i);
        tally->latency.record(1000);
        tally->errors["timed out"] = 1;
        tallies.push_back(std::move(tally));
    }
    const auto flow = sum_up(tallies, MonoTime(8s));
    CHECK(flow->sent == 20);
    CHECK(flow->records == 16);
    CHECK(flow->bytes == 1600);
    CHECK(flow->failed == 2);
    CHECK(flow->undelivered == 2);
    CHECK(flow->overdue == 6);
    CHECK(flow->elapsed_s == 4);
    CHECK(flow->records_per_s() == 4);
    CHECK(flow->bytes_per_s() == 400);
    CHECK(flow->latency.count() == 2);
    CHECK(flow->errors.at("timed out") == 2);
    CHECK(sum_up({}, MonoTime(8s))->records_per_s() == 0);
}

TEST_CASE("report: JSON holds whatever brokers and errors are called") {
    Report report;
    report.workload = "e2e";
    report.partial = true;
    report.parameters = {
        text_parameter("topic", "a\"\\\n\xff"), number_parameter("records", uint64_t{5}),
        number_parameter("rate", std::nullopt), number_parameter("duration_s", std::optional(0.5))};
    report.produce = std::make_unique<Flow>();
    report.produce->errors["odd \"thing\"\x01"] = 2;
    report.produce->latency.record(1'234'567);
    const auto json = nlohmann::json::parse(to_json(report), nullptr, false);
    REQUIRE(!json.is_discarded());
    CHECK(json["workload"] == "e2e");
    CHECK(json["partial"] == true);
    CHECK(json["parameters"]["records"] == 5);
    CHECK(json["parameters"]["rate"].is_null());
    CHECK(json["parameters"]["duration_s"] == 0.5);
    CHECK(json["consume"].is_null());
    CHECK(json["produce"]["intended_records_per_s"].is_null());
    CHECK(json["produce"]["latency_us"]["p99.99"] == 1234.567);
    CHECK(json["produce"]["errors"][0]["count"] == 2);
    const std::string text = to_text(report);
    CHECK(text.find("PARTIAL") != std::string::npos);
    CHECK(text.find('\x01') == std::string::npos);
}
