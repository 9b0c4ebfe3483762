#include "cli/input/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace qtool::cli {

namespace {

constexpr size_t kReadBytes = 256 * 1024; // one read; larger does not get faster

} // namespace

bool FdSource::is_ready(int timeout_ms) const {
    pollfd entry{fd_, POLLIN, 0};
    return ::poll(&entry, 1, timeout_ms) > 0;
}

Result<size_t> FdSource::read(ByteSpan into) {
    // Waits in steps: a signal between the test of stop_ and poll() must not be slept through.
    while (stop_ == 0) {
        if (!is_ready(100)) {
            continue;
        }
        const ssize_t n = ::read(fd_, into.data(), into.size());
        if (n >= 0) {
            return static_cast<size_t>(n);
        }
        if (errno != EINTR && errno != EAGAIN) {
            return Error(Code::storage_io, "cannot read the input", errno);
        }
    }
    return 0;
}

std::optional<std::string_view> LineReader::take() {
    const std::string_view all(buffer_);
    if (!delimiter_.empty()) {
        const size_t found = all.find(delimiter_, searched_);
        if (found != std::string_view::npos) {
            const std::string_view record = all.substr(start_, found - start_);
            start_ = found + delimiter_.size();
            searched_ = start_;
            number_++;
            return record;
        }
        // The delimiter may be cut by the end of the buffer.
        const size_t tail = delimiter_.size() - 1;
        searched_ = std::max(start_, all.size() > tail ? all.size() - tail : 0);
    }
    if (!ended_ || start_ == all.size()) {
        return std::nullopt;
    }
    const std::string_view record = all.substr(start_);
    start_ = all.size();
    searched_ = start_;
    number_++;
    return record;
}

Result<bool> LineReader::fill() {
    if (ended_) {
        return false;
    }
    if (start_ > 0) {
        buffer_.erase(0, start_);
        searched_ -= start_;
        start_ = 0;
    }
    if (buffer_.size() > record_bytes_max_) {
        return Error(Code::too_large, "record " + std::to_string(number_ + 1) + " is longer than " +
                                          std::to_string(record_bytes_max_) + " bytes");
    }
    const size_t size = buffer_.size();
    buffer_.resize(size + kReadBytes);
    const Result<size_t> n =
        source_.read({reinterpret_cast<std::byte*>(buffer_.data()) + size, kReadBytes});
    buffer_.resize(size + (n ? *n : 0));
    if (!n) {
        return n.error();
    }
    ended_ = *n == 0;
    return !ended_;
}

} // namespace qtool::cli
