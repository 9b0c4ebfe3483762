// zstd frames (RFC 8878), several after each other allowed. A frame names the window its reader
// must keep: 128 MiB is what zstd's own readers, Java's among them, accept without being told, so
// clients may use every level up to 22. A context that grew for such a frame is dropped after its
// input.
#include "lib/base/assert.h"
#include "lib/base/units.h"
#include "lib/protocol/codec/codec.h"

#define ZSTD_STATIC_LINKING_ONLY // for ZSTD_sizeof_DCtx only
#include <zstd.h>
#undef ZSTD_STATIC_LINKING_ONLY

#include <string>

namespace qtool::protocol {

namespace {

constexpr int kWindowLogMax = 27;     // 128 MiB
constexpr size_t kKeepSize = 1 * MiB; // a larger context is given back

struct FreeContext {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

class ZstdReader final : public CodecReader {
public:
    Result<void> start(ByteView input) override {
        if (input.empty()) {
            return Error(Code::malformed, "zstd: empty input");
        }
        if (context_ != nullptr && ZSTD_sizeof_DCtx(context_.get()) > kKeepSize) {
            context_.reset();
        }
        if (context_ == nullptr) {
            context_.reset(ZSTD_createDCtx());
            if (context_ == nullptr) {
                return Error(Code::internal, "zstd: no memory for a context");
            }
            const size_t rc =
                ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kWindowLogMax);
            QT_ASSERT(ZSTD_isError(rc) == 0);
        } else {
            const size_t rc = ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only);
            QT_ASSERT(ZSTD_isError(rc) == 0);
        }
        input_ = input;
        in_frame_ = true;
        return {};
    }

    Result<size_t> read(ByteSpan out) override {
        ZSTD_outBuffer output{out.data(), out.size(), 0};
        while (output.pos < output.size && (in_frame_ || !input_.empty())) {
            const size_t made = output.pos;
            ZSTD_inBuffer chunk{input_.data(), input_.size(), 0};
            const size_t rc = ZSTD_decompressStream(context_.get(), &output, &chunk);
            if (ZSTD_isError(rc) != 0U) {
                return Error(Code::malformed, std::string("zstd: ") + ZSTD_getErrorName(rc));
            }
            input_ = input_.subspan(chunk.pos);
            in_frame_ = rc != 0;
            if (in_frame_ && chunk.pos == 0 && output.pos == made) {
                return Error(Code::malformed, "zstd: data ends before the frame does");
            }
        }
        if (!in_frame_ && input_.empty() && output.pos == 0) {
            context_done();
        }
        return output.pos;
    }

private:
    void context_done() {
        if (context_ != nullptr && ZSTD_sizeof_DCtx(context_.get()) > kKeepSize) {
            context_.reset();
        }
    }

    std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
    ByteView input_;        // not consumed yet
    bool in_frame_ = false; // a frame is begun and not complete
};

} // namespace

std::unique_ptr<CodecReader> make_zstd_reader() {
    return std::make_unique<ZstdReader>();
}

Result<std::vector<std::byte>> zstd_compress(ByteView input, std::optional<int> level) {
    std::vector<std::byte> output(ZSTD_compressBound(input.size()));
    const size_t size = ZSTD_compress(output.data(), output.size(), input.data(), input.size(),
                                      level.value_or(ZSTD_CLEVEL_DEFAULT));
    if (ZSTD_isError(size) != 0U) {
        return Error(Code::internal, std::string("zstd: ") + ZSTD_getErrorName(size));
    }
    output.resize(size);
    return output;
}

} // namespace qtool::protocol
