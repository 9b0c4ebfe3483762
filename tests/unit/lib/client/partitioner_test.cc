// Keys go where Kafka's Java client sends them: known values of its own test
// (UtilsTest.testMurmur2).
#include "lib/client/partitioner.h"

#include <doctest/doctest.h>

#include <string_view>

using namespace qtool;
using namespace qtool::client;

TEST_CASE("partitioner: murmur2 gives the values of Kafka's own test") {
    struct Case {
        std::string_view key;
        int32_t hash;
    };
    for (const Case& c : {Case{"21", -973932308}, Case{"foobar", -790332482},
                          Case{"a-little-bit-long-string", -985981536},
                          Case{"a-little-bit-longer-string", -1486304829},
                          Case{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                          Case{"abc", 479470107}}) {
        CAPTURE(c.key);
        CHECK(static_cast<int32_t>(murmur2(as_bytes(c.key))) == c.hash);
    }
}

TEST_CASE("partitioner: a sticky partition stays, and moves elsewhere when told") {
    Prng prng(1);
    StickyPartition sticky;
    const int32_t first = sticky.get(3, prng);
    CHECK(sticky.get(3, prng) == first);
    sticky.move_on(3, prng);
    CHECK(sticky.get(3, prng) != first);
}
