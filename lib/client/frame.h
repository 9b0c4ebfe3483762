// Frames: what comes back from a broker, cut out of the byte stream without copying. A length of
// four bytes, then that many bytes, received straight into the memory that the reply keeps.
#pragma once

#include "lib/base/assert.h"
#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/protocol/limits.h"

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

namespace qtool::client {

/// One whole reply, without its length field. Moving it does not move the bytes.
struct Frame {
    std::unique_ptr<std::byte[]> bytes;
    size_t size = 0;

    [[nodiscard]] ByteView view() const { return {bytes.get(), size}; }
};

class FrameReader {
public:
    /// `size_max`: bytes of the largest frame taken; `limit_name` stands in the error.
    FrameReader(size_t size_max, std::string limit_name)
        : size_max_(size_max),
          limit_name_(std::move(limit_name)) {}

    /// Where the next bytes go; at least one byte, at most the rest of what is being read. Valid
    /// until received().
    ByteSpan space() {
        if (frame_.bytes == nullptr) {
            return ByteSpan(length_).subspan(filled_);
        }
        return {frame_.bytes.get() + filled_, frame_.size - filled_};
    }

    /// `size` bytes were put into space(). True: a frame is whole, take() it before going on.
    /// Errors: too_large (names the limit), malformed (negative or below four bytes).
    Result<bool> received(size_t size) {
        QT_ASSERT(size <= space().size());
        filled_ += size;
        if (frame_.bytes != nullptr) {
            return filled_ == frame_.size;
        }
        if (filled_ < length_.size()) {
            return false;
        }
        const auto length = load_be<int32_t>(length_.data());
        if (length < 4) {
            return Error(Code::malformed, "reply frame of " + std::to_string(length) + " bytes");
        }
        if (static_cast<size_t>(length) > size_max_) {
            return Error(Code::too_large, "reply of " + std::to_string(length) +
                                              " bytes is above the limit of " +
                                              std::to_string(size_max_) + " (" + limit_name_ + ")");
        }
        // Not zeroed: pages that never receive a byte cost nothing.
        frame_.size = static_cast<size_t>(length);
        frame_.bytes = std::make_unique_for_overwrite<std::byte[]>(frame_.size);
        filled_ = 0;
        return false;
    }

    Frame take() {
        filled_ = 0;
        return std::exchange(frame_, Frame{});
    }

private:
    size_t size_max_;
    std::string limit_name_;
    std::array<std::byte, protocol::kFrameLengthSize> length_{};
    Frame frame_;       // no bytes: the length is being read
    size_t filled_ = 0; // of the length or of the frame
};

} // namespace qtool::client
