#include "cli/bench/alarm.h"

#include "lib/base/assert.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace qtool::cli::bench {

Result<Alarm> Alarm::create() {
    const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0) {
        return Error(Code::overloaded, "timerfd_create", errno);
    }
    return Alarm(fd);
}

Alarm::~Alarm() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

Alarm::Alarm(Alarm&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

void Alarm::set(MonoTime at) {
    // Zero would disarm it; MonoTime is CLOCK_MONOTONIC (uv_hrtime).
    const int64_t at_ns = std::max<int64_t>(at.time_since_epoch().count(), 1);
    itimerspec spec{};
    spec.it_value.tv_sec = at_ns / 1'000'000'000;
    spec.it_value.tv_nsec = at_ns % 1'000'000'000;
    const int status = ::timerfd_settime(fd_, TFD_TIMER_ABSTIME, &spec, nullptr);
    QT_ASSERT(status == 0); // fails on wrong arguments only
}

} // namespace qtool::cli::bench
