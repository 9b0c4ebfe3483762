// SpanReader: bounds-checked reading of big-endian values from foreign bytes. The first failure
// sticks: later reads return zero values, so a decoder checks ok() once per structure.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/varint.h"

#include <type_traits>

namespace qtool {

class SpanReader {
public:
    explicit SpanReader(ByteView bytes) : bytes_(bytes) {}

    template <class T>
    T be() {
        if (!need(sizeof(T))) {
            return T{};
        }
        const T value = load_be<T>(bytes_.data() + position_);
        position_ += sizeof(T);
        return value;
    }
    uint32_t uvarint() { return static_cast<uint32_t>(varint_bits(kVarintSizeMax, 0xffffffffu)); }
    int32_t varint() {
        return static_cast<int32_t>(zigzag_decode(varint_bits(kVarintSizeMax, 0xffffffffu)));
    }
    int64_t varlong() { return zigzag_decode(varint_bits(kVarlongSizeMax, ~0ull)); }
    /// A view of the next `size` bytes, valid as long as the bytes given to the constructor.
    ByteView bytes(size_t size) {
        if (!need(size)) {
            return {};
        }
        const ByteView view = bytes_.subspan(position_, size);
        position_ += size;
        return view;
    }

    [[nodiscard]] bool ok() const { return ok_; }
    void fail() { ok_ = false; }
    [[nodiscard]] size_t left() const { return ok_ ? bytes_.size() - position_ : 0; }
    [[nodiscard]] size_t position() const { return position_; }

private:
    bool need(size_t size) {
        if (!ok_ || bytes_.size() - position_ < size) {
            ok_ = false;
        }
        return ok_;
    }
    uint64_t varint_bits(size_t size_max, uint64_t value_max) {
        uint64_t bits = 0;
        const size_t used = ok_ ? varint_load(bytes_.subspan(position_), size_max, bits) : 0;
        if (used == 0 || bits > value_max) {
            ok_ = false;
            return 0;
        }
        position_ += used;
        return bits;
    }

    ByteView bytes_;
    size_t position_ = 0; // invariant: <= bytes_.size()
    bool ok_ = true;
};

} // namespace qtool
