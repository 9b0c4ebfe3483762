// lz4 frames (LZ4 Frame Format 1.6) as Kafka's Java code reads them: independent blocks only, one
// frame. A frame whose blocks depend on each other would be stored and then be unreadable for Java
// consumers, so it is refused here already.
#include "lib/base/assert.h"
#include "lib/protocol/codec/codec.h"

#include <lz4frame.h>

#include <string>

namespace qtool::protocol {

namespace {

constexpr uint32_t kMagic = 0x184D2204; // little-endian on the wire
constexpr uint8_t kFlagIndependent = 0x20;
constexpr int kKafkaDefaultLevel = 9;

struct FreeContext {
    void operator()(LZ4F_dctx* context) const { LZ4F_freeDecompressionContext(context); }
};

class Lz4Reader final : public CodecReader {
public:
    Result<void> start(ByteView input) override {
        if (input.size() < 7) { // magic, flags, descriptor, header checksum
            return Error(Code::malformed, "lz4: " + std::to_string(input.size()) +
                                              " bytes cannot hold a frame header");
        }
        uint32_t magic = 0;
        for (size_t i = 0; i < sizeof magic; i++) {
            magic |= static_cast<uint32_t>(input[i]) << (8 * i);
        }
        if (magic != kMagic) {
            return Error(Code::malformed, "lz4: no frame magic at the start");
        }
        if ((static_cast<uint8_t>(input[4]) & kFlagIndependent) == 0) {
            return Error(Code::malformed, "lz4: frame with dependent blocks, Kafka allows "
                                          "independent ones only");
        }
        if (context_ == nullptr) {
            LZ4F_dctx* context = nullptr;
            const LZ4F_errorCode_t rc = LZ4F_createDecompressionContext(&context, LZ4F_VERSION);
            if (LZ4F_isError(rc) != 0U) {
                return Error(Code::internal, std::string("lz4: ") + LZ4F_getErrorName(rc));
            }
            context_.reset(context);
        } else {
            LZ4F_resetDecompressionContext(context_.get());
        }
        input_ = input;
        done_ = false;
        return {};
    }

    Result<size_t> read(ByteSpan out) override {
        size_t written = 0;
        while (!done_ && written < out.size()) {
            size_t used = input_.size();
            size_t made = out.size() - written;
            const size_t rc = LZ4F_decompress(context_.get(), out.data() + written, &made,
                                              input_.data(), &used, nullptr);
            if (LZ4F_isError(rc) != 0U) {
                return Error(Code::malformed, std::string("lz4: ") + LZ4F_getErrorName(rc));
            }
            input_ = input_.subspan(used);
            written += made;
            if (rc == 0) {
                done_ = true;
                if (!input_.empty()) {
                    return Error(Code::malformed, "lz4: " + std::to_string(input_.size()) +
                                                      " bytes behind the frame");
                }
            } else if (used == 0 && made == 0) {
                return Error(Code::malformed, "lz4: data ends before the frame does");
            }
        }
        return written;
    }

private:
    std::unique_ptr<LZ4F_dctx, FreeContext> context_;
    ByteView input_; // not consumed yet
    bool done_ = true;
};

} // namespace

std::unique_ptr<CodecReader> make_lz4_reader() {
    return std::make_unique<Lz4Reader>();
}

Result<std::vector<std::byte>> lz4_compress(ByteView input, std::optional<int> level) {
    LZ4F_preferences_t preferences{};
    preferences.frameInfo.blockMode = LZ4F_blockIndependent;
    preferences.frameInfo.blockSizeID = LZ4F_max64KB; // what Java writes; its readers allocate this
    // Kafka's default level, 9, is its fast compressor; the others are those of the library.
    preferences.compressionLevel = level == kKafkaDefaultLevel ? 0 : level.value_or(0);
    std::vector<std::byte> output(LZ4F_compressFrameBound(input.size(), &preferences));
    const size_t size =
        LZ4F_compressFrame(output.data(), output.size(), input.data(), input.size(), &preferences);
    if (LZ4F_isError(size) != 0U) {
        return Error(Code::internal, std::string("lz4: ") + LZ4F_getErrorName(size));
    }
    output.resize(size);
    return output;
}

} // namespace qtool::protocol
