// The five compressions of record batches, each in the framing Kafka clients use. Pure functions
// and objects without threads; an object belongs to the core or client machine that made it.
//
//   id  name    what stands in the records area
//   0   none    the records
//   1   gzip    RFC 1952 members, one or several
//   2   snappy  xerial framing (written), or one raw snappy block (accepted)
//   3   lz4     one LZ4 frame of independent blocks; dependent blocks are refused, as Kafka does
//   4   zstd    RFC 8878 frames, one or several; window of at most 128 MiB
//
// Sources: KIP-110 (zstd), KIP-57 (lz4 frame), KIP-390 (levels), snappy format description.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/base/units.h"

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace qtool::protocol {

enum class Compression : uint8_t { none, gzip, snappy, lz4, zstd };

inline constexpr size_t kCompressionCount = 5;

/// Kafka's names: "none", "gzip", "snappy", "lz4", "zstd".
std::string_view to_string(Compression compression) noexcept;

/// Errors: invalid_config, naming the five.
Result<Compression> parse_compression(std::string_view name);

// A batch may not expand beyond max(floor, ratio x compressed size), nor beyond the total. The
// ratio is what deflate reaches at best (1032:1) rounded down, so honest clients stay below it; the
// floor lets a small batch of zeros pass, which zstd shrinks 30,000-fold; the total bounds the time
// one batch may hold a core (about a second).
inline constexpr uint64_t kDecompressedFloor = 64 * MiB;
inline constexpr uint64_t kDecompressedRatio = 1000;
inline constexpr uint64_t kDecompressedTotal = 1 * GiB;

/// The bytes that `compressed_size` bytes may become.
constexpr uint64_t decompressed_size_max(uint64_t compressed_size) {
    if (compressed_size >= kDecompressedTotal / kDecompressedRatio) {
        return kDecompressedTotal;
    }
    const uint64_t scaled = compressed_size * kDecompressedRatio;
    return scaled > kDecompressedFloor ? scaled : kDecompressedFloor;
}

/// Compression levels a user may ask for; nothing: the codec's own default.
///   gzip 1..9 (6)   lz4 1..17 (fast mode)   zstd -131072..22 (3; 0 is 3)   snappy and none: no
///   levels
struct LevelRange {
    int low;
    int high;
};
std::optional<LevelRange> level_range(Compression compression) noexcept;

/// Compresses `input` whole. `level` outside level_range() is clamped.
/// Errors: too_large (input beyond what the codec takes), internal (the codec failed).
Result<std::vector<std::byte>> compress(Compression compression, ByteView input,
                                        std::optional<int> level = std::nullopt);

/// Decompresses `input` whole. Memory grows with what really comes out, never with what the input
/// declares. Errors: malformed; too_large when more than `output_max` bytes would come out.
Result<std::vector<std::byte>> decompress(Compression compression, ByteView input,
                                          size_t output_max);

/// As decompress, replacing the contents of `output` so that its memory can be used again.
Result<void> decompress_into(Compression compression, ByteView input, size_t output_max,
                             std::vector<std::byte>& output);

class CodecReader; // one per codec, see codec/codec.h

/// Streaming decompression. Contexts are kept from one input to the next, so one Decompressor per
/// core saves their set-up. Held between inputs: gzip 90 KiB, snappy and zstd at most 1 MiB, lz4
/// two of the largest blocks seen (8 MiB at worst). An input not read to its end keeps what it
/// took, for zstd up to its window, until the next start of its codec or until the Decompressor is
/// replaced.
class Decompressor {
public:
    Decompressor();
    ~Decompressor();
    Decompressor(Decompressor&&) noexcept;
    Decompressor& operator=(Decompressor&&) noexcept;

    /// Starts on `input`, which must stay alive until the last read. Drops an unfinished input.
    /// Errors: malformed when the first bytes already are, internal (no memory for a context).
    Result<void> start(Compression compression, ByteView input);

    /// Fills `out` from the front; returns the bytes written. Fewer than out.size() only at the
    /// end; 0 means that the input was consumed to its last byte and was whole. Errors: malformed
    /// (also for an input cut short or with bytes after its end).
    Result<size_t> read(ByteSpan out);

private:
    std::array<std::unique_ptr<CodecReader>, kCompressionCount> readers_;
    CodecReader* current_ = nullptr; // nullptr: nothing started
};

} // namespace qtool::protocol
