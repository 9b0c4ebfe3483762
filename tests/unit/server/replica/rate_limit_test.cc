// Proves that a rate is kept over time, that what was taken beyond it is waited for, and that the
// ends of the range mean "nothing" and "without limit".
#include "server/replica/rate_limit.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::replica;

TEST_CASE("rate limit: as much as the rate, however it is asked for") {
    RateLimit limit;
    MonoTime now{std::chrono::seconds(10)};
    limit.set_rate(100'000, now);
    uint64_t taken = 0;
    for (int i = 0; i < 10'000; i++) {
        now += 1ms;
        if (!limit.is_used_up(now)) {
            limit.take(700, now);
            taken += 700;
        }
    }
    CHECK(taken >= 990'000);
    CHECK(taken <= 1'100'000); // ten seconds, and one that was saved up
}

TEST_CASE("rate limit: one large piece goes, and is waited for") {
    RateLimit limit;
    MonoTime now{std::chrono::seconds(10)};
    limit.set_rate(1000, now);
    now += 1s;
    CHECK_FALSE(limit.is_used_up(now));
    limit.take(6000, now);
    now += 1s;
    CHECK(limit.is_used_up(now));
    for (int i = 0; i < 5; i++) {
        now += 1s;
        CHECK(limit.is_used_up(now) == (i < 4));
    }
}

TEST_CASE("rate limit: without a limit nothing is counted, and 0 lets nothing through") {
    RateLimit limit;
    const MonoTime now{std::chrono::seconds(10)};
    limit.take(UINT64_MAX, now);
    CHECK_FALSE(limit.is_used_up(now));
    limit.set_rate(0, now);
    CHECK(limit.is_used_up(now + 100s));
    limit.set_rate(UINT64_MAX, now);
    CHECK_FALSE(limit.is_used_up(now));
}
