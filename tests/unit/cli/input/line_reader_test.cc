// Proves that records come out the same wherever reads are cut, and that a record without end is
// refused instead of filling the memory. The source is text handed out in small steps.
#include "cli/input/line_reader.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

using namespace qtool;
using namespace qtool::cli;

namespace {

class TextSource final : public ByteSource {
public:
    TextSource(std::string text, size_t step) : text_(std::move(text)), step_(step) {}
    Result<size_t> read(ByteSpan into) override {
        const size_t n = std::min({step_, text_.size() - at_, into.size()});
        if (n > 0) {
            std::memcpy(into.data(), text_.data() + at_, n);
        }
        at_ += n;
        return n;
    }

private:
    std::string text_;
    size_t step_;
    size_t at_ = 0;
};

std::vector<std::string> read_all(const std::string& text, const std::string& delimiter,
                                  size_t step) {
    TextSource source(text, step);
    LineReader reader(source, delimiter, 1000);
    std::vector<std::string> records;
    while (true) {
        while (const auto record = reader.take()) {
            records.emplace_back(*record);
            CHECK(reader.number() == records.size());
        }
        if (reader.at_end()) {
            return records;
        }
        REQUIRE(reader.fill());
    }
}

} // namespace

TEST_CASE("line_reader: records are the same wherever reads are cut") {
    using Records = std::vector<std::string>;
    for (size_t step = 1; step < 12; step++) {
        CAPTURE(step);
        CHECK(read_all("a\n\nbc\n", "\n", step) == Records{"a", "", "bc"});
        CHECK(read_all("a\nlast", "\n", step) == Records{"a", "last"});
        CHECK(read_all("", "\n", step) == Records{});
        CHECK(read_all("\n", "\n", step) == Records{""});
        CHECK(read_all("a--b-c--", "--", step) == Records{"a", "b-c"});
        CHECK(read_all("a---b", "--", step) == Records{"a", "-b"});
        CHECK(read_all(std::string("a\0b\0", 4), std::string(1, '\0'), step) == Records{"a", "b"});
        CHECK(read_all("all\nof\nit\n", "", step) == Records{"all\nof\nit\n"});
    }
}

TEST_CASE("line_reader: a record above the limit is an error that names it") {
    TextSource source("ok\n" + std::string(5000, 'x'), 100);
    LineReader reader(source, "\n", 1000);
    Result<bool> result = true;
    while (result && *result) {
        while (reader.take()) {
        }
        result = reader.fill();
    }
    REQUIRE(!result);
    CHECK(result.error().code == Code::too_large);
    CHECK(result.error().detail.find("record 2") != std::string::npos);
}
