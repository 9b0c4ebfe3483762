// Damage is found by reading again, by nobody else's harm; and a log that begins anew in place of a
// damaged one leaves the bytes in quarantine and is believed after a crash, whatever old notes say.
#include "server/storage/partition_files.h"
#include "tests/unit/server/storage/log_fixture.h"

using namespace qtool;
using namespace qtool::storage;
using namespace qtool::storage::test;

namespace {

void damage(LogFixture& f, int64_t segment, size_t position) {
    f.disk.bytes(f.segment(segment)).at(position) ^= std::byte{1};
}

/// "good", or the error; in steps of that many bytes.
std::string verify_all(Log& log, uint64_t step) {
    Offset at{0};
    while (at != kNoOffset) {
        const Result<Verified> verified = log.verify(at, step);
        if (!verified) {
            return std::string(to_string(verified.error().code));
        }
        REQUIRE((verified->next == kNoOffset || verified->next > at));
        at = verified->next;
    }
    return "good";
}

} // namespace

TEST_CASE("reading again finds a bit that flipped in any batch that is synced") {
    LogFixture f;
    f.config.segment_bytes = 600;
    f.log->set_config(f.config);
    for (int i = 0; i < 20; i++) {
        f.append({.count = 2});
    }
    f.flush();
    REQUIRE(f.log->segment_count() > 2);
    for (const uint64_t step : {uint64_t{1}, uint64_t{500}, uint64_t{1'000'000}}) {
        CHECK(verify_all(*f.log, step) == "good");
    }
    const Result<Verified> one = f.log->verify(Offset(3), 1);
    REQUIRE(one);
    CHECK(one->next == Offset(4)); // the batch that holds it

    SUBCASE("in the first segment") {
        damage(f, 0, 70);
    }
    SUBCASE("in the last batch") {
        std::string last;
        for (const std::string& name : f.disk.names(f.directory)) {
            last = name.ends_with(".log") ? name : last;
        }
        f.disk.bytes(f.directory + "/" + last).back() ^= std::byte{4};
    }
    SUBCASE("of a log at rest") {
        f.close_and_open();
        damage(f, 0, 70);
    }
    CHECK(verify_all(*f.log, 300) == "storage_damaged");
    CHECK_FALSE(f.log->failure()); // that is for its owner to say
    CHECK(f.log->read(Offset(10), f.log->log_end_offset(), 1));
}

TEST_CASE("what is not synced yet is not looked at") {
    LogFixture f;
    f.append();
    f.flush();
    const uint64_t end = f.log->size_bytes();
    f.append();
    damage(f, 0, end + 70);
    CHECK(verify_all(*f.log, 1'000'000) == "good");
    f.flush();
    CHECK(verify_all(*f.log, 1'000'000) == "storage_damaged");
}

TEST_CASE("a log begins anew in place of a damaged one, which goes into quarantine") {
    enum : int { none, empty, shorter, crash_count };
    for (int i = 0; i < 2 * crash_count; i++) {
        const bool is_found_at_start = i % 2 == 0;
        const int crash = i / 2;
        LogFixture f;
        for (int count = 0; count < 5; count++) {
            f.append();
        }
        f.flush();
        damage(f, 0, 70);
        if (is_found_at_start) {
            f.kill_and_open(5);
        } else {
            f.log->fail(f.log->verify(Offset(0), 1).error());
        }
        REQUIRE(f.log->failure());
        Result<std::unique_ptr<Log>> anew = Log::begin_anew(*f.log);
        REQUIRE(anew);
        f.log = *std::move(anew);
        CHECK(f.disk.has("/data/.quarantine/t-0/" + f.segment(0).substr(f.directory.size() + 1)));
        CHECK_FALSE(f.log->failure());
        if (crash == empty) {
            f.lose_power_and_open(5); // as noted for the old one
        }
        CHECK(f.log->log_end_offset() == Offset(0));
        f.append({.count = 3});
        f.flush();
        if (crash == shorter) {
            f.lose_power_and_open(5);
        }
        CHECK_FALSE(f.log->failure());
        CHECK(f.log->log_end_offset() == Offset(3));
        CHECK(f.read_all(0).size() == 1);
    }
}

TEST_CASE("a crash at any step of beginning anew leaves a log that is damaged or empty") {
    for (int steps = 0; steps < 40; steps++) {
        LogFixture f;
        f.append();
        f.flush();
        std::vector<std::byte> stored = f.disk.bytes(f.segment(0));
        stored.back() ^= std::byte{1};
        f.disk.put(f.segment(0), stored); // on the medium, too
        f.log->fail(Error(Code::storage_damaged, "a bit"));
        f.disk.changes_left = steps;
        const bool is_done = Log::begin_anew(*f.log).has_value();
        f.lose_power_and_open(1);
        const bool is_damaged = f.log->failure().has_value();
        CHECK((is_damaged || f.log->log_end_offset() == Offset(0)));
        if (is_done) {
            CHECK_FALSE(is_damaged);
            return;
        }
        if (is_damaged) {
            REQUIRE(Log::begin_anew(*f.log));
        }
    }
    FAIL("it does not end");
}
