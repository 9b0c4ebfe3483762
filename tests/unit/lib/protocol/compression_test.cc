// Proves that each codec reads back what it wrote, whole and in small steps, reads the framings
// other clients write, and refuses cut, damaged, lying and exploding input within bounded memory.
#include "lib/base/base64.h"
#include "lib/protocol/compression.h"
#include "tests/unit/lib/protocol/batch_fixture.h"

#include <lz4frame.h>
#include <snappy.h>

using namespace qtool;
using namespace qtool::protocol;
using namespace qtool::protocol::test;

namespace {

std::vector<std::byte> concatenated(ByteView a, ByteView b) {
    std::vector<std::byte> both(a.begin(), a.end());
    both.insert(both.end(), b.begin(), b.end());
    return both;
}

std::vector<std::byte> raw_snappy(ByteView input) {
    std::string packed;
    snappy::Compress(reinterpret_cast<const char*>(input.data()), input.size(), &packed);
    const ByteView view = as_bytes(packed);
    return {view.begin(), view.end()};
}

} // namespace

TEST_CASE("compression: names and levels") {
    for (Compression compression : kAllCompressions) {
        CHECK(parse_compression(to_string(compression)).value() == compression);
    }
    CHECK(parse_compression("brotli").error().code == Code::invalid_config);
    CHECK(parse_compression("").error().code == Code::invalid_config);
    CHECK_FALSE(level_range(Compression::snappy));
    CHECK(level_range(Compression::zstd)->high == 22);
}

TEST_CASE("compression: each codec at each level reads back what it wrote") {
    constexpr uint64_t kSeed = 99;
    MESSAGE("seed " << kSeed);
    Prng prng(kSeed);
    std::vector<std::vector<std::byte>> inputs = {{}, {std::byte{7}}, log_like_bytes(300'000)};
    inputs.push_back(random_bytes(prng, 100'000));
    inputs.emplace_back(1'000'000); // zeros
    for (Compression compression : kAllCompressions) {
        CAPTURE(to_string(compression));
        const auto range = level_range(compression);
        std::vector<std::optional<int>> levels = {std::nullopt};
        if (range) {
            levels.insert(levels.end(), {range->low, range->high, range->low - 9, range->high + 9});
        }
        for (const auto& input : inputs) {
            for (const auto& level : levels) {
                if (level.value_or(0) > 9 && input.size() > 500'000) {
                    continue; // slow and says nothing new
                }
                const auto packed = compress(compression, input, level);
                REQUIRE(packed);
                const auto output = decompress(compression, *packed, input.size());
                REQUIRE(output);
                CHECK(*output == input);
                if (!input.empty()) {
                    CHECK(decompress(compression, *packed, input.size() - 1).error().code ==
                          Code::too_large);
                }
            }
        }
    }
}

TEST_CASE("compression: streaming gives the same bytes whatever the step") {
    const std::vector<std::byte> input = log_like_bytes(150'000);
    Decompressor decompressor;
    for (size_t step : {1ul, 13ul, 4096ul, 65536ul, 150'000ul, 1'000'000ul}) {
        for (Compression compression : kAllCompressions) {
            CAPTURE(to_string(compression));
            CAPTURE(step);
            const auto packed = compress(compression, input).value();
            REQUIRE(decompressor.start(compression, packed));
            std::vector<std::byte> output;
            std::vector<std::byte> piece(step);
            for (;;) {
                const auto made = decompressor.read(piece);
                REQUIRE(made);
                output.insert(output.end(), piece.begin(),
                              piece.begin() + static_cast<ptrdiff_t>(*made));
                if (*made < step) {
                    break;
                }
            }
            CHECK(output == input);
            CHECK(decompressor.read(piece).value() == 0);
        }
    }
}

TEST_CASE("compression: a stream cut at any byte, or with bytes behind it, is malformed") {
    const std::vector<std::byte> input = log_like_bytes(3000);
    for (Compression compression : kAllCompressions) {
        if (compression == Compression::none) {
            continue;
        }
        CAPTURE(to_string(compression));
        const auto packed = compress(compression, input).value();
        for (size_t size = 0; size < packed.size(); size++) {
            CAPTURE(size);
            const std::vector<std::byte> cut(packed.begin(),
                                             packed.begin() + static_cast<ptrdiff_t>(size));
            const auto output = decompress(compression, cut, 1 << 20);
            // A xerial stream has no end mark: cut between blocks it is merely shorter.
            if (compression == Compression::snappy && size == 16) {
                CHECK(output->empty());
            } else {
                REQUIRE_FALSE(output);
                CHECK(output.error().code == Code::malformed);
            }
        }
        const auto longer = concatenated(packed, from_hex("aa"));
        CHECK(decompress(compression, longer, 1 << 20).error().code == Code::malformed);
    }
}

TEST_CASE("compression: random damage is an error or other bytes, never a crash") {
    constexpr uint64_t kSeed = 31337;
    MESSAGE("seed " << kSeed);
    Prng prng(kSeed);
    const std::vector<std::byte> input = log_like_bytes(5000);
    for (Compression compression : kAllCompressions) {
        const auto packed = compress(compression, input).value();
        for (int round = 0; round < 2000; round++) {
            std::vector<std::byte> damaged = packed;
            for (uint64_t flips = 1 + prng.below(3); flips > 0; flips--) {
                damaged[prng.below(damaged.size())] = static_cast<std::byte>(prng.next());
            }
            const auto output = decompress(compression, damaged, 100'000);
            CHECK((!output || output->size() <= 100'000));
        }
    }
}

TEST_CASE("compression: several gzip members and zstd frames are one stream") {
    const std::vector<std::byte> input = log_like_bytes(100'000);
    for (Compression compression : {Compression::gzip, Compression::zstd, Compression::snappy}) {
        CAPTURE(to_string(compression));
        const auto packed = compress(compression, input).value();
        const auto output = decompress(compression, concatenated(packed, packed), 1 << 20);
        REQUIRE(output);
        CHECK(*output == concatenated(input, input));
    }
}

TEST_CASE("compression: gzip members read in any step, and damaged ones never move backwards") {
    const std::vector<std::byte> input = log_like_bytes(200);
    const auto packed = compress(Compression::gzip, input).value();
    const auto twice = concatenated(packed, packed);
    Decompressor decompressor;
    for (size_t step = 1; step < 450; step++) {
        std::vector<std::byte> output;
        std::vector<std::byte> piece(step);
        REQUIRE(decompressor.start(Compression::gzip, twice));
        for (size_t made = step; made == step;) {
            made = decompressor.read(piece).value();
            output.insert(output.end(), piece.begin(),
                          piece.begin() + static_cast<ptrdiff_t>(made));
        }
        CHECK(output == concatenated(input, input));
    }
    // Found by fuzzing: the library reported more input left than it was given.
    const auto damaged =
        base64_decode("H4sIAAAAAAAAA8vJ3EtVMFDISa0o4coBcY0NUflmRqh8S2NUvp+RCZqAqSma"
                      "gIUZqoCRoTmagIkFmoABlW8AuSW6q9CdaYJwJwCx1g==",
                      Base64Alphabet::standard);
    REQUIRE(damaged);
    CHECK(decompress(Compression::gzip, *damaged, 1 << 20).error().code == Code::malformed);
}

TEST_CASE("compression: snappy is written as xerial frames and read raw as well") {
    const std::vector<std::byte> input = log_like_bytes(100'000);
    const auto packed = compress(Compression::snappy, input).value();
    const auto magic = from_hex("82534e4150505900 00000001 00000001");
    CHECK(std::equal(magic.begin(), magic.end(), packed.begin()));
    CHECK(decompress(Compression::snappy, raw_snappy(input), input.size()).value() == input);
}

TEST_CASE(
    "compression: a snappy block that claims an impossible size is refused before allocation") {
    // Claims 4 GiB - 1 in front of one literal byte.
    CHECK(decompress(Compression::snappy, from_hex("ffffffff0f 00 61"), 1ul << 33).error().code ==
          Code::malformed);
    // Framed: the same block behind its size.
    CHECK(decompress(Compression::snappy,
                     from_hex("82534e4150505900 00000001 00000001 00000007 ffffffff0f 00 61"),
                     1ul << 33)
              .error()
              .code == Code::malformed);
    // A framed block size beyond the input, and one of 2^32 - 1.
    for (const char* size : {"00000008", "ffffffff"}) {
        const auto head = from_hex("82534e4150505900 00000001 00000001");
        const auto block = concatenated(from_hex(size), from_hex("01 00 61"));
        CHECK(decompress(Compression::snappy, concatenated(head, block), 100).error().code ==
              Code::malformed);
    }
    // A claim one off the truth is damage.
    CHECK(decompress(Compression::snappy, from_hex("01 00 61"), 100).value().size() == 1);
    CHECK(decompress(Compression::snappy, from_hex("02 00 61"), 100).error().code ==
          Code::malformed);
}

TEST_CASE("compression: lz4 frames with checksums are read, with dependent blocks refused") {
    const std::vector<std::byte> input = log_like_bytes(200'000);
    for (int checksums = 0; checksums < 4; checksums++) {
        LZ4F_preferences_t preferences{};
        preferences.frameInfo.blockMode = LZ4F_blockIndependent;
        preferences.frameInfo.blockSizeID = LZ4F_max256KB;
        preferences.frameInfo.contentSize = checksums == 3 ? input.size() : 0;
        preferences.frameInfo.contentChecksumFlag =
            (checksums & 1) != 0 ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum;
        preferences.frameInfo.blockChecksumFlag =
            (checksums & 2) != 0 ? LZ4F_blockChecksumEnabled : LZ4F_noBlockChecksum;
        const auto pack = [&] {
            std::vector<std::byte> packed(LZ4F_compressFrameBound(input.size(), &preferences));
            packed.resize(LZ4F_compressFrame(packed.data(), packed.size(), input.data(),
                                             input.size(), &preferences));
            return packed;
        };
        CHECK(decompress(Compression::lz4, pack(), input.size()).value() == input);
        if ((checksums & 1) != 0) {
            auto damaged = pack();
            damaged.back() ^= std::byte{1};
            CHECK_FALSE(decompress(Compression::lz4, damaged, input.size()));
        }
        preferences.frameInfo.blockMode = LZ4F_blockLinked;
        preferences.frameInfo.blockSizeID =
            LZ4F_max64KB; // several blocks, or they cannot be linked
        CHECK(decompress(Compression::lz4, pack(), input.size()).error().code == Code::malformed);
    }
}

TEST_CASE("compression: lz4's default level is the fast compressor, as in Kafka's clients") {
    std::vector<std::byte> input(200'000);
    for (size_t i = 0; i < input.size(); i++) {
        input[i] = std::byte(i * i % 251 % 17);
    }
    const auto fast = compress(Compression::lz4, input).value();
    CHECK(compress(Compression::lz4, input, 9).value() == fast);
    CHECK(compress(Compression::lz4, input, 8).value().size() < fast.size());
    CHECK(compress(Compression::lz4, input, 10).value().size() < fast.size());
}

TEST_CASE("compression: bombs stop at the limit, and the buffer never grows beyond it") {
    const std::vector<std::byte> zeros(50'000'000);
    for (Compression compression : {Compression::gzip, Compression::lz4, Compression::zstd}) {
        CAPTURE(to_string(compression));
        const auto packed = compress(compression, zeros).value();
        CHECK(packed.size() < 300'000);
        std::vector<std::byte> output;
        constexpr size_t kLimit = 1'000'000;
        const auto result = decompress_into(compression, packed, kLimit, output);
        REQUIRE_FALSE(result);
        CHECK(result.error().code == Code::too_large);
        CHECK(output.capacity() <= 2 * kLimit);
    }
}

TEST_CASE("compression: the expansion bound has a floor, a ratio and a total") {
    CHECK(decompressed_size_max(0) == 64 * MiB);
    CHECK(decompressed_size_max(67'108) == 64 * MiB);
    CHECK(decompressed_size_max(67'109) == 67'109'000);
    CHECK(decompressed_size_max(1 * MiB) == 1000 * MiB);
    CHECK(decompressed_size_max(2 * MiB) == 1 * GiB);
    CHECK(decompressed_size_max(~0ull) == 1 * GiB);
}
