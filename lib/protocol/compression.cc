#include "lib/protocol/compression.h"

#include "lib/base/assert.h"
#include "lib/protocol/codec/codec.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace qtool::protocol {

namespace {

constexpr std::array<std::string_view, kCompressionCount> kNames = {"none", "gzip", "snappy", "lz4",
                                                                    "zstd"};

class PlainReader final : public CodecReader {
public:
    Result<void> start(ByteView input) override {
        input_ = input;
        return {};
    }
    Result<size_t> read(ByteSpan out) override {
        const size_t size = std::min(out.size(), input_.size());
        if (size > 0) {
            std::memcpy(out.data(), input_.data(), size);
        }
        input_ = input_.subspan(size);
        return size;
    }

private:
    ByteView input_;
};

std::unique_ptr<CodecReader> make_reader(Compression compression) {
    switch (compression) {
    case Compression::none:
        return std::make_unique<PlainReader>();
    case Compression::gzip:
        return make_gzip_reader();
    case Compression::snappy:
        return make_snappy_reader();
    case Compression::lz4:
        return make_lz4_reader();
    case Compression::zstd:
        return make_zstd_reader();
    }
    QT_UNREACHABLE();
}

} // namespace

std::string_view to_string(Compression compression) noexcept {
    return kNames[static_cast<size_t>(compression)];
}

Result<Compression> parse_compression(std::string_view name) {
    const auto found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) {
        return Error(Code::invalid_config, "compression '" + std::string(name.substr(0, 64)) +
                                               "' is not one of none, gzip, snappy, lz4, zstd");
    }
    return static_cast<Compression>(found - kNames.begin());
}

std::optional<LevelRange> level_range(Compression compression) noexcept {
    switch (compression) {
    case Compression::gzip:
        return LevelRange{1, 9};
    case Compression::lz4:
        return LevelRange{1, 17};
    case Compression::zstd:
        return LevelRange{-131072, 22};
    case Compression::none:
    case Compression::snappy:
        return std::nullopt;
    }
    QT_UNREACHABLE();
}

Result<std::vector<std::byte>> compress(Compression compression, ByteView input,
                                        std::optional<int> level) {
    const std::optional<LevelRange> range = level_range(compression);
    if (level && range) {
        level = std::clamp(*level, range->low, range->high);
    }
    switch (compression) {
    case Compression::none:
        return std::vector<std::byte>(input.begin(), input.end());
    case Compression::gzip:
        return gzip_compress(input, level);
    case Compression::snappy:
        return snappy_compress(input);
    case Compression::lz4:
        return lz4_compress(input, level);
    case Compression::zstd:
        return zstd_compress(input, level);
    }
    QT_UNREACHABLE();
}

Result<std::vector<std::byte>> decompress(Compression compression, ByteView input,
                                          size_t output_max) {
    std::vector<std::byte> output;
    QT_TRY(decompress_into(compression, input, output_max, output));
    return output;
}

Result<void> decompress_into(Compression compression, ByteView input, size_t output_max,
                             std::vector<std::byte>& output) {
    output.clear();
    if (compression == Compression::none) {
        if (input.size() > output_max) {
            return Error(Code::too_large, "records of " + std::to_string(input.size()) +
                                              " bytes, at most " + std::to_string(output_max));
        }
        output.assign(input.begin(), input.end());
        return {};
    }
    // One byte beyond the limit is read, to tell "exactly the limit" from "more".
    constexpr size_t kStartSize = 16 * KiB;
    const std::unique_ptr<CodecReader> reader = make_reader(compression);
    QT_TRY(reader->start(input));
    size_t size = 0;
    for (;;) {
        if (size == output.size()) {
            const size_t wanted = size == 0 ? std::max(kStartSize, input.size() * 2) : size * 2;
            output.resize(output_max < wanted ? output_max + 1 : wanted);
        }
        QT_TRY_ASSIGN(const size_t made, reader->read(ByteSpan(output).subspan(size)));
        size += made;
        if (size > output_max) {
            output.clear();
            return Error(Code::too_large, std::string(to_string(compression)) +
                                              ": more than the allowed " +
                                              std::to_string(output_max) + " bytes come out");
        }
        if (made == 0) {
            output.resize(size);
            return {};
        }
    }
}

Decompressor::Decompressor() = default;
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

Result<void> Decompressor::start(Compression compression, ByteView input) {
    current_ = nullptr;
    std::unique_ptr<CodecReader>& reader = readers_[static_cast<size_t>(compression)];
    if (reader == nullptr) {
        reader = make_reader(compression);
    }
    QT_TRY(reader->start(input));
    current_ = reader.get();
    return {};
}

Result<size_t> Decompressor::read(ByteSpan out) {
    QT_ASSERT_MSG(current_ != nullptr, "Decompressor: read before start");
    size_t size = 0;
    while (size < out.size()) {
        QT_TRY_ASSIGN(const size_t made, current_->read(out.subspan(size)));
        if (made == 0) {
            break;
        }
        size += made;
    }
    return size;
}

} // namespace qtool::protocol
