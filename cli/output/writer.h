// Writer: buffered bytes to a descriptor (stdout). Flush rule: when nothing more is at hand at
// once, or when kWriterBufferBytes are waiting. A full pipe blocks, so a slow reader slows us down.
#pragma once

#include "lib/base/result.h"

#include <string>

namespace qtool::cli {

inline constexpr size_t kWriterBufferBytes = 64 * 1024;

class Writer {
public:
    explicit Writer(int fd) : fd_(fd) {}

    /// Append to this, then call flush_if_full or flush.
    std::string& buffer() { return buffer_; }
    Result<void> flush_if_full() {
        return buffer_.size() >= kWriterBufferBytes ? flush() : Result<void>();
    }
    /// Errors: cancelled when the reader is gone (EPIPE), storage_io, storage_full.
    Result<void> flush();
    /// The reader closed its end: nobody wants more, which is no failure (qtool consume | head).
    [[nodiscard]] bool is_closed() const { return closed_; }

private:
    int fd_;
    bool closed_ = false;
    std::string buffer_;
};

} // namespace qtool::cli
