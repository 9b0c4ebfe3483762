// snappy in two dresses. Java writes xerial framing, and so do we: 8 bytes magic, int32 version,
// int32 compatible version, then blocks of int32 size and a raw snappy block. Others (librdkafka)
// write one raw block for the whole records area. All read both.
//
// A raw block declares its size in front. No snappy element makes more than 64 bytes of 3, so a
// larger claim is a lie and is refused before memory is taken.
#include "lib/base/assert.h"
#include "lib/base/units.h"
#include "lib/protocol/codec/codec.h"

#include <snappy.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

namespace qtool::protocol {

namespace {

constexpr std::array<uint8_t, 8> kMagic = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
constexpr size_t kFrameHeaderSize = 16;
constexpr uint32_t kFrameVersion = 1;
constexpr size_t kBlockSize = 32 * KiB; // what Java writes
constexpr uint64_t kExpansionMax = 22;  // 64 bytes from 3, rounded up
// Above this the block buffer is given back after its input.
constexpr size_t kKeepSize = 1 * MiB;

bool starts_with_magic(ByteView input) {
    return input.size() >= kFrameHeaderSize &&
           std::memcmp(input.data(), kMagic.data(), kMagic.size()) == 0;
}

class SnappyReader final : public CodecReader {
public:
    Result<void> start(ByteView input) override {
        input_ = input;
        block_size_ = block_position_ = 0;
        trim();
        if (input.empty()) {
            return Error(Code::malformed, "snappy: empty input");
        }
        framed_ = starts_with_magic(input);
        return {};
    }

    Result<size_t> read(ByteSpan out) override {
        size_t written = 0;
        while (written < out.size()) {
            if (block_position_ == block_size_) {
                if (input_.empty()) {
                    trim();
                    break;
                }
                // A block that fits goes straight to the caller.
                QT_TRY_ASSIGN(const size_t direct, next_block(out.subspan(written)));
                written += direct;
                continue;
            }
            const size_t size = std::min(block_size_ - block_position_, out.size() - written);
            std::memcpy(out.data() + written, block_.data() + block_position_, size);
            block_position_ += size;
            written += size;
        }
        return written;
    }

private:
    void trim() {
        if (block_.size() > kKeepSize) {
            block_ = {};
            block_size_ = block_position_ = 0;
        }
    }
    /// Uncompresses one block into `out`, or into block_ when it does not fit. Returns the bytes
    /// that went to `out`.
    Result<size_t> next_block(ByteSpan out) {
        ByteView raw = input_;
        if (framed_) {
            if (starts_with_magic(input_)) { // streams may be concatenated
                input_ = input_.subspan(kFrameHeaderSize);
                return size_t{0};
            }
            if (input_.size() < sizeof(uint32_t)) {
                return Error(Code::malformed, "snappy: data ends inside a block size");
            }
            const auto size = load_be<uint32_t>(input_.data());
            if (size > input_.size() - sizeof(uint32_t)) {
                return Error(Code::malformed,
                             "snappy: block of " + std::to_string(size) + " bytes, " +
                                 std::to_string(input_.size() - sizeof(uint32_t)) + " are left");
            }
            raw = input_.subspan(sizeof(uint32_t), size);
        }
        const char* data = reinterpret_cast<const char*>(raw.data());
        size_t size = 0;
        if (!snappy::GetUncompressedLength(data, raw.size(), &size) ||
            size > raw.size() * kExpansionMax) {
            return Error(Code::malformed, "snappy: block of " + std::to_string(raw.size()) +
                                              " bytes claims an impossible size");
        }
        const bool direct = size <= out.size();
        if (!direct && block_.size() < size) {
            block_.resize(size);
        }
        std::byte* target = direct ? out.data() : block_.data();
        if (!snappy::RawUncompress(data, raw.size(), reinterpret_cast<char*>(target))) {
            return Error(Code::malformed, "snappy: damaged block");
        }
        input_ = framed_ ? input_.subspan(sizeof(uint32_t) + raw.size()) : ByteView{};
        block_position_ = 0;
        block_size_ = direct ? 0 : size;
        return direct ? size : size_t{0};
    }

    ByteView input_; // not uncompressed yet
    bool framed_ = false;
    std::vector<std::byte> block_;
    size_t block_size_ = 0;     // bytes of block_ in use
    size_t block_position_ = 0; // invariant: <= block_size_
};

} // namespace

std::unique_ptr<CodecReader> make_snappy_reader() {
    return std::make_unique<SnappyReader>();
}

Result<std::vector<std::byte>> snappy_compress(ByteView input) {
    const size_t blocks = (input.size() + kBlockSize - 1) / kBlockSize;
    std::vector<std::byte> output(
        kFrameHeaderSize + blocks * (sizeof(uint32_t) + snappy::MaxCompressedLength(kBlockSize)));
    std::memcpy(output.data(), kMagic.data(), kMagic.size());
    store_be<uint32_t>(output.data() + 8, kFrameVersion);
    store_be<uint32_t>(output.data() + 12, kFrameVersion);
    size_t size = kFrameHeaderSize;
    while (!input.empty()) {
        const ByteView block = input.first(std::min(input.size(), kBlockSize));
        size_t block_size = 0;
        snappy::RawCompress(reinterpret_cast<const char*>(block.data()), block.size(),
                            reinterpret_cast<char*>(output.data() + size + sizeof(uint32_t)),
                            &block_size);
        store_be<uint32_t>(output.data() + size, static_cast<uint32_t>(block_size));
        size += sizeof(uint32_t) + block_size;
        input = input.subspan(block.size());
    }
    output.resize(size);
    return output;
}

} // namespace qtool::protocol
