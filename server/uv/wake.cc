#include "server/uv/wake.h"

#include "lib/base/assert.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace qtool::uv {

int Wake::open(uv_loop_t* loop) {
    QT_ASSERT(fd_ < 0);
    fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd_ < 0) {
        return uv_translate_sys_error(errno);
    }
    int status = poll_.open(this, [&](uv_poll_t* poll) { return uv_poll_init(loop, poll, fd_); });
    if (status == 0) {
        // Nothing but the end of the wait: the loop's check does the work.
        status = uv_poll_start(poll_.get(), UV_READABLE, [](uv_poll_t* poll, int, int) {
            uint64_t count = 0;
            const ssize_t got = ::read(static_cast<Wake*>(poll->data)->fd_, &count, sizeof count);
            QT_ASSERT(got == sizeof count || errno == EAGAIN || errno == EINTR);
        });
    }
    if (status != 0) {
        close();
    }
    return status;
}

void Wake::close() {
    poll_.close();
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

void Wake::signal() const {
    const uint64_t one = 1;
    ssize_t put = 0;
    do {
        put = ::write(fd_, &one, sizeof one);
    } while (put < 0 && errno == EINTR);
    QT_ASSERT(put == sizeof one); // one write a sleep: the counter is far from its end
}

} // namespace qtool::uv
