#include "server/uv/uv_clock.h"

#include "lib/base/assert.h"

#include <sys/random.h>
#include <uv.h>

#include <cerrno>
#include <ctime>

namespace qtool::uv {

MonoTime UvClock::mono() const {
    return MonoTime(Duration(static_cast<int64_t>(uv_hrtime())));
}

WallTime UvClock::wall() const {
    timespec at{};
    ::clock_gettime(CLOCK_REALTIME, &at);
    return WallTime(
        std::chrono::milliseconds(static_cast<int64_t>(at.tv_sec) * 1000 + at.tv_nsec / 1'000'000));
}

uint64_t UvRandom::next() {
    if (used_ == block_.size()) {
        ssize_t got = 0;
        do {
            got = ::getrandom(block_.data(), sizeof block_, 0);
        } while (got < 0 && errno == EINTR);
        // Requests up to 256 bytes are always answered whole once the system is seeded
        // (getrandom(2)).
        QT_ASSERT(got == static_cast<ssize_t>(sizeof block_));
        used_ = 0;
    }
    return block_[used_++];
}

} // namespace qtool::uv
