// LineReader: cuts a stream of bytes into records at a delimiter, holding one record at most and
// one read ahead, however fast the writer is. Used on the main thread of qtool produce.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qtool::cli {

/// Where bytes come from: a file descriptor, or a test's text.
class ByteSource {
public:
    virtual ~ByteSource() = default;
    /// Reads at least one byte, waiting for it; 0 at the end. Errors: storage_io.
    virtual Result<size_t> read(ByteSpan into) = 0;
};

/// A descriptor the caller keeps open. Ends when `stop` turns true during a wait (a signal came).
class FdSource final : public ByteSource {
public:
    FdSource(int fd, const volatile int& stop) : fd_(fd), stop_(stop) {}
    Result<size_t> read(ByteSpan into) override;
    /// True when read() would not wait: there are bytes, the end or an error. Waits up to
    /// timeout_ms.
    [[nodiscard]] bool is_ready(int timeout_ms) const;

private:
    int fd_;
    const volatile int& stop_; // set by a signal handler
};

class LineReader {
public:
    /// An empty delimiter makes the whole input one record. Records above size_max are an error.
    LineReader(ByteSource& source, std::string delimiter, size_t record_bytes_max)
        : source_(source),
          delimiter_(std::move(delimiter)),
          record_bytes_max_(record_bytes_max) {}

    /// The next record that is complete already, without its delimiter; nothing: fill() first, or
    /// the end. Valid until the next call of either function.
    std::optional<std::string_view> take();
    /// Reads once more. False at the end; a last record without delimiter is given by take() then.
    /// Errors: too_large naming the record, storage_io.
    Result<bool> fill();

    /// Number of the record take() gave last, from 1: what error messages call the line.
    [[nodiscard]] uint64_t number() const { return number_; }
    [[nodiscard]] bool at_end() const { return ended_; }

private:
    ByteSource& source_;
    std::string delimiter_;
    size_t record_bytes_max_;
    std::string buffer_;
    size_t start_ = 0;    // of the bytes not taken yet
    size_t searched_ = 0; // no delimiter begins before this position
    uint64_t number_ = 0;
    bool ended_ = false;
};

} // namespace qtool::cli
