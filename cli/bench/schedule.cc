#include "cli/bench/schedule.h"

#include "lib/base/assert.h"

#include <algorithm>

namespace qtool::cli::bench {

Schedule::Schedule(const ScheduleOptions& options) : options_(options) {
    QT_ASSERT(options.measured_from >= options.start);
    QT_ASSERT(options.worker < options.worker_count);
}

MonoTime Schedule::due_at(uint64_t index) const {
    QT_ASSERT(is_open_loop());
    // From the start each time, with 64 bits of mantissa: no error adds up.
    const auto place = static_cast<long double>(index) * options_.worker_count + options_.worker;
    const long double offset_ns = place * 1e9L / static_cast<long double>(options_.rate);
    constexpr long double kOffsetMax_ns = 4e18L; // below what a Duration holds
    return offset_ns >= kOffsetMax_ns -
                            static_cast<long double>(options_.start.time_since_epoch().count())
               ? kMonoNever
               : options_.start + Duration(static_cast<int64_t>(offset_ns));
}

Schedule::Step Schedule::next(MonoTime now) {
    if (measured_ >= options_.records) {
        return {Kind::done, now};
    }
    if (!is_open_loop()) {
        if (now >= options_.end) {
            return {Kind::done, now};
        }
        asked_ = asked_.value_or(now);
        return {Kind::send, *asked_};
    }
    const MonoTime due = due_at(taken_);
    const bool is_over = options_.end != kMonoNever && now >= options_.end + options_.overtime;
    if (due >= options_.end || is_over) {
        return {Kind::done, now};
    }
    return {due <= now ? Kind::send : Kind::wait, due};
}

void Schedule::took() {
    const MonoTime due = is_open_loop() ? due_at(taken_) : asked_.value();
    measured_ += is_measured(due) ? 1 : 0;
    taken_++;
    asked_.reset();
}

uint64_t Schedule::overdue_count(MonoTime until) const {
    if (!is_open_loop()) {
        return 0;
    }
    until = std::min(until, options_.end);
    const auto first_not_due = [&](MonoTime time) {
        uint64_t low = taken_;
        uint64_t high = taken_;
        for (uint64_t step = 1; due_at(high) < time; step *= 2) {
            low = high + 1;
            high += step;
        }
        while (low < high) {
            const uint64_t middle = low + (high - low) / 2;
            if (due_at(middle) < time) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return high;
    };
    const uint64_t due = first_not_due(until) -
                         std::min(first_not_due(options_.measured_from), first_not_due(until));
    return std::min(due, options_.records - std::min(measured_, options_.records));
}

} // namespace qtool::cli::bench
