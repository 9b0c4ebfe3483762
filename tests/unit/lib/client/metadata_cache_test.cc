// Refreshing: failures come back later each time, within a bound, and the same for the same seed.
#include "lib/client/metadata_cache.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::client;

TEST_CASE("metadata: the pause after failures doubles up to its bound, with a fifth of jitter") {
    MetadataCache cache({300s, {100, 1000}, false}, 7);
    REQUIRE(cache.want("t"));
    MonoTime now{};
    CHECK(cache.next_due() <= now);
    for (const int64_t wanted_ms : {100, 200, 400, 800, 1000, 1000}) {
        CAPTURE(wanted_ms);
        static_cast<void>(cache.make_request());
        CHECK(cache.next_due() == kMonoNever);
        cache.on_failure(now);
        const Duration pause = cache.next_due() - now;
        CHECK(pause >= std::chrono::milliseconds(wanted_ms * 4 / 5));
        CHECK(pause <= std::chrono::milliseconds(wanted_ms * 6 / 5));
        now = cache.next_due();
    }
}
