// Proves each route of the JSON door with its errors, what every answer has in common, and that web
// pages of others are kept out. A fake core stands behind the connection.
#include "server/admin/openapi.h"
#include "server/admin/routes.h"
#include "tests/unit/server/admin/admin_fixture.h"

#include <nlohmann/json.hpp>

#include <set>

using namespace qtool;
using namespace qtool::test;

namespace {

// What stands after the head of the one answer in `sent`.
std::string body_of(const std::vector<std::byte>& sent) {
    const std::string_view text = as_text(sent);
    const size_t end = text.find("\r\n\r\n");
    REQUIRE(end != std::string_view::npos);
    return std::string(text.substr(end + 4));
}

} // namespace

TEST_CASE("routes: the document lists exactly the routes that are served") {
    const auto document = nlohmann::json::parse(admin::kOpenApi, nullptr, false);
    REQUIRE(document.is_object());
    std::set<std::string> described;
    for (const auto& [path, methods] : document["paths"].items()) {
        for (const auto& [method, operation] : methods.items()) {
            if (method != "parameters" && method != "summary" && method != "description") {
                described.insert(method + " " + path);
            }
        }
    }
    std::set<std::string> served;
    for (const admin::RouteRow& row : admin::route_table()) {
        std::string method(row.method);
        for (char& c : method) {
            c = static_cast<char>(c + 32);
        }
        served.insert(method + " " + std::string(row.path));
    }
    CHECK(described == served);
}

TEST_CASE("routes: the cluster, its brokers and counts") {
    AdminFixture fixture;
    const auto response = fixture.call("GET", "/v1/cluster");
    CHECK(response.status == 200);
    const auto info = admin::decode<admin::ClusterInfo>(response.body);
    REQUIRE(info.has_value());
    CHECK(info->cluster_id == "test-cluster");
    CHECK(info->broker_id == 1);
    CHECK(info->controller_id == 1);
    CHECK(!info->version.empty());
    CHECK(info->started_ms == 1'600'000'000'000);
    CHECK(info->topic_count == 3);
    CHECK(info->partition_count == 5);
    CHECK(info->offline_partition_count == 0);
    REQUIRE(info->brokers.size() == 1);
    CHECK(info->brokers[0].admin_host == "broker.example");
    CHECK(info->brokers[0].admin_port == 9092);
}

TEST_CASE("routes: topics are listed by name") {
    AdminFixture fixture;
    const auto list = admin::decode<admin::TopicList>(fixture.call("GET", "/v1/topics").body);
    REQUIRE(list.has_value());
    REQUIRE(list->topics.size() == 3);
    CHECK(list->topics[0].internal);
    CHECK(list->topics[2].name == "orders");
    CHECK(list->topics[2].partition_count == 3);
    CHECK(list->topics[2].replication_factor == 1);
}

TEST_CASE("routes: one topic has the offsets of the partitions that answer") {
    AdminFixture fixture;
    fixture.send("GET", "/v1/topics/orders");
    REQUIRE(fixture.services.submitted.size() == 3);
    replica::DescribeResult result;
    result.log_start_offset = Offset(1);
    result.log_end_offset = Offset(20);
    result.high_watermark = Offset(19);
    result.size_bytes = 4096;
    fixture.services.answer_partition(replica::PartitionResult(result));
    fixture.services.answer_partition(Error(Code::storage_offline));
    CHECK(fixture.host.sent.empty());
    fixture.services.answer_partition(replica::PartitionResult(result));
    const auto response = fixture.receive();
    CHECK(response.status == 200);
    const auto topic = admin::decode<admin::TopicDescription>(response.body);
    REQUIRE(topic.has_value());
    REQUIRE(topic->partitions.size() == 3);
    CHECK(topic->partitions[0].log_end_offset == 20);
    CHECK(topic->partitions[0].high_watermark == 19);
    CHECK(topic->partitions[0].size_bytes == 4096);
    CHECK(topic->partitions[1].log_end_offset == std::nullopt);
    CHECK(topic->partitions[2].log_start_offset == 1);
    CHECK(topic->partitions[1].leader_epoch == 7);
    bool found = false;
    for (const admin::ConfigEntry& config : topic->configs) {
        found = found || (config.name == "retention.ms" && config.value == "1000" &&
                          config.source == "topic");
    }
    CHECK(found);
}

TEST_CASE("routes: a topic of very many partitions is described without offsets") {
    AdminFixture fixture;
    auto image = std::make_shared<metadata::Image>(*fixture.services.image_);
    add_topic(*image, make_topic("wide", 9, 1001));
    fixture.services.image_ = image;
    const auto response = fixture.call("GET", "/v1/topics/wide");
    CHECK(fixture.services.submitted.empty());
    const auto topic = admin::decode<admin::TopicDescription>(response.body);
    REQUIRE(topic.has_value());
    CHECK(topic->partitions.size() == 1001);
    CHECK(topic->partitions[0].log_end_offset == std::nullopt);
}

TEST_CASE("routes: creating a topic is 201 after the commit, 200 when only checked") {
    AdminFixture fixture;
    fixture.send("POST", "/v1/topics",
                 R"({"name":"fresh","partitions":2,"configs":{"retention.ms":"60000"}})");
    CHECK(fixture.host.sent.empty());
    CHECK(!fixture.connection.wants_bytes());
    fixture.services.commit();
    auto response = fixture.receive();
    CHECK(response.status == 201);
    const auto summary = admin::decode<admin::TopicSummary>(response.body);
    REQUIRE(summary.has_value());
    CHECK(summary->name == "fresh");
    CHECK(summary->partition_count == 2);
    CHECK(summary->id.size() == 22);
    response = fixture.call("POST", "/v1/topics", R"({"name":"fresh","validate_only":true})");
    CHECK(response.status == 200);
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("routes: a topic that cannot be created says why") {
    const struct {
        std::string_view body;
        Code code;
    } cases[] = {
        {R"({"name":"orders"})", Code::topic_exists},
        {R"({"name":"bad name"})", Code::invalid_topic_name},
        {R"({"name":"a","partitions":0})", Code::invalid_partitions},
        {R"({"name":"a","replication_factor":70000})", Code::invalid_replication_factor},
        {R"({"name":"a","configs":{"no.such.option":"1"}})", Code::invalid_config},
        {R"({"name":"a","unknown":1})", Code::invalid_request},
        {R"({"partitions":1})", Code::invalid_request},
        {R"({"name":)", Code::malformed},
        {"", Code::malformed},
    };
    for (const auto& c : cases) {
        CAPTURE(c.body);
        AdminFixture fixture;
        const auto response = fixture.call("POST", "/v1/topics", c.body);
        CHECK(code_of(response) == c.code);
        CHECK(response.status == admin::http_status(c.code));
        CHECK(fixture.host.counters_.http_errors.value() == 1);
    }
}

TEST_CASE("routes: altering a topic changes configs, then partitions") {
    AdminFixture fixture;
    fixture.send("PATCH", "/v1/topics/orders",
                 R"({"configs":[{"op":"set","name":"retention.ms","value":"5"}],"partitions":4})");
    REQUIRE(fixture.services.changes.size() == 1);
    fixture.services.commit();
    CHECK(fixture.host.sent.empty());
    REQUIRE(fixture.services.changes.size() == 1);
    fixture.services.commit();
    const auto response = fixture.receive();
    CHECK(response.status == 200);
    CHECK(admin::decode<admin::TopicSummary>(response.body)->name == "orders");
}

TEST_CASE("routes: altering one thing alone, nothing, or only checking") {
    AdminFixture fixture;
    fixture.send("PATCH", "/v1/topics/orders", R"({"configs":[],"partitions":4})");
    fixture.services.commit();
    CHECK(fixture.receive().status == 200);
    CHECK(fixture
              .call("PATCH", "/v1/topics/orders",
                    R"({"configs":[{"op":"delete","name":"retention.ms"}],"partitions":9,)"
                    R"("validate_only":true})")
              .status == 200);
    CHECK(fixture.services.changes.empty());
}

TEST_CASE("routes: a refused alteration says why") {
    const struct {
        std::string_view topic;
        std::string_view body;
        Code code;
    } cases[] = {
        {"missing", R"({"configs":[{"op":"set","name":"retention.ms","value":"5"}]})",
         Code::unknown_topic},
        {"missing", R"({"configs":[],"partitions":3})", Code::unknown_topic},
        {"orders", R"({"configs":[],"partitions":2})", Code::invalid_partitions},
        {"orders", R"({"configs":[{"op":"set","name":"no.such","value":"5"}]})",
         Code::invalid_config},
        {"orders", R"({"configs":[{"op":"swap","name":"retention.ms","value":"5"}]})",
         Code::invalid_request},
    };
    for (const auto& c : cases) {
        CAPTURE(c.body);
        AdminFixture fixture;
        const auto response = fixture.call("PATCH", "/v1/topics/" + std::string(c.topic), c.body);
        CHECK(code_of(response) == c.code);
        CHECK(fixture.services.changes.empty());
    }
}

TEST_CASE("routes: deleting a topic is 204 without body; unknown and forbidden are errors") {
    AdminFixture fixture;
    fixture.send("DELETE", "/v1/topics/orders");
    fixture.services.commit();
    CHECK(as_text(fixture.host.sent).starts_with("HTTP/1.1 204 "));
    CHECK(body_of(fixture.host.sent).empty());
    fixture.host.sent.clear();
    CHECK(code_of(fixture.call("DELETE", "/v1/topics/missing")) == Code::unknown_topic);
    fixture.services.config_.delete_topic_enable = false;
    CHECK(code_of(fixture.call("DELETE", "/v1/topics/orders")) == Code::feature_disabled);
}

TEST_CASE("routes: a change that does not get through answers with its error") {
    AdminFixture fixture;
    fixture.send("DELETE", "/v1/topics/orders");
    fixture.services.commit(Error(Code::store_unavailable, "the store does not answer"));
    const auto response = fixture.receive();
    CHECK(response.status == admin::http_status(Code::store_unavailable));
    CHECK(code_of(response) == Code::store_unavailable);
}

TEST_CASE("routes: broker options, metrics, document and health") {
    AdminFixture fixture;
    const auto configs =
        admin::decode<admin::BrokerConfigs>(fixture.call("GET", "/v1/config/broker").body);
    REQUIRE(configs.has_value());
    CHECK(configs->broker_id == 1);
    CHECK(configs->configs.size() == config::broker_options().rows.size());
    fixture.send("GET", "/metrics");
    fixture.services.answer_partition(replica::PartitionResult(metrics::CoreSurvey{}));
    const auto metrics = fixture.receive();
    CHECK(metrics.body == "qbroker_test 0 left out 0\n");
    CHECK(metrics.headers.at("content-type").find("version=0.0.4") != std::string::npos);
    CHECK(fixture.call("GET", "/v1/openapi.json").body == admin::kOpenApi);
    CHECK(fixture.call("GET", "/healthz").body == "ok");
    fixture.services.serving_ = false;
    const auto stopping = fixture.call("GET", "/healthz");
    CHECK(stopping.status == 503);
    CHECK(stopping.body == "stopping");
}

TEST_CASE("routes: HEAD is GET without the body") {
    AdminFixture fixture;
    for (const std::string_view path : {"/healthz", "/v1/topics", "/v1/topics/missing"}) {
        fixture.send("HEAD", path);
        CHECK(body_of(fixture.host.sent).empty());
        CHECK(as_text(fixture.host.sent).find("Content-Length: ") != std::string_view::npos);
        fixture.host.sent.clear();
    }
    fixture.send("HEAD", "/v1/topics/events");
    fixture.services.answer_partition(replica::PartitionResult(replica::DescribeResult{}));
    CHECK(as_text(fixture.host.sent).starts_with("HTTP/1.1 200 "));
    CHECK(body_of(fixture.host.sent).empty());
}

TEST_CASE("routes: unknown paths are 404, other methods 405 with what is allowed") {
    AdminFixture fixture;
    for (const std::string_view path :
         {"/", "//", "/v1", "/v1/", "/v1//topics", "/v1%2Ftopics", "/v1/topics/", "/v1/topics/a/b",
          "/v1/configs/topics", "/v1/clusters", "/v1/cluster/"}) {
        CAPTURE(path);
        const auto response = fixture.call("GET", path);
        CHECK(response.status == 404);
        CHECK(code_of(response) == Code::resource_not_found);
    }
    auto response = fixture.call("PUT", "/v1/topics");
    CHECK(response.status == 405);
    CHECK(response.headers.at("allow") == "GET, HEAD, POST");
    response = fixture.call("POST", "/v1/topics/orders");
    CHECK(response.headers.at("allow") == "GET, HEAD, PATCH, DELETE");
    CHECK(fixture.call("DELETE", "/metrics").headers.at("allow") == "GET, HEAD");
}

TEST_CASE("routes: pages of other origins are refused, our own are not") {
    const struct {
        std::string_view headers;
        int status;
    } cases[] = {
        {"Origin: http://127.0.0.1:9092\r\n", 200},
        {"Host: LocalHost:9092\r\nOrigin: http://localhost:9092\r\n", 200},
        {"Origin: http://evil.example\r\n", 403},
        {"Origin: http://127.0.0.1:8080\r\n", 403},
        {"Origin: null\r\n", 403},
        {"Origin: http://\r\n", 403},
    };
    for (const auto& c : cases) {
        CAPTURE(c.headers);
        AdminFixture fixture;
        CHECK(fixture.call("GET", "/v1/topics", "", c.headers).status == c.status);
    }
}

TEST_CASE("routes: changes are refused under a name that is not ours") {
    const std::pair<std::string_view, bool> cases[] = {
        {"127.0.0.1:9092", true},     {"10.1.2.3", true},
        {"[::1]:9092", true},         {"localhost", true},
        {"LOCALHOST:1", true},        {"broker.example:9092", true},
        {"evil.example:9092", false}, {"127.0.0.1.evil", false},
        {"1.2.3.400", false},         {"localhost.evil.example", false},
    };
    for (const auto& entry : cases) {
        CAPTURE(entry.first);
        AdminFixture fixture;
        const std::string header = "Host: " + std::string(entry.first) + "\r\n";
        fixture.send("DELETE", "/v1/topics/orders", "", header);
        CHECK(fixture.services.changes.size() == (entry.second ? 1 : 0));
        if (!entry.second) {
            CHECK(fixture.receive().status == 403);
            CHECK(fixture.call("GET", "/v1/topics", "", header).status == 200);
        }
    }
}

TEST_CASE("http connection: pipelined requests are answered one after the other") {
    AdminFixture fixture;
    fixture.host.feed(as_bytes("GET /v1/topics/events HTTP/1.1\r\nHost: a\r\n\r\n"
                               "GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    CHECK(fixture.host.sent.empty());
    CHECK(!fixture.connection.is_idle());
    fixture.services.answer_partition(Error(Code::storage_offline));
    CHECK(fixture.receive().status == 200);
    fixture.host.feed_again();
    const auto last = fixture.receive();
    CHECK(last.body == "ok");
    CHECK(!last.keep_alive);
    CHECK(fixture.host.closes.size() == 1);
}

TEST_CASE("http connection: what is not HTTP is refused with its status and closed") {
    AdminFixture fixture;
    fixture.host.feed(as_bytes("GET nonsense\r\n\r\n"));
    const auto response = fixture.receive();
    CHECK(response.status == 400);
    CHECK(code_of(response) == Code::malformed);
    CHECK(fixture.host.closes.size() == 1);
}

TEST_CASE("http connection: a request that does not arrive in time is 408, an idle one closes") {
    AdminFixture slow;
    slow.host.feed(as_bytes("GET /healthz HTT"));
    slow.services.now_ += stream::kHttpHeaderTimeMax + 1s;
    slow.connection.on_tick(slow.services.now_, slow.host);
    CHECK(slow.receive().status == 408);
    CHECK(slow.host.closes.size() == 1);
    AdminFixture idle;
    idle.call("GET", "/healthz");
    idle.services.now_ += stream::kHttpIdleTimeMax + 1s;
    idle.connection.on_tick(idle.services.now_, idle.host);
    CHECK(idle.host.sent.empty());
    CHECK(idle.host.closes.size() == 1);
}
