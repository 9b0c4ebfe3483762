// Proves DescribeClientQuotas and AlterClientQuotas: what is stored, what each filter finds, and
// what is refused; and DescribeUserScramCredentials, which is asked beside them.
#include "lib/protocol/msg/alter_client_quotas.h"
#include "lib/protocol/msg/describe_client_quotas.h"
#include "lib/protocol/msg/describe_user_scram_credentials.h"
#include "tests/unit/server/kafka/kafka_fixture.h"

using namespace qtool;
using namespace qtool::test;
using metadata::QuotaEntity;
using protocol::AlterClientQuotasRequest;
using protocol::AlterClientQuotasResponse;
using protocol::DescribeClientQuotasRequest;
using protocol::DescribeClientQuotasResponse;

namespace {

void set_quotas(KafkaFixture& fixture) {
    auto image = make_image();
    const auto add = [&](QuotaEntity entity, double value) {
        image->quotas[std::move(entity)].values["producer_byte_rate"] = value;
    };
    using Name = QuotaEntity::Name;
    add({.client_id = Name("app")}, 1);
    add({.client_id = Name()}, 2);
    add({.user = Name("alice")}, 3);
    add({.user = Name("alice"), .client_id = Name("app")}, 4);
    fixture.services.image_ = image;
}

DescribeClientQuotasRequest::ComponentData component(std::string_view type, int8_t match_type,
                                                     std::optional<std::string_view> match = {}) {
    DescribeClientQuotasRequest::ComponentData out;
    out.entity_type = type;
    out.match_type = match_type;
    out.match = match;
    return out;
}

std::vector<double> values(const DescribeClientQuotasResponse& response) {
    std::vector<double> out;
    REQUIRE(response.entries.has_value());
    for (const auto& entry : *response.entries) {
        out.push_back(entry.values.at(0).value);
    }
    std::sort(out.begin(), out.end());
    return out;
}

} // namespace

TEST_CASE("describe client quotas: exact, default, any and strict, in both versions") {
    for (int16_t version = 0; version <= 1; version++) {
        KafkaFixture fixture;
        set_quotas(fixture);
        const auto ask = [&](std::vector<DescribeClientQuotasRequest::ComponentData> components,
                             bool strict) {
            DescribeClientQuotasRequest request;
            request.components = std::move(components);
            request.strict = strict;
            return values(fixture.call<DescribeClientQuotasResponse>(request, version));
        };
        using Values = std::vector<double>;
        CHECK(ask({}, false) == Values{1, 2, 3, 4});
        CHECK(ask({component("client-id", 0, "app")}, false) == Values{1, 4});
        CHECK(ask({component("client-id", 0, "app")}, true) == Values{1});
        CHECK(ask({component("client-id", 1)}, false) == Values{2});
        CHECK(ask({component("client-id", 2)}, true) == Values{1, 2});
        CHECK(ask({component("user", 2), component("client-id", 2)}, true) == Values{4});
    }
}

TEST_CASE("describe client quotas: filters that cannot be are refused") {
    KafkaFixture fixture;
    const auto error = [&](std::vector<DescribeClientQuotasRequest::ComponentData> components) {
        DescribeClientQuotasRequest request;
        request.components = std::move(components);
        return fixture.call<DescribeClientQuotasResponse>(request, 1).error_code;
    };
    CHECK(error({component("user", 2), component("user", 1)}) == 42);
    CHECK(error({component("ip", 2), component("user", 1)}) == 42);
    CHECK(error({component("user", 0)}) == 42);
    CHECK(error({component("user", 3)}) == 42);
    CHECK(error({component("", 2)}) == 42);
    CHECK(error({component("planet", 2)}) == 35);
}

TEST_CASE("alter client quotas: each entity alone") {
    for (int16_t version = 0; version <= 1; version++) {
        KafkaFixture fixture;
        AlterClientQuotasRequest request;
        const auto add = [&](std::string_view type, std::string_view key, double value) {
            auto& entry = request.entries.emplace_back();
            auto& part = entry.entity.emplace_back();
            part.entity_type = type;
            part.entity_name = "127.0.0.1";
            auto& op = entry.ops.emplace_back();
            op.key = key;
            op.value = value;
        };
        add("user", "producer_byte_rate", 1024);
        add("client-id", "producer_byte_rate", 0);
        add("ip", "connection_creation_rate", 5);
        add("planet", "producer_byte_rate", 5);
        fixture.send(request, version);
        REQUIRE(fixture.services.changes.size() == 1);
        CHECK(fixture.services.changes[0].transaction.writes.size() == 2);
        fixture.services.commit();
        const auto response = fixture.receive<AlterClientQuotasResponse>(version);
        std::vector<int16_t> errors;
        for (const auto& entry : response.entries) {
            errors.push_back(entry.error_code);
        }
        CHECK(errors == std::vector<int16_t>{0, 42, 0, 42});
        CHECK(response.entries.at(0).entity.at(0).entity_name == "127.0.0.1");
    }
}

TEST_CASE("alter client quotas: of an entity type named twice the last one counts") {
    KafkaFixture fixture;
    AlterClientQuotasRequest request;
    auto& entry = request.entries.emplace_back();
    for (const std::string_view name : {"alice", "bob"}) {
        auto& part = entry.entity.emplace_back();
        part.entity_type = "user";
        part.entity_name = name;
    }
    auto& op = entry.ops.emplace_back();
    op.key = "producer_byte_rate";
    op.value = 5;
    fixture.send(request, 1);
    fixture.services.commit();
    const auto response = fixture.receive<AlterClientQuotasResponse>(1);
    CHECK(response.entries.at(0).error_code == 0);
    REQUIRE(response.entries.at(0).entity.size() == 1);
    CHECK(response.entries.at(0).entity.at(0).entity_name == "bob");
}

TEST_CASE("describe user scram credentials: nobody has any, and one who is named is not found") {
    using Request = protocol::DescribeUserScramCredentialsRequest;
    using Response = protocol::DescribeUserScramCredentialsResponse;
    KafkaFixture fixture;
    Request request;
    request.users.reset();
    Response response = fixture.call<Response>(request, 0);
    CHECK(response.error_code == 0);
    CHECK(response.results.empty());
    request.users.emplace();
    for (const std::string_view name : {"alice", "bob", "alice"}) {
        request.users->emplace_back().name = name;
    }
    response = fixture.call<Response>(request, 0);
    REQUIRE(response.results.size() == 2);
    CHECK(response.results[0].user == "alice");
    CHECK(response.results[0].error_code == 92);
    CHECK(response.results[1].user == "bob");
    CHECK(response.results[1].error_code == 91);
}
