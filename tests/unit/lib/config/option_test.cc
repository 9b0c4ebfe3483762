// Proves that the three tables are consistent with themselves and with each other, that normalize()
// accepts and refuses at the exact bounds, and that errors name option, value and limit. By tables
// of cases, and by walking every row.
#include "lib/config/option.h"

#include <doctest/doctest.h>

#include <set>

using namespace qtool;
using namespace qtool::config;

namespace {

const OptionTable* const kTables[] = {&topic_options(), &broker_options(), &client_options()};

std::string error_of(const OptionRow& row, std::string_view text) {
    const auto result = normalize(row, text);
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Code::invalid_config);
    return result.error().detail;
}

bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

/// A value of the row's type within its bounds that is not the default, or empty if there is none.
std::string other_value(const OptionRow& row) {
    OptionRow free = row;
    free.served = Served::yes;
    for (const char* text :
         {"true", "false", "1", "2", "7", "100000", "0.25", "gzip", "compact", "0:1,1:2", "x"}) {
        const auto value = normalize(free, text);
        if (value && (row.default_is_null || *value != row.default_text)) {
            return text;
        }
    }
    return {};
}

} // namespace

TEST_CASE("option tables: rows are sorted, complete and unique") {
    for (const OptionTable* table : kTables) {
        std::string_view previous;
        for (const OptionRow& row : table->rows) {
            CAPTURE(row.name);
            CHECK(previous < row.name);
            previous = row.name;
            CHECK(find_option(*table, row.name) == &row);
            CHECK_FALSE(row.meaning.empty());
            CHECK(row.meaning.back() == '.');
            CHECK((row.served == Served::default_only) == !row.reason.empty());
        }
    }
    CHECK(topic_options().rows.size() == 34);
}

TEST_CASE("option tables: a row is marked ours exactly when Kafka does not know its name") {
    for (const OptionTable* table : {&broker_options(), &client_options()}) {
        const std::string words = " " + std::string(table->kafka_names);
        for (const OptionRow& row : table->rows) {
            CAPTURE(row.name);
            CHECK(has(words, " " + std::string(row.name) + " ") == !row.ours);
        }
    }
}

TEST_CASE("option tables: every default is its own normalized form") {
    for (const OptionTable* table : kTables) {
        for (const OptionRow& row : table->rows) {
            CAPTURE(row.name);
            if (!row.default_is_null) {
                const auto value = normalize(row, row.default_text);
                REQUIRE(value.has_value());
                CHECK(*value == row.default_text);
            } else {
                CHECK(row.default_text.empty());
            }
        }
    }
}

TEST_CASE(
    "option tables: what is not built refuses another value than the default, with a reason") {
    int held = 0;
    for (const OptionTable* table : kTables) {
        for (const OptionRow& row : table->rows) {
            if (row.served == Served::default_only) {
                CAPTURE(row.name);
                const std::string other = other_value(row);
                REQUIRE_FALSE(other.empty());
                CHECK(has(error_of(row, other), row.reason));
                held++;
            }
        }
    }
    CHECK(held > 10);
}

TEST_CASE("option tables: every synonym of a topic option is a row of the broker table") {
    for (const OptionRow& row : topic_options().rows) {
        for (const std::string& synonym : to_list(row.synonyms)) {
            CAPTURE(synonym);
            const OptionRow* broker_row = find_option(broker_options(), synonym);
            REQUIRE(broker_row != nullptr);
            CHECK(
                broker_row->served ==
                (synonym == "log.flush.scheduler.interval.ms" ? Served::default_only : row.served));
        }
    }
}

TEST_CASE("normalize: whole numbers at the edges of type and bounds") {
    const OptionRow int32{.name = "a.int", .type = OptionType::int32};
    const OptionRow int64{.name = "a.long", .type = OptionType::int64};
    const OptionRow level{
        .name = "a.level", .type = OptionType::int32, .valid = {.min = 1, .max = 9, .also = -1}};
    struct Case {
        const OptionRow& row;
        const char* text;
        const char* expected; // nullptr: refused
    };
    const Case cases[] = {
        {int32, "2147483647", "2147483647"},
        {int32, "2147483648", nullptr},
        {int32, "-2147483648", "-2147483648"},
        {int32, "-2147483649", nullptr},
        {int64, "9223372036854775807", "9223372036854775807"},
        {int64, "9223372036854775808", nullptr},
        {int64, "-9223372036854775808", "-9223372036854775808"},
        {int64, "-9223372036854775809", nullptr},
        {int64, "99999999999999999999999999999999", nullptr},
        {int64, " 7\t", "7"},
        {int64, "+07", "7"},
        {int64, "-0", "0"},
        {int64, "+-7", nullptr},
        {int64, "++7", nullptr},
        {int64, "+", nullptr},
        {int64, "", nullptr},
        {int64, "7 7", nullptr},
        {int64, "1e3", nullptr},
        {int64, "7d", nullptr},
        {int64, "0x10", nullptr},
        {level, "0", nullptr},
        {level, "1", "1"},
        {level, "9", "9"},
        {level, "10", nullptr},
        {level, "-1", "-1"},
        {level, "-2", nullptr},
    };
    for (const Case& c : cases) {
        CAPTURE(c.row.name);
        CAPTURE(c.text);
        const auto value = normalize(c.row, c.text);
        REQUIRE(value.has_value() == (c.expected != nullptr));
        if (value) {
            CHECK(*value == c.expected);
        }
    }
}

TEST_CASE("normalize: booleans, numbers with a point, strings and lists") {
    const OptionRow boolean{.name = "a.boolean", .type = OptionType::boolean};
    CHECK(*normalize(boolean, "TRUE") == "true");
    CHECK(*normalize(boolean, " False ") == "false");
    CHECK(error_of(boolean, "yes") == "invalid value 'yes' for a.boolean: must be true or false");

    const OptionRow ratio{.name = "a.ratio", .type = OptionType::float64, .valid = between(0, 1)};
    CHECK(*normalize(ratio, "0.50") == "0.5");
    CHECK(*normalize(ratio, "1") == "1");
    for (const char* text : {"1.01", "-0.1", "nan", "inf", "0.5x", ""}) {
        CAPTURE(text);
        CHECK_FALSE(normalize(ratio, text).has_value());
    }

    const OptionRow word{.name = "a.word", .valid = {.one_of = "debug,info", .fold_case = true}};
    CHECK(*normalize(word, "INFO") == "info");
    CHECK(has(error_of(word, "loud"), "one of: debug, info"));

    const OptionRow list{
        .name = "a.list", .type = OptionType::list, .valid = {.one_of = "compact,delete"}};
    CHECK(*normalize(list, " delete , compact ") == "delete,compact");
    CHECK(*normalize(list, "") == "");
    CHECK(has(error_of(list, "delete,delete"), "'delete' is named twice"));
    for (const char* text : {"delete,", ",delete", "delete,,compact", ",", "shred"}) {
        CAPTURE(text);
        CHECK_FALSE(normalize(list, text).has_value());
    }
}

TEST_CASE("normalize: errors name option, value and limit") {
    const OptionRow& retention = *find_option(topic_options(), "retention.ms");
    CHECK(error_of(retention, "-2") == "invalid value '-2' for retention.ms: must be at least -1");
    CHECK(error_of(retention, "9223372036854775808") ==
          "invalid value '9223372036854775808' for retention.ms: a long must be "
          "-9223372036854775808 to 9223372036854775807");
    CHECK(has(error_of(*find_option(topic_options(), "preallocate"), "true"),
              "qbroker does not reserve the space of new segments yet; only the default 'false' is "
              "served"));
}

TEST_CASE("normalize: text beyond the size bound and control bytes are refused, secrets hidden") {
    OptionRow row{.name = "a.string"};
    CHECK(normalize(row, std::string(kOptionTextSizeMax, 'x')).has_value());
    const std::string error = error_of(row, std::string(kOptionTextSizeMax + 1, 'x'));
    CHECK(has(error, "32768 bytes; at most 32767"));
    CHECK(error.size() < 300);
    CHECK(has(error_of(row, "a\x1b[2Jb"), "control bytes"));
    CHECK(has(error_of(row, std::string_view("a\0b", 3)), "control bytes"));

    row.sensitive = true;
    row.type = OptionType::int32;
    CHECK_FALSE(has(error_of(row, "secret"), "secret"));
}

TEST_CASE("require_option: an error tells a misspelt name from one that is not built yet") {
    const auto error = [](const OptionTable& table, std::string_view name) {
        const auto row = require_option(table, name);
        REQUIRE_FALSE(row.has_value());
        return row.error().detail;
    };
    CHECK(error(topic_options(), "retention.sm") ==
          "unknown topic option 'retention.sm'; did you mean 'retention.ms'?");
    CHECK(error(broker_options(), "zebra") == "unknown broker option 'zebra'");
    CHECK(has(error(broker_options(), "ssl.keystore.location"),
              "is known to Kafka but not served by qbroker yet"));
    CHECK(has(error(broker_options(), "broker.id"), "use node.id"));
    CHECK(has(error(client_options(), "sasl.jaas.config"), "not served by qtool yet"));
    CHECK(has(error(client_options(), "linger.mss"), "'linger.ms'"));
    CHECK(has(error(broker_options(), ""), "unknown broker option ''"));
    CHECK(has(error(broker_options(), "log"), "unknown")); // a part of a name is no name
    CHECK(error(topic_options(), std::string(100'000, 'x')).size() < 300);
    CHECK(error(topic_options(), "a\x1b[2Jb") == "unknown topic option 'a?[2Jb'");
}

TEST_CASE("parse_endpoint: the forms people write") {
    struct Case {
        const char* text;
        const char* expected; // nullptr: refused
    };
    const Case cases[] = {
        {"127.0.0.1:9092", "127.0.0.1:9092"},
        {"PLAINTEXT://broker-1.example:9092", "broker-1.example:9092"},
        {"[::1]:0", "[::1]:0"},
        {"PLAINTEXT://:9092", "0.0.0.0:9092"},
        {":9092", "0.0.0.0:9092"},
        {"a:65535", "a:65535"},
        {"a:65536", nullptr},
        {"a:-1", nullptr},
        {"a:", nullptr},
        {"a", nullptr},
        {"", nullptr},
        {"::1:9092", nullptr},
        {"[::1]", nullptr},
        {"[]:1", nullptr},
        {"a b:1", nullptr},
        {"http://a:1", nullptr},
        {"SSL://a:1", nullptr},
        {"a:1x", nullptr},
    };
    for (const Case& c : cases) {
        CAPTURE(c.text);
        const auto endpoint = parse_endpoint("listeners", c.text);
        REQUIRE(endpoint.has_value() == (c.expected != nullptr));
        if (endpoint) {
            CHECK(to_string(*endpoint) == c.expected);
        } else {
            CHECK(has(endpoint.error().detail, "in listeners"));
        }
    }
}

TEST_CASE("is_loopback: only addresses that no other machine reaches") {
    for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"}) {
        CHECK(is_loopback({host, 1}));
    }
    for (const char* host :
         {"0.0.0.0", "::", "10.0.0.1", "127.evil.example", "127.0.0.1.example", "1127.0.0.1", ""}) {
        CAPTURE(host);
        CHECK_FALSE(is_loopback({host, 1}));
    }
}
