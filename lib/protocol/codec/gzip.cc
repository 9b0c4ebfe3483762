// gzip (RFC 1952). Written by zlib, whose levels users know; read by ISA-L, which is several times
// faster at it. Several members after each other are one stream, as in Java's GZIPInputStream.
#include "lib/base/assert.h"
#include "lib/base/units.h"
#include "lib/protocol/codec/codec.h"

#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <algorithm>
#include <string>

namespace qtool::protocol {

namespace {

constexpr size_t kStep = size_t{1} << 30; // ISA-L and zlib count bytes in 32 bits

class GzipReader final : public CodecReader {
public:
    Result<void> start(ByteView input) override {
        whole_ = input_ = input;
        done_ = false;
        start_member();
        if (input.empty()) {
            return Error(Code::malformed, "gzip: empty input");
        }
        return {};
    }

    Result<size_t> read(ByteSpan out) override {
        size_t written = 0;
        while (!done_ && written < out.size()) {
            const size_t give = std::min(input_.size(), kStep);
            const size_t room = std::min(out.size() - written, kStep);
            // ISA-L's signature lacks const; it only reads.
            state_.next_in =
                reinterpret_cast<uint8_t*>(const_cast<std::byte*>(input_.data())); // NOLINT
            state_.avail_in = static_cast<uint32_t>(give);
            state_.next_out = reinterpret_cast<uint8_t*>(out.data() + written);
            state_.avail_out = static_cast<uint32_t>(room);
            const int rc = isal_inflate(&state_);
            if (rc < 0) {
                return Error(Code::malformed,
                             "gzip: damaged data (ISA-L " + std::to_string(rc) + ")");
            }
            // At the end of a member ISA-L gives back what its bit buffer held, which may reach
            // back before this call's input: the position may fall, so it is taken from the
            // pointer.
            const std::byte* next = reinterpret_cast<const std::byte*>(state_.next_in);
            if (next < whole_.data() || next > whole_.data() + whole_.size()) {
                return Error(Code::malformed, "gzip: damaged data (member end before its start)");
            }
            const bool moved = next != input_.data();
            const size_t made = room - state_.avail_out;
            input_ = whole_.subspan(static_cast<size_t>(next - whole_.data()));
            written += made;
            if (state_.block_state == ISAL_BLOCK_FINISH) {
                if (input_.empty()) {
                    done_ = true;
                } else {
                    start_member();
                }
            } else if (!moved && made == 0) {
                return Error(Code::malformed, "gzip: data ends before the stream does");
            }
        }
        return written;
    }

private:
    void start_member() {
        isal_inflate_init(&state_);
        state_.crc_flag = ISAL_GZIP;
    }

    inflate_state state_; // about 90 KiB; isal_inflate_init sets what must be set
    ByteView whole_;
    ByteView input_; // the end of whole_ that was not given to ISA-L yet
    bool done_ = true;
};

} // namespace

std::unique_ptr<CodecReader> make_gzip_reader() {
    return std::make_unique<GzipReader>();
}

Result<std::vector<std::byte>> gzip_compress(ByteView input, std::optional<int> level) {
    if (input.size() > kStep) {
        return Error(Code::too_large, "gzip: " + std::to_string(input.size()) +
                                          " bytes to compress, at most " + std::to_string(kStep));
    }
    constexpr int kGzipWindowBits = 15 + 16; // 32 KiB window, gzip wrapper
    z_stream stream{};
    int rc = deflateInit2(&stream, level.value_or(Z_DEFAULT_COMPRESSION), Z_DEFLATED,
                          kGzipWindowBits, 8, Z_DEFAULT_STRATEGY);
    if (rc != Z_OK) {
        return Error(Code::internal, "gzip: deflateInit2 gave " + std::to_string(rc));
    }
    std::vector<std::byte> output(deflateBound(&stream, static_cast<uLong>(input.size())));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data())); // NOLINT
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef*>(output.data());
    stream.avail_out = static_cast<uInt>(output.size());
    rc = deflate(&stream, Z_FINISH);
    deflateEnd(&stream);
    if (rc != Z_STREAM_END) {
        return Error(Code::internal, "gzip: deflate gave " + std::to_string(rc));
    }
    output.erase(output.end() - static_cast<ptrdiff_t>(stream.avail_out), output.end());
    return output;
}

} // namespace qtool::protocol
