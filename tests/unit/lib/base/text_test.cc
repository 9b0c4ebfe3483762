// Proves base64, ids in text form, and that a log line cannot be broken or forged by the values in
// it.
#include "lib/base/base64.h"
#include "lib/base/log.h"
#include "lib/base/prng.h"
#include "lib/base/uuid.h"

#include <doctest/doctest.h>

using namespace qtool;

TEST_CASE("base64: vectors of RFC 4648 section 10, both alphabets") {
    struct Case {
        const char* plain;
        const char* standard;
        const char* url;
    };
    const Case cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff", "+/8=", "-_8"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.plain);
        CHECK(base64_encode(as_bytes(c.plain), Base64Alphabet::standard) == c.standard);
        CHECK(base64_encode(as_bytes(c.plain), Base64Alphabet::url) == c.url);
        CHECK(as_text(base64_decode(c.standard, Base64Alphabet::standard).value()) == c.plain);
        CHECK(as_text(base64_decode(c.url, Base64Alphabet::url).value()) == c.plain);
    }
}

TEST_CASE("base64: foreign characters and impossible lengths are malformed") {
    CHECK(base64_decode("Zg-_", Base64Alphabet::standard).error().code == Code::malformed);
    CHECK(base64_decode("Zg+/", Base64Alphabet::url).error().code == Code::malformed);
    CHECK(base64_decode("Z", Base64Alphabet::url).error().code == Code::malformed);
    CHECK(base64_decode("Zm 9v", Base64Alphabet::url).error().code == Code::malformed);
}

TEST_CASE("uuid: text and back, version and variant bits, refused forms") {
    Prng prng(3);
    for (int round = 0; round < 100; round++) {
        const Uuid uuid = make_uuid(prng.next(), prng.next());
        CHECK((uuid.bytes[6] & 0xf0) == 0x40);
        CHECK((uuid.bytes[8] & 0xc0) == 0x80);
        CHECK(to_string(uuid).size() == 22);
        CHECK(parse_uuid(to_string(uuid)).value() == uuid);
    }
    CHECK(Uuid{}.is_zero());
    CHECK(to_string(Uuid{}) == "AAAAAAAAAAAAAAAAAAAAAA");
    for (const char* text : {"", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "!!!!"}) {
        CHECK(parse_uuid(text).error().code == Code::invalid_argument);
    }
}

namespace {

std::string last_line;

void keep_line(LogLevel /*level*/, std::string_view line) {
    last_line = line;
}

} // namespace

TEST_CASE("log: values with blanks, quotes and control bytes are quoted and escaped") {
    set_log_sink(keep_line);
    log_line(LogLevel::warn, "event", {{"plain", "a-b/c.0"}, {"number", -3}});
    CHECK(last_line == "WARN event plain=a-b/c.0 number=-3");
    log_line(LogLevel::error, "event", {{"v", "two words"}, {"q", "say \"x\" \\"}});
    CHECK(last_line == "ERROR event v=\"two words\" q=\"say \\\"x\\\" \\\\\"");
    log_line(LogLevel::info, "event", {{"v", "a\nERROR forged \x1b[2J\x7f"}});
    CHECK(last_line == "INFO event v=\"a\\x0aERROR forged \\x1b[2J\\x7f\"");
    log_line(LogLevel::info, "event", {{"v", ""}});
    CHECK(last_line == "INFO event v=\"\"");
    last_line.clear();
    set_log_level(LogLevel::error);
    log_line(LogLevel::warn, "event", {});
    CHECK(last_line.empty());
    set_log_level(LogLevel::info);
    set_log_sink(nullptr);
}
