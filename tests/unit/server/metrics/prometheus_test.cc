// Proves the text of /metrics: its format line by line (names, labels and their escapes, histograms
// whose buckets add up), sums over cores, what is left out, and in which bucket a time falls.
#include "server/metrics/exposition.h"
#include "server/metrics/prometheus.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>

using namespace qtool;
using namespace qtool::metrics;
using namespace std::chrono_literals;

namespace {

bool has_line(const std::string& text, std::string_view line) {
    return ("\n" + text).find("\n" + std::string(line) + "\n") != std::string::npos;
}

struct Cores {
    std::unique_ptr<CoreCounters> first = std::make_unique<CoreCounters>();
    std::unique_ptr<CoreCounters> second = std::make_unique<CoreCounters>();
    Survey survey;

    std::string render() {
        return render_prometheus(
            {{first.get(), second.get()},
             {{"/data \"a\"", true, false, 10, 100, 5, 3}},
             &survey,
             [](size_t key) { return key == 0   ? "Produce"
                                     : key == 1 ? "Fetch"
                                                : ""; },
             [](int16_t code) { return code == 3 ? "UNKNOWN_TOPIC_OR_PARTITION" : "OTHER"; },
             WallTime(1'700'000'000'500ms)});
    }
};

} // namespace

TEST_CASE("histogram: a time falls into the first bucket that holds it") {
    struct Case {
        Duration took;
        size_t bucket;
    };
    const size_t last = Histogram::kBucketCount - 1;
    for (const Case& c :
         {Case{-5ms, 0}, Case{0ns, 0}, Case{100us, 0}, Case{100'001ns, 1}, Case{1ms, 3},
          Case{10s, last - 1}, Case{10'000'000'001ns, last}, Case{24h, last}}) {
        Histogram histogram;
        histogram.observe(c.took);
        for (size_t i = 0; i < Histogram::kBucketCount; i++) {
            CHECK(histogram.in_bucket(i) == (i == c.bucket ? 1 : 0));
        }
        CHECK(histogram.sum_ns() == static_cast<uint64_t>(std::max<int64_t>(c.took.count(), 0)));
    }
}

TEST_CASE("exposition: labels are escaped, buckets add up over parts, thousandths are exact") {
    Histogram a;
    Histogram b;
    a.observe(200us);
    b.observe(200us);
    b.observe(1min);
    Exposition out;
    out.begin("odd", Exposition::Type::gauge, "a help");
    out.sample({}, 7);
    out.sample({{"name", "a\"b\\c\nd"}, {"other", ""}}, 8);
    out.sample_milli({}, 1005);
    out.sample_milli({}, -1);
    out.begin("time_seconds", Exposition::Type::histogram, "times");
    out.histogram({{"stage", "x"}}, {&a, &b});
    const std::string text = out.take();
    CHECK(text.rfind("# HELP qbroker_odd a help\n# TYPE qbroker_odd gauge\nqbroker_odd 7\n", 0) ==
          0);
    CHECK(has_line(text, R"(qbroker_odd{name="a\"b\\c\nd",other=""} 8)"));
    CHECK(has_line(text, "qbroker_odd 1.005"));
    CHECK(has_line(text, "qbroker_odd 0.000"));
    CHECK(has_line(text, R"(qbroker_time_seconds_bucket{stage="x",le="0.0001"} 0)"));
    CHECK(has_line(text, R"(qbroker_time_seconds_bucket{stage="x",le="0.00025"} 2)"));
    CHECK(has_line(text, R"(qbroker_time_seconds_bucket{stage="x",le="10"} 2)"));
    CHECK(has_line(text, R"(qbroker_time_seconds_bucket{stage="x",le="+Inf"} 3)"));
    CHECK(has_line(text, R"(qbroker_time_seconds_sum{stage="x"} 60.000400000)"));
    CHECK(has_line(text, R"(qbroker_time_seconds_count{stage="x"} 3)"));
}

TEST_CASE("prometheus: counters have a core, APIs are summed, unused ones are left out") {
    Cores cores;
    cores.first->connections_opened.add(2);
    cores.second->connections_opened.add(5);
    cores.first->api[0].requests.add(4);
    cores.second->api[0].requests.add(6);
    cores.second->api[0].errors.add();
    cores.second->api[0].add_error_code(3);
    cores.first->api[0].add_error_code(3);
    cores.first->api[0].add_error_code(30'000); // of no table: unknown
    cores.first->api[0].add_error_code(-2);
    cores.first->api[50].requests.add(); // without a name
    cores.second->stage(Stage::flush_wait).observe(3ms);
    cores.second->dirty_permille.set(625);
    const std::string text = cores.render();
    CHECK(has_line(text, R"(qbroker_connections_opened_total{core="0"} 2)"));
    CHECK(has_line(text, R"(qbroker_connections_opened_total{core="1"} 5)"));
    CHECK(has_line(text, R"(qbroker_requests_total{api="Produce"} 10)"));
    CHECK(has_line(text, R"(qbroker_request_errors_total{api="Produce"} 1)"));
    CHECK(has_line(
        text, R"(qbroker_error_codes_total{api="Produce",error="UNKNOWN_TOPIC_OR_PARTITION"} 2)"));
    CHECK(has_line(text, R"(qbroker_error_codes_total{api="Produce",error="OTHER"} 2)"));
    CHECK(text.find("api=\"Fetch\"") == std::string::npos);
    CHECK(has_line(text, R"(qbroker_stage_seconds_count{stage="flush_wait"} 1)"));
    CHECK(has_line(text, R"(qbroker_stage_seconds_count{stage="send"} 0)"));
    CHECK(has_line(text, "qbroker_log_dirty_ratio_max 0.625"));
    CHECK(has_line(text, R"(qbroker_log_dir_offline{directory="/data \"a\""} 1)"));
    CHECK(has_line(text, "qbroker_start_time_seconds 1700000000.500"));
}

TEST_CASE("prometheus: a survey is summed and printed; lag has its labels and what is left out") {
    Cores cores;
    LogSurvey logs;
    logs.segments = 2;
    logs.size_bytes = 100;
    cores.survey.logs.add(logs);
    cores.survey.logs.add(logs);
    CoordinatorSurvey coordinators;
    coordinators.shards_loaded = 25;
    coordinators.groups["classic/Stable"] = 1;
    coordinators.transactions["Ongoing"] = 2;
    cores.survey.coordinators.add(coordinators);
    cores.survey.coordinators.add(coordinators);
    cores.survey.lag.push_back({{"billing", "orders", 3, 17}, 5, 12'345});
    cores.survey.lag_left_out = 9;
    const std::string text = cores.render();
    CHECK(has_line(text, "qbroker_log_segments 4"));
    CHECK(has_line(text, "qbroker_log_size_bytes 200"));
    CHECK(has_line(text, R"(qbroker_coordinator_shards{state="loaded"} 50)"));
    CHECK(has_line(text, R"(qbroker_groups{type="classic",state="Stable"} 2)"));
    CHECK(has_line(text, R"(qbroker_transactions{state="Ongoing"} 4)"));
    CHECK(has_line(text,
                   R"(qbroker_group_lag_records{group="billing",topic="orders",partition="3"} 5)"));
    CHECK(has_line(
        text, R"(qbroker_group_lag_seconds{group="billing",topic="orders",partition="3"} 12.345)"));
    CHECK(has_line(text, "qbroker_group_lag_left_out 9"));
}
