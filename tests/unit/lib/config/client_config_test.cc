// Proves that client options reach their fields, that none is ignored, and the rules that span
// options.
#include "lib/config/client_config.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::config;

namespace {

using Options = std::map<std::string, std::string>;

ClientConfig client_with(const Options& options) {
    const auto client = make_client_config(options);
    REQUIRE(client.has_value());
    return *client;
}

std::string error_of(const Options& options) {
    const auto client = make_client_config(options);
    REQUIRE_FALSE(client.has_value());
    CHECK(client.error().code == Code::invalid_config);
    return client.error().detail;
}

bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

} // namespace

TEST_CASE("client config: nothing set gives the defaults of the struct") {
    CHECK(client_with({}) == ClientConfig());
}

TEST_CASE("client config: no option is accepted and ignored") {
    for (const OptionRow& row : client_options().rows) {
        CAPTURE(row.name);
        CHECK(row.served == Served::yes);
        bool changed = false;
        for (const char* value : {"false", "lz4", "read_committed", "0", "3", "40000", "a:1"}) {
            const auto client = make_client_config({{std::string(row.name), value}});
            changed = changed || (client && !(*client == ClientConfig()));
        }
        CHECK(changed);
    }
}

TEST_CASE("client config: spellings of acks, compression and servers") {
    CHECK(client_with({{"acks", "all"}}).acks == -1);
    CHECK(client_with({{"acks", "-1"}}).acks == -1);
    CHECK(client_with({{"acks", "0"}}).acks == 0);
    CHECK(has(error_of({{"acks", "2"}}), "one of: all, -1, 0, 1"));
    CHECK(client_with({{"compression.type", "zstd"}}).compression_type == CompressionType::zstd);
    CHECK(client_with({{"bootstrap.servers", "a:1, PLAINTEXT://b:2"}}).bootstrap_servers ==
          std::vector<Endpoint>{{"a", 1}, {"b", 2}});
    CHECK(has(error_of({{"bootstrap.servers", "a:0"}}), "1 to 65535"));
    CHECK(has(error_of({{"bootstrap.servers", "a"}}), "the port is missing"));
}

TEST_CASE("client config: idempotence gives way unless it was asked for") {
    const Options conflicts[] = {
        {{"acks", "1"}}, {{"retries", "0"}}, {{"max.in.flight.requests.per.connection", "6"}}};
    for (Options options : conflicts) {
        CHECK_FALSE(client_with(options).enable_idempotence);
        options["enable.idempotence"] = "true";
        CHECK(has(error_of(options), "enable.idempotence=true contradicts"));
    }
    CHECK(client_with({{"max.in.flight.requests.per.connection", "5"}}).enable_idempotence);
}

TEST_CASE("client config: a delivery lasts at least one attempt") {
    CHECK(client_with({{"request.timeout.ms", "200000"}}).delivery_timeout_ms == 200'005);
    CHECK(has(error_of({{"delivery.timeout.ms", "10000"}}),
              "shorter than linger.ms + request.timeout.ms = 30005"));
    CHECK(has(error_of({{"linger.ms", "9223372036854775807"}}), "raise it or lower those"));
}

TEST_CASE("client config: -X takes key=value, the last one wins, unknown keys are refused") {
    Options options;
    REQUIRE(add_client_option(options, "linger.ms= 7").has_value());
    REQUIRE(add_client_option(options, "linger.ms=8").has_value());
    REQUIRE(add_client_option(options, "client.id=a=b").has_value());
    CHECK(options == Options{{"client.id", "a=b"}, {"linger.ms", "8"}});
    CHECK(has(add_client_option(options, "linger.ms").error().detail, "-X takes key=value"));
    CHECK(has(add_client_option(options, "=1").error().detail, "-X takes key=value"));
    CHECK(has(add_client_option(options, "lingerms=1").error().detail, "did you mean 'linger.ms'"));
    CHECK(has(add_client_option(options, "linger.ms=-1").error().detail, "at least 0"));
}
