// Proves how log lines look, as text and as JSON, whatever bytes are in them, and that a flood of
// one event is cut off and told of.
#include "lib/base/log_format.h"

#include <doctest/doctest.h>

using namespace qtool;

TEST_CASE("log: text has quotes where a reader needs them") {
    CHECK(format_log_line(LogFormat::text, "T", LogLevel::warn, "event",
                          {{"path", "/a"}, {"count", 3}, {"why", "no \"room\"\n"}, {"empty", ""}},
                          0) == R"(T WARN event path=/a count=3 why="no \"room\"\x0a" empty="")");
    CHECK(format_log_line(LogFormat::text, "", LogLevel::info, "event", {}, 7) ==
          "INFO event suppressed=7");
}

TEST_CASE("log: JSON is JSON with any bytes in it") {
    struct Case {
        std::string_view value;
        std::string_view json;
    };
    for (const Case& c :
         {Case{"plain", "plain"}, Case{"a\"b\\c", R"(a\"b\\c)"},
          Case{"a\nb\x7f", R"(a\u000ab\u007f)"}, Case{"\xc3\xa9", "\xc3\xa9"},
          Case{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"}, Case{"\xc3", R"(\u00c3)"}, // cut short
          Case{"\xc0\x80", R"(\u00c0\u0080)"},                                     // overlong
          Case{"\xed\xa0\x80", R"(\u00ed\u00a0\u0080)"}}) {                        // a surrogate
        CHECK(format_log_line(LogFormat::json, "T", LogLevel::error, "event", {{"x", c.value}},
                              0) == R"({"time":"T","level":"error","event":"event","x":")" +
                                        std::string(c.value.empty() ? "" : c.json) + "\"}");
    }
    CHECK(format_log_line(LogFormat::json, "", LogLevel::debug, "event", {}, 2) ==
          R"({"level":"debug","event":"event","suppressed":"2"})");
}

TEST_CASE("log: beyond the limit of a second lines are counted, and the next one says how many") {
    LogLimiter limiter;
    for (uint32_t i = 0; i < kLogLinesPerSecondMax; i++) {
        CHECK(limiter.pass("flood", 10) == 0);
    }
    for (int i = 0; i < 5; i++) {
        CHECK(limiter.pass("flood", 10) == std::nullopt);
    }
    CHECK(limiter.pass("other_event", 10) == 0);
    CHECK(limiter.pass("flood", 11) == 5);
    CHECK(limiter.pass("flood", 11) == 0);
}
