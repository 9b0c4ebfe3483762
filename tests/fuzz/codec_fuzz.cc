// links: lib_protocol
// Foreign bytes through each decompressor, whole and in steps; both must agree, and what a codec
// writes it must read. The first byte picks codec and step.
#include "lib/base/assert.h"
#include "lib/protocol/compression.h"

#include <algorithm>
#include <vector>

using namespace qtool;
using namespace qtool::protocol;

namespace {

constexpr size_t kOutputMax = 4 * MiB;

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const auto compression = static_cast<Compression>(data[0] % kCompressionCount);
    const size_t step = size_t{1} + data[0] * 97u;
    const std::vector<std::byte> input(reinterpret_cast<const std::byte*>(data) + 1,
                                       reinterpret_cast<const std::byte*>(data) + size);
    const auto whole = decompress(compression, input, kOutputMax);
    QT_ASSERT(!whole || whole->size() <= kOutputMax);

    static Decompressor decompressor;
    std::vector<std::byte> pieces;
    std::vector<std::byte> piece(step);
    bool ended = false;
    if (decompressor.start(compression, input)) {
        while (!ended && pieces.size() <= kOutputMax) {
            const auto made = decompressor.read(piece);
            if (!made) {
                break;
            }
            pieces.insert(pieces.end(), piece.begin(),
                          piece.begin() + static_cast<ptrdiff_t>(*made));
            ended = *made < step;
        }
    }
    QT_ASSERT(whole.has_value() == (ended && pieces.size() <= kOutputMax));
    QT_ASSERT(!whole || *whole == pieces);

    const auto packed = compress(compression, input);
    QT_ASSERT(packed.has_value());
    const auto again = decompress(compression, *packed, input.size());
    QT_ASSERT(again.has_value() && *again == input);
    return 0;
}
