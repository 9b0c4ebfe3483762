// Proves the printed forms of a record: the frozen JSON schema letter by letter, the format string
// in kcat's spelling, and that nothing hostile reaches a terminal.
#include "cli/output/format_string.h"
#include "cli/output/record_json.h"
#include "cli/output/text.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::cli;

namespace {

RecordView sample() {
    RecordView record;
    record.topic = "orders";
    record.partition = 2;
    record.offset = 41;
    record.timestamp_ms = 1'700'000'000'123;
    record.key = "k";
    record.value = "line\n\"two\"";
    record.headers = {{"a", "1"}, {"b", std::nullopt}};
    return record;
}

std::string format(std::string_view text, const RecordView& record, bool safe = false) {
    const auto parsed = FormatString::parse(text);
    REQUIRE_MESSAGE(parsed, (parsed ? "" : parsed.error().detail));
    std::string out;
    parsed->append(out, record, safe);
    return out;
}

} // namespace

TEST_CASE("record_json: the schema is frozen") {
    std::string out;
    append_record_json(out, sample());
    CHECK(out == R"({"topic":"orders","partition":2,"offset":41,"timestamp":1700000000123,)"
                 R"("timestamp_type":"create","key":"k","value":"line\n\"two\"",)"
                 R"("headers":[["a","1"],["b",null]]})"
                 "\n");
    RecordView binary;
    binary.topic = "t";
    binary.append_time = true;
    binary.value = std::string_view("\xff\0", 2);
    binary.headers = {{"\xfe", "\xfd"}};
    out.clear();
    append_record_json(out, binary);
    CHECK(out ==
          R"({"topic":"t","partition":0,"offset":0,"timestamp":-1,"timestamp_type":"none",)"
          R"("key":null,"value_base64":"/wA=","headers":[[{"base64":"/g=="},{"base64":"/Q=="}]]})"
          "\n");
}

TEST_CASE("format_string: every field and escape") {
    CHECK(format("%t/%p/%o %T %k=%s %K,%S %h %%\\n", sample()) ==
          "orders/2/41 1700000000123 k=line\n\"two\" 1,10 a=1,b=NULL %\n");
    RecordView nulls;
    CHECK(format("[%k][%s]%K %S", nulls) == "[][]-1 -1");
    CHECK(format("%R", nulls) == "\xff\xff\xff\xff");
    CHECK(format("%R", sample()) == std::string("\0\0\0\n", 4));
    CHECK(format("\\x00\\0\\t\\r\\\\\\x7a", nulls) == std::string("\0\0\t\r\\z", 6));
    CHECK(format("", nulls).empty());
    for (const char* wrong : {"%", "%q", "\\", "\\q", "\\x", "\\x1", "\\xzz"}) {
        CAPTURE(wrong);
        CHECK(FormatString::parse(wrong).error().code == Code::invalid_argument);
    }
}

TEST_CASE("text: control bytes and broken UTF-8 are escaped for a terminal") {
    std::string out;
    append_for_terminal(out, "ok\t\n\xc3\xbc\x1b[2J\x7f\xff\xc2\x9b\x31\r");
    CHECK(out == "ok\t\n\xc3\xbc\\x1b[2J\\x7f\\xff\\xc2\\x9b"
                 "1\\x0d");
    RecordView record;
    record.value = "\x1b";
    CHECK(format("%s", record, true) == "\\x1b");
    CHECK(format("%s", record, false) == "\x1b");
}

TEST_CASE("text: UTF-8 is checked strictly") {
    for (const char* good : {"", "a", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
        CHECK(is_utf8(good));
    }
    for (const char* bad : {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xe2\x82",
                            "\xf4\x90\x80\x80", "\xf5\x80\x80\x80"}) {
        CHECK(!is_utf8(bad));
    }
}

TEST_CASE("text: a table is as wide as its cells") {
    Table table({"NAME", "N"});
    CHECK(table.to_text().empty());
    table.add({"a", "10"});
    table.add({"\x1blong", ""});
    CHECK(table.to_text() == "NAME      N\na         10\n\\x1blong\n");
}
