// Proves how addresses and the file of contexts are read, and how statuses of several items add up.
#include "cli/exit_code.h"
#include "cli/profile.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::cli;

TEST_CASE("profile: brokers have port 9092 unless they name one") {
    const auto brokers = parse_brokers("a.example,b.example:1,[::1]:2");
    REQUIRE(brokers);
    CHECK(*brokers ==
          std::vector<config::Endpoint>{{"a.example", 9092}, {"b.example", 1}, {"::1", 2}});
    for (const std::string_view text : {"", ",", "a:x", "a:70000"}) {
        CAPTURE(text);
        CHECK(!parse_brokers(text));
    }
}

TEST_CASE("profile: contexts by name; a bad line is named") {
    const auto profiles = parse_profiles("# clusters\n[prod]\nbrokers = a:1,b:2\n\n[dev]\n"
                                         "brokers=localhost\n");
    REQUIRE(profiles);
    CHECK(profiles->size() == 2);
    CHECK(profiles->at("prod").brokers == "a:1,b:2");
    CHECK(profiles->at("dev").brokers == "localhost");
    for (const std::string_view text : {"brokers = a\n", "[x\n", "[x]\nnonsense\n"}) {
        CAPTURE(text);
        const auto parsed = parse_profiles(text);
        REQUIRE(!parsed);
        CHECK(parsed.error().code == Code::invalid_argument);
    }
}

TEST_CASE("exit_code: several items share a status or have failed in part") {
    CHECK(combine(ExitCode::done, ExitCode::done) == ExitCode::done);
    CHECK(combine(ExitCode::does_not_exist, ExitCode::does_not_exist) == ExitCode::does_not_exist);
    CHECK(combine(ExitCode::done, ExitCode::does_not_exist) == ExitCode::failed);
    CHECK(exit_code(Code::no_broker) == ExitCode::unreachable);
    CHECK(exit_code(Code::storage_damaged) == ExitCode::data_damaged);
}
