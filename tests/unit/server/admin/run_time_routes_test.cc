// Proves the routes on options of topics, brokers and groups and on client quotas: what they show,
// what they ask of the store, and what they refuse.
#include "lib/admin/codec.h"
#include "lib/config/dynamic_config.h"
#include "tests/unit/server/admin/admin_fixture.h"

using namespace qtool;
using namespace qtool::test;

TEST_CASE("configs: what has options is listed, by type") {
    AdminFixture fixture;
    auto image = make_image();
    image->group_configs["readers"].options = {{"consumer.heartbeat.interval.ms", "6000"}};
    fixture.services.image_ = image;
    const auto list =
        admin::decode<admin::ConfigResourceList>(fixture.call("GET", "/v1/configs").body);
    REQUIRE(list);
    CHECK(list->resources.size() == 6); // default, broker 1, the group, three topics
    CHECK(list->resources[0] == admin::ConfigResource{"broker", "default"});
    CHECK(list->resources[2] == admin::ConfigResource{"group", "readers"});
}

TEST_CASE("configs: sources of values are told") {
    AdminFixture fixture;
    fixture.services.config_ =
        config::with_dynamic({}, {{"log.retention.ms", "5"}}, {{"log.level", "warn"}}).value();
    const auto source = [&](const std::string& path, std::string_view name) -> std::string {
        const auto configs = admin::decode<admin::ResourceConfigs>(fixture.call("GET", path).body);
        REQUIRE(configs);
        for (const auto& entry : configs->configs) {
            if (entry.name == name) {
                return entry.source + " " + entry.value.value_or("null");
            }
        }
        return "none";
    };
    CHECK(source("/v1/configs/brokers/default", "log.retention.ms") == "cluster 5");
    CHECK(source("/v1/configs/brokers/1", "log.level") == "broker warn");
    CHECK(source("/v1/configs/topics/events", "retention.ms") == "cluster 5");
    CHECK(source("/v1/configs/groups/g", "consumer.session.timeout.ms") == "default 45000");
    CHECK(fixture.call("GET", "/v1/configs/brokers/9").status == 400);
    CHECK(fixture.call("GET", "/v1/configs/topics/missing").status == 404);
}

TEST_CASE("quotas: shown as they are stored") {
    AdminFixture fixture;
    auto image = make_image();
    using Name = metadata::QuotaEntity::Name;
    image->quotas[metadata::QuotaEntity{.user = Name("u"), .client_id = Name()}]
        .values["producer_byte_rate"] = 1024;
    fixture.services.image_ = image;
    const auto list = admin::decode<admin::QuotaList>(fixture.call("GET", "/v1/quotas").body);
    REQUIRE(list);
    CHECK(list->quotas ==
          std::vector<admin::QuotaEntry>{
              {{{"user", "u"}, {"client-id", std::nullopt}}, {{"producer_byte_rate", 1024}}}});
}

TEST_CASE("quotas: a request of another shape is refused before anything is asked") {
    AdminFixture fixture;
    for (const char* body :
         {R"({"entity": [{"type": "planet", "name": "x"}], "set": {}})",
          R"({"entity": [{"type": "user"}], "set": {}})",
          R"({"entity": [{"type": "user", "name": "a"}, {"type": "user", "name": "b"}]})",
          R"({"entity": [{"type": "user", "name": "a"}], "set": {"producer_byte_rate": "1"}})",
          R"({"entity": [{"type": "user", "name": "a"}], "sett": {}})"}) {
        CAPTURE(body);
        CHECK(fixture.call("PATCH", "/v1/quotas", body).status == 400);
    }
    CHECK(fixture.services.changes.empty());
}
