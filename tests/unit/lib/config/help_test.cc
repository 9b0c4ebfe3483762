// Proves that each format shows every row once, wraps text and escapes what its reader would take
// as markup.
#include "lib/config/help.h"

#include <doctest/doctest.h>

#include <sstream>

using namespace qtool::config;

TEST_CASE("help: every option of every table appears in every format") {
    for (const OptionTable* table : {&topic_options(), &broker_options(), &client_options()}) {
        for (const Format format : {Format::text, Format::roff, Format::markdown}) {
            const std::string text = render_options(*table, format);
            CHECK(text.back() == '\n');
            for (const OptionRow& row : table->rows) {
                CAPTURE(row.name);
                CHECK(text.find(std::string(row.name)) != std::string::npos);
            }
        }
    }
}

TEST_CASE("help: text lines fit a terminal of 100 columns") {
    std::istringstream lines(render_options(broker_options(), Format::text));
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        CHECK(line.size() <= 100);
    }
}

TEST_CASE("help: a row as text, roff and Markdown") {
    const OptionRow rows[] = {
        {.name = "a.b",
         .type = OptionType::int32,
         .default_text = "-1",
         .valid = {.min = 1, .max = 9, .also = -1},
         .unit = "bytes",
         .meaning = ".dot \\ a_b|c."},
        {.name = "c",
         .default_text = "x",
         .served = Served::default_only,
         .reason = "not built",
         .meaning = "C."},
    };
    const OptionTable table{"option", "p", rows, {}};
    CHECK(render_options(table, Format::text) == "  a.b\n"
                                                 "      .dot \\ a_b|c.\n"
                                                 "      int, 1 to 9, or -1, in bytes; default -1\n"
                                                 "\nAccepted at their default only:\n"
                                                 "  c\n"
                                                 "      only x: not built\n");
    CHECK(render_options(table, Format::roff) ==
          ".TP\n.B a.b\n\\&.dot \\e a_b|c.\n(int, 1 to 9, or \\-1, in bytes; default \\-1)\n"
          ".PP\nAccepted at their default only:\n.TP\n.B c\nonly x: not built\n");
    CHECK(render_options(table, Format::markdown) ==
          "| option | value | meaning |\n|---|---|---|\n"
          "| `a.b` | int, 1 to 9, or -1, in bytes; default -1 | .dot \\ a\\_b\\|c. |\n"
          "| `c` | | only x: not built |\n");
}
