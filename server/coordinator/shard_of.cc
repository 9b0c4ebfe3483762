#include "lib/base/assert.h"
#include "server/coordinator/machine.h"

#include <limits>

namespace qtool::coordinator {

namespace {

// String.hashCode over UTF-16 units of UTF-8 text. Bytes that are no UTF-8 count as U+FFFD, as
// Java's decoder has it.
int32_t java_string_hash(std::string_view text) {
    uint32_t hash = 0;
    const auto add = [&](uint32_t unit) { hash = hash * 31 + unit; };
    for (size_t i = 0; i < text.size();) {
        const auto lead = static_cast<uint8_t>(text[i]);
        const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        uint32_t point = size == 1 ? lead : lead & (0xffu >> (size + 1));
        bool good = lead < 0x80 || (lead >= 0xc2 && lead <= 0xf4 && i + size <= text.size());
        for (size_t k = 1; good && k < size; k++) {
            const auto next = static_cast<uint8_t>(text[i + k]);
            good = (next & 0xc0) == 0x80;
            point = point << 6 | (next & 0x3fu);
        }
        if (!good) {
            add(0xfffd);
            i++;
        } else if (point >= 0x10000) {
            add(0xd800 + ((point - 0x10000) >> 10));
            add(0xdc00 + ((point - 0x10000) & 0x3ff));
            i += size;
        } else {
            add(point);
            i += size;
        }
    }
    return static_cast<int32_t>(hash);
}

} // namespace

PartitionIndex shard_of(std::string_view key, int32_t partition_count) {
    QT_ASSERT(partition_count >= 1);
    const int32_t hash = java_string_hash(key);
    const int32_t positive = hash == std::numeric_limits<int32_t>::min() ? 0
                             : hash < 0                                  ? -hash
                                                                         : hash;
    return PartitionIndex(positive % partition_count);
}

} // namespace qtool::coordinator
