#include "lib/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace qtool {

void assert_failed(const char* expression, const char* file, int line,
                   const char* detail) noexcept {
    std::fprintf(stderr, "assertion failed: %s at %s:%d%s%s\n", expression, file, line,
                 detail != nullptr ? ": " : "", detail != nullptr ? detail : "");
    std::fflush(stderr);
    std::abort();
}

} // namespace qtool
