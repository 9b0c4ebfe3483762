#include "lib/base/trim.h"

#include <doctest/doctest.h>

using namespace qtool;

TEST_CASE("trim: blanks go at both ends, and nothing else") {
    CHECK(trim("", " \t").empty());
    CHECK(trim(" \t ", " \t").empty());
    CHECK(trim("a", " \t") == "a");
    CHECK(trim("\t a b \t", " \t") == "a b");
    CHECK(trim(" a\r", " \t") == "a\r");
}
