// Proves the buckets against worked numbers and the lookup order of quotas, one pair at a time.
#include "server/quota/meter.h"

#include <doctest/doctest.h>

using namespace qtool;
using namespace qtool::quota;
using metadata::QuotaEntity;
using Name = QuotaEntity::Name;

namespace {

MonoTime at(int64_t ms) {
    return MonoTime{std::chrono::hours(1) + std::chrono::milliseconds(ms)};
}

constexpr Bucket kBucket{.key = 7, .rate = 100, .capacity = 10s};

} // namespace

TEST_CASE("buckets: a burst of the capacity is free, then the wait is what was overdrawn") {
    Buckets buckets;
    CHECK(buckets.take(kBucket, 1000, at(0)) == 0ms);
    CHECK(buckets.take(kBucket, 100, at(0)) == 1s);
    CHECK(buckets.wait(kBucket, at(400)) == 600ms);
    CHECK(buckets.wait(kBucket, at(1000)) == 0ms);
    CHECK(buckets.take(kBucket, 50, at(1500)) == 0ms);
    CHECK(buckets.take(kBucket, 1000, at(100'000)) == 0ms); // full again
}

TEST_CASE("buckets: what is refused takes nothing, and one request may overdraw") {
    Buckets buckets;
    CHECK(buckets.take_or_refuse(kBucket, 5000, at(0)) == 0ms);
    CHECK(buckets.take_or_refuse(kBucket, 1, at(0)) == 40s);
    CHECK(buckets.take_or_refuse(kBucket, 1, at(40'000)) == 0ms);
}

TEST_CASE("buckets: a debt is bounded") {
    Buckets buckets;
    Bucket tiny = kBucket;
    tiny.rate = 1e-300;
    CHECK(buckets.take(tiny, 1e300, at(0)) <= kDebtMax);
    CHECK(buckets.take(tiny, 1e300, at(0)) <= kDebtMax);
}

TEST_CASE("buckets: keys are apart; more than fit share the last slot and still have a limit") {
    Buckets buckets;
    Bucket other = kBucket;
    other.key = 8;
    buckets.take(kBucket, 2000, at(0));
    CHECK(buckets.wait(other, at(0)) == 0ms);
    for (uint64_t key = 1; key <= kSlotCount; key++) {
        Bucket bucket = kBucket;
        bucket.key = key;
        buckets.take(bucket, 1, at(0));
    }
    Bucket late = kBucket;
    late.key = 1'000'003;
    CHECK(buckets.take(late, 1100, at(0)) == 1s);
    late.key = 2'000'003;
    CHECK(buckets.take(late, 0, at(0)) == 1s);
    CHECK(buckets.take(late, 0, at(100'000)) == 0ms); // all are full again
}

TEST_CASE("meter: the most specific quota holds") {
    const QuotaEntity order[] = {
        {.user = Name("ANONYMOUS"), .client_id = Name("app")},
        {.user = Name("ANONYMOUS"), .client_id = Name()},
        {.user = Name("ANONYMOUS")},
        {.user = Name(), .client_id = Name("app")},
        {.user = Name(), .client_id = Name()},
        {.user = Name()},
        {.client_id = Name("app")},
        {.client_id = Name()},
    };
    Meter meter{config::BrokerConfig{}};
    metadata::Image image;
    CHECK_FALSE(meter.find(Kind::produce, image, {.client_id = "app"}));
    for (int i = static_cast<int>(std::size(order)) - 1; i >= 0; i--) {
        image.quotas[order[i]].values["producer_byte_rate"] = i + 1;
        const auto bucket = meter.find(Kind::produce, image, {.client_id = "app"});
        REQUIRE(bucket);
        CHECK(bucket->rate == i + 1);
        CHECK_FALSE(meter.find(Kind::fetch, image, {.client_id = "app"}));
    }
    CHECK_FALSE(meter.find_address(image, "127.0.0.1"));
}

TEST_CASE("meter: a default gives each client its own bucket, a user's quota is one for all") {
    Meter meter{config::BrokerConfig{}};
    metadata::Image image;
    image.quotas[QuotaEntity{.client_id = Name()}].values["consumer_byte_rate"] = 5;
    image.quotas[QuotaEntity{.user = Name()}].values["request_percentage"] = 50;
    image.quotas[QuotaEntity{.ip = Name()}].values["connection_creation_rate"] = 3;
    const auto key = [&](Kind kind, std::string_view id) {
        return meter.find(kind, image, {.client_id = id}).value().key;
    };
    CHECK(key(Kind::fetch, "a") != key(Kind::fetch, "b"));
    CHECK(key(Kind::request, "a") == key(Kind::request, "b"));
    CHECK(meter.find(Kind::request, image, {.client_id = "a"})->rate == 0.5);
    CHECK(meter.find_address(image, "::1")->key != meter.find_address(image, "::2")->key);
    CHECK(meter.find_address(image, "::1")->capacity == 10s);
}
