// What each codec offers compression.cc; nobody else includes this.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"

#include <memory>
#include <optional>
#include <vector>

namespace qtool::protocol {

/// Decompresses one input after another, keeping its context. Called once per window, not per
/// record.
class CodecReader {
public:
    CodecReader() = default;
    CodecReader(const CodecReader&) = delete;
    CodecReader& operator=(const CodecReader&) = delete;
    virtual ~CodecReader() = default;

    /// See Decompressor::start.
    virtual Result<void> start(ByteView input) = 0;
    /// May write less than fits without being at the end; 0 only at the end or when `out` is empty.
    virtual Result<size_t> read(ByteSpan out) = 0;
};

std::unique_ptr<CodecReader> make_gzip_reader();
std::unique_ptr<CodecReader> make_snappy_reader();
std::unique_ptr<CodecReader> make_lz4_reader();
std::unique_ptr<CodecReader> make_zstd_reader();

Result<std::vector<std::byte>> gzip_compress(ByteView input, std::optional<int> level);
Result<std::vector<std::byte>> snappy_compress(ByteView input);
Result<std::vector<std::byte>> lz4_compress(ByteView input, std::optional<int> level);
Result<std::vector<std::byte>> zstd_compress(ByteView input, std::optional<int> level);

} // namespace qtool::protocol
