#include "cli/output/writer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace qtool::cli {

Result<void> Writer::flush() {
    std::string_view rest(buffer_);
    while (!rest.empty() && !closed_) {
        const ssize_t n = ::write(fd_, rest.data(), rest.size());
        if (n >= 0) {
            rest.remove_prefix(static_cast<size_t>(n));
        } else if (errno == EAGAIN) {
            // Somebody else made the descriptor non-blocking (it is shared with other processes).
            pollfd entry{fd_, POLLOUT, 0};
            ::poll(&entry, 1, -1);
        } else if (errno == EPIPE) {
            closed_ = true;
        } else if (errno != EINTR) {
            const int problem = errno;
            buffer_.clear();
            return Error(problem == ENOSPC || problem == EDQUOT ? Code::storage_full
                                                                : Code::storage_io,
                         "cannot write the output", problem);
        }
    }
    buffer_.clear();
    return closed_ ? Result<void>(Code::cancelled, "the reader of the output is gone")
                   : Result<void>();
}

} // namespace qtool::cli
