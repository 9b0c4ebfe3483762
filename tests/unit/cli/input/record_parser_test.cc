// Proves how a line becomes a record in each mode, that a JSON line is read strictly, and that the
// escapes of -D and -k are read.
#include "cli/input/record_parser.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::cli;

TEST_CASE("record_parser: plain lines, keys, nulls, fixed keys and headers") {
    RecordParser plain({});
    CHECK(plain.parse("a:b")->value == "a:b");
    CHECK(!plain.parse("a:b")->key);
    CHECK(plain.parse("")->value == "");

    RecordParser keyed({.key_separator = ":", .null_marker = "NULL"});
    CHECK(keyed.parse("k:v:w")->key == "k");
    CHECK(keyed.parse("k:v:w")->value == "v:w");
    CHECK(!keyed.parse("no separator")->key);
    CHECK(keyed.parse("no separator")->value == "no separator");
    CHECK(keyed.parse(":v")->key == "");
    CHECK(!keyed.parse("k:NULL")->value);
    CHECK(!keyed.parse("NULL:v")->key);

    RecordParser fixed({.fixed_key = "f", .headers = {{"h", "1"}}});
    CHECK(fixed.parse("v")->key == "f");
    CHECK(fixed.parse("v")->headers == std::vector<InputHeader>{{"h", "1"}});
}

TEST_CASE("record_parser: a JSON line is read with nulls, base64, headers and timestamp") {
    RecordParser parser({.json = true});
    const std::string line =
        R"({"topic":"t","partition":3,"offset":9,"timestamp":17,"timestamp_type":"create",)"
        R"("key":null,"value_base64":"/wA=","headers":[["a","b"],["c",null],[{"base64":"/w=="},{"base64":""}]]})";
    const auto record = parser.parse(line);
    REQUIRE_MESSAGE(record, (record ? "" : record.error().detail));
    CHECK(!record->key);
    CHECK(record->value == std::string_view("\xff\0", 2));
    CHECK(record->timestamp_ms == 17);
    CHECK(!record->partition);
    CHECK(record->headers ==
          std::vector<InputHeader>{{"a", "b"}, {"c", std::nullopt}, {"\xff", ""}});
    RecordParser keeping({.json = true, .keep_partition = true});
    CHECK(keeping.parse(line)->partition == 3);
    CHECK(!parser.parse("{}")->value);
    CHECK(!parser.parse(R"({"timestamp":-1})")->timestamp_ms);
}

TEST_CASE("record_parser: a JSON line of another shape is refused") {
    RecordParser parser({.json = true});
    for (const char* line :
         {"", "x", "[]", "{\"value\":1}", "{\"value\":{}}", "{\"vaule\":\"x\"}",
          R"({"value":"a","value_base64":"YQ=="})", R"({"key_base64":"*"})",
          R"({"key_base64":null})", R"({"headers":{}})", R"({"headers":[["a"]]})",
          R"({"headers":[[1,"a"]]})", R"({"headers":[["a",{"base64":"YQ==","x":1}]]})",
          R"({"timestamp":"now"})", R"({"timestamp":-2})", R"({"partition":-1})",
          R"({"partition":2147483648})", "{\"value\":\"\xff\"}"}) {
        CAPTURE(line);
        const auto record = parser.parse(line);
        REQUIRE(!record);
        CHECK(record.error().code == Code::invalid_record);
    }
}

TEST_CASE("record_parser: options are unescaped and split") {
    CHECK(*unescape("a\\n\\t\\0\\\\\\x41") == std::string("a\n\t\0\\A", 6));
    CHECK(!unescape("\\"));
    CHECK(!unescape("\\q"));
    CHECK(!unescape("\\x4"));
    CHECK(parse_header("a=b=c")->second == "b=c");
    CHECK(!parse_header("=b"));
    CHECK(!parse_header("ab"));
}
