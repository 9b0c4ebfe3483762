// Alarm: a descriptor that becomes readable at a time, to the microsecond where a loop's timers
// count milliseconds: at 5,000 records a second those would send records in bunches of five.
#pragma once

#include "lib/base/result.h"
#include "lib/base/time.h"

namespace qtool::cli::bench {

class Alarm {
public:
    /// Errors: overloaded (no descriptor is left).
    static Result<Alarm> create();
    ~Alarm();
    Alarm(Alarm&& other) noexcept;
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

    /// Not readable from now on until `at`, which replaces the time set before.
    void set(MonoTime at);
    [[nodiscard]] int fd() const { return fd_; }

private:
    explicit Alarm(int fd) : fd_(fd) {}
    int fd_;
};

} // namespace qtool::cli::bench
