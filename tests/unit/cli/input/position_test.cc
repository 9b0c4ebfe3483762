// Proves every spelling of a position, and that what is none is refused with what is accepted.
#include "cli/input/position.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::cli;

TEST_CASE("position: words, offsets, the last N and times") {
    using Kind = Position::Kind;
    const std::pair<std::string_view, Position> cases[] = {
        {"beginning", {Kind::beginning, 0}},
        {"end", {Kind::end, 0}},
        {"0", {Kind::offset, 0}},
        {"9223372036854775807", {Kind::offset, INT64_MAX}},
        {"-5", {Kind::last, 5}},
        {"@1700000000123", {Kind::time, 1'700'000'000'123}},
        {"1970-01-02", {Kind::time, 86'400'000}},
    };
    for (const auto& entry : cases) {
        CAPTURE(entry.first);
        const auto parsed = parse_position(entry.first);
        REQUIRE(parsed);
        CHECK(*parsed == entry.second);
    }
}

TEST_CASE("position: ISO 8601 with parts left out, fractions and zones") {
    const std::pair<std::string_view, int64_t> cases[] = {
        {"2023-11-14T22:13:20Z", 1'700'000'000'000},
        {"2023-11-14T22:13:20", 1'700'000'000'000},
        {"2023-11-14 22:13:20Z", 1'700'000'000'000},
        {"2023-11-14T22:13:20.1Z", 1'700'000'000'100},
        {"2023-11-14T22:13:20.123456Z", 1'700'000'000'123},
        {"2023-11-14T22:13:20,5Z", 1'700'000'000'500},
        {"2023-11-15T00:13:20+02:00", 1'700'000'000'000},
        {"2023-11-15T00:13:20+0200", 1'700'000'000'000},
        {"2023-11-14T20:13:20-02", 1'700'000'000'000},
        {"2023-11-14T22:13Z", 1'699'999'980'000},
        {"2024-02-29", 1'709'164'800'000},
    };
    for (const auto& entry : cases) {
        CAPTURE(entry.first);
        const auto parsed = parse_time(entry.first);
        REQUIRE(parsed);
        CHECK(*parsed == entry.second);
    }
}

TEST_CASE("position: what is none is refused") {
    for (const std::string_view text : {"",
                                        "-",
                                        "--5",
                                        "-x",
                                        "+5",
                                        "5x",
                                        "@",
                                        "@-1",
                                        "@1x",
                                        "Beginning",
                                        "2023-11",
                                        "2023-13-01",
                                        "2023-02-29",
                                        "2023-11-14T",
                                        "2023-11-14T22",
                                        "2023-11-14T24:00",
                                        "2023-11-14T22:60",
                                        "2023-11-14T22:13:20.",
                                        "2023-11-14T22:13:20Zx",
                                        "2023-11-14T22:13:20+",
                                        "2023-11-14T22:13:20+2",
                                        "1969-12-31",
                                        "9223372036854775808",
                                        "2023-1-01",
                                        "2023-11-14T+1:00"}) {
        CAPTURE(text);
        const auto parsed = parse_position(text);
        REQUIRE(!parsed);
        CHECK(parsed.error().code == Code::invalid_argument);
    }
}
