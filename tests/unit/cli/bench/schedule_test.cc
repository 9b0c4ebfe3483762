// Proves when records are due, on a clock the test sets: that a stall does not move the intended
// times (no coordinated omission), that workers share a rate, and where warm-up, count and duration
// end.
#include "cli/bench/schedule.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace qtool;
using namespace qtool::cli::bench;

namespace {

constexpr MonoTime kStart{5s};

ScheduleOptions at_rate(double rate) {
    ScheduleOptions options;
    options.start = kStart;
    options.measured_from = kStart;
    options.rate = rate;
    return options;
}

/// Takes all that is due at `now`; their times since the start.
std::vector<Duration> take_due(Schedule& schedule, MonoTime now) {
    std::vector<Duration> due;
    for (;;) {
        const Schedule::Step step = schedule.next(now);
        if (step.kind != Schedule::Kind::send) {
            return due;
        }
        CHECK(step.at <= now);
        due.push_back(step.at - kStart);
        schedule.took();
    }
}

} // namespace

TEST_CASE("schedule: open loop sends each record when it is due") {
    Schedule schedule(at_rate(1000));
    CHECK(schedule.next(kStart - 1ms).kind == Schedule::Kind::wait);
    CHECK(schedule.next(kStart - 1ms).at == kStart);
    CHECK(take_due(schedule, kStart) == std::vector<Duration>{0ms});
    const Schedule::Step step = schedule.next(kStart + 400us);
    CHECK(step.kind == Schedule::Kind::wait);
    CHECK(step.at == kStart + 1ms);
    CHECK(take_due(schedule, kStart + 1ms) == std::vector<Duration>{1ms});
}

TEST_CASE("schedule: after a stall the delayed records keep the times they were due at") {
    Schedule schedule(at_rate(1000));
    take_due(schedule, kStart + 9ms);
    const auto late = take_due(schedule, kStart + 50ms);
    REQUIRE(late.size() == 41);
    for (size_t i = 0; i < late.size(); i++) {
        CHECK(late[i] == Duration(10ms) + Duration(1ms) * static_cast<int64_t>(i));
    }
    // And the schedule after it is the one from before.
    CHECK(schedule.next(kStart + 50ms).at == kStart + 51ms);
}

TEST_CASE("schedule: a record that could not be sent yet stays due since its time") {
    for (const double rate : {0.0, 100.0}) {
        CAPTURE(rate);
        Schedule schedule(at_rate(rate));
        CHECK(schedule.next(kStart).at == kStart);
        CHECK(schedule.next(kStart + 3s).at == kStart); // the client's buffer was full meanwhile
        schedule.took();
        CHECK(schedule.next(kStart + 3s).at == (rate > 0 ? kStart + 10ms : kStart + 3s));
    }
}

TEST_CASE("schedule: workers deal the records of one rate among them") {
    std::vector<Duration> all;
    for (uint32_t worker = 0; worker < 3; worker++) {
        ScheduleOptions options = at_rate(1000);
        options.worker = worker;
        options.worker_count = 3;
        Schedule schedule(options);
        const auto due = take_due(schedule, kStart + 8ms);
        REQUIRE(due.size() == 3);
        CHECK(due[1] == Duration(1ms) * (worker + 3));
        all.insert(all.end(), due.begin(), due.end());
    }
    std::sort(all.begin(), all.end());
    for (size_t i = 0; i < all.size(); i++) {
        CHECK(all[i] == Duration(1ms) * static_cast<int64_t>(i));
    }
}

TEST_CASE("schedule: no error adds up over a week at an odd rate") {
    ScheduleOptions options = at_rate(3);
    options.records = 3ull * 7 * 86'400;
    Schedule schedule(options);
    for (uint64_t i = 0; i < options.records; i++) {
        schedule.took();
    }
    CHECK(schedule.next_due() == kStart + std::chrono::hours(24 * 7));
    CHECK(schedule.next(kStart + std::chrono::hours(24 * 7)).kind == Schedule::Kind::done);
}

TEST_CASE("schedule: a duration holds the records due in it, a count only measured ones") {
    ScheduleOptions options = at_rate(1000);
    options.measured_from = kStart + 10ms;
    options.end = kStart + 30ms;
    Schedule by_time(options);
    CHECK(take_due(by_time, kStart + 29ms + 999us).size() == 30);
    CHECK(by_time.next(kStart + 29ms + 999us).kind == Schedule::Kind::done);

    options.end = kMonoNever;
    options.records = 5;
    Schedule by_count(options);
    CHECK(take_due(by_count, kStart + 1s).size() == 15); // 10 of warm-up
    CHECK(by_count.next(kStart + 1s).kind == Schedule::Kind::done);
}

TEST_CASE("schedule: what was due before the end is sent in the overtime, nothing else is") {
    ScheduleOptions options = at_rate(1000);
    options.end = kStart + 30ms;
    options.overtime = 5ms;
    Schedule in_time(options);
    CHECK(take_due(in_time, kStart + 34ms).size() == 30);
    CHECK(in_time.overdue_count(kStart + 34ms) == 0);
    Schedule too_late(options);
    take_due(too_late, kStart + 20ms);
    CHECK(too_late.next(kStart + 35ms).kind == Schedule::Kind::done);
    CHECK(too_late.overdue_count(kStart + 35ms) == 9);
    options.rate = 0; // a closed loop is never late
    CHECK(Schedule(options).next(kStart + 30ms).kind == Schedule::Kind::done);
}

TEST_CASE("schedule: what was due but never sent is counted, warm-up is not") {
    ScheduleOptions options = at_rate(1000);
    options.measured_from = kStart + 10ms;
    options.end = kStart + 30ms;
    Schedule schedule(options);
    CHECK(schedule.overdue_count(kStart) == 0);
    CHECK(schedule.overdue_count(kStart + 1s) == 20);
    take_due(schedule, kStart + 5ms);
    CHECK(schedule.overdue_count(kStart + 1s) == 20);
    take_due(schedule, kStart + 14ms);
    CHECK(schedule.overdue_count(kStart + 1s) == 15);
    CHECK(schedule.overdue_count(kStart + 20ms) == 5);
    CHECK(schedule.next(kStart + 30ms).kind == Schedule::Kind::done);

    options.records = 3;
    CHECK(Schedule(options).overdue_count(kStart + 1s) == 3);
    options.rate = 0;
    CHECK(Schedule(options).overdue_count(kStart + 1s) == 0);
}

TEST_CASE("schedule: closed loop is due whenever it is asked") {
    ScheduleOptions options = at_rate(0);
    options.records = 2;
    Schedule schedule(options);
    CHECK(schedule.next(kStart + 1ms).at == kStart + 1ms);
    schedule.took();
    CHECK(schedule.next(kStart + 7ms).at == kStart + 7ms);
    schedule.took();
    CHECK(schedule.next(kStart + 8ms).kind == Schedule::Kind::done);
}

TEST_CASE("schedule: the slowest rate does not overflow") {
    ScheduleOptions options = at_rate(0.001);
    options.worker = 255;
    options.worker_count = 256;
    Schedule schedule(options);
    for (int i = 0; i < 1000; i++) {
        schedule.took();
    }
    CHECK(schedule.next(kStart).kind == Schedule::Kind::wait);
    // 0.001 itself is rounded to 53 bits: some nanoseconds in eight years.
    const Duration off =
        schedule.next_due() - (kStart + std::chrono::seconds(1000 * (1000 * 256 + 255)));
    CHECK(off < Duration(1us));
    CHECK(off > Duration(-1us));
}
