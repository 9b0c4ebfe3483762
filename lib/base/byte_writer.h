// ByteWriter: a growing buffer of big-endian values; the counterpart of SpanReader.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/varint.h"

#include <cstring>
#include <utility>
#include <vector>

namespace qtool {

class ByteWriter {
public:
    ByteWriter() = default;
    explicit ByteWriter(size_t reserve_size) { bytes_.reserve(reserve_size); }

    template <class T>
    void be(T value) {
        store_be<T>(grow(sizeof(T)), value);
    }
    void uvarint(uint64_t bits) {
        std::byte scratch[kVarlongSizeMax];
        const size_t size = varint_store(scratch, bits);
        std::memcpy(grow(size), scratch, size);
    }
    void varint(int32_t value) { uvarint(static_cast<uint32_t>(zigzag_encode(value))); }
    void varlong(int64_t value) { uvarint(zigzag_encode(value)); }
    void bytes(ByteView view) {
        if (!view.empty()) {
            std::memcpy(grow(view.size()), view.data(), view.size());
        }
    }
    /// Overwrites what was written at `position` before; for lengths known only later.
    template <class T>
    void patch_be(size_t position, T value) {
        store_be<T>(bytes_.data() + position, value);
    }

    /// Drops what was written from `size` on; size <= size().
    void truncate(size_t size) { bytes_.resize(size); }

    [[nodiscard]] size_t size() const { return bytes_.size(); }
    [[nodiscard]] ByteView view() const { return bytes_; }
    [[nodiscard]] std::byte* data() { return bytes_.data(); }
    std::vector<std::byte> take() { return std::exchange(bytes_, {}); }

private:
    std::byte* grow(size_t size) {
        const size_t at = bytes_.size();
        bytes_.resize(at + size);
        return bytes_.data() + at;
    }

    std::vector<std::byte> bytes_;
};

} // namespace qtool
