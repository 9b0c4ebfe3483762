// links: lib_protocol
// Foreign bytes through everything that reads record batches. Besides the sanitizers' findings it
// fails when the gate and the consumer's reader disagree about a batch the gate let in.
#include "lib/base/assert.h"
#include "lib/protocol/batch_check.h"
#include "lib/protocol/control_record.h"

#include <vector>

using namespace qtool;
using namespace qtool::protocol;

namespace {

constexpr size_t kDecompressedMax = 16 * MiB;

/// Records a consumer would get; -1 when it would get an error.
int64_t consume(const BatchView& batch) {
    auto records = BatchRecords::open(batch, kDecompressedMax);
    if (!records) {
        return -1;
    }
    int64_t count = 0;
    while (const ConsumedRecord* record = records->next()) {
        HeaderIterator headers = record->record.headers();
        int32_t header_count = 0;
        while (headers.next() != nullptr) {
            header_count++;
        }
        QT_ASSERT(header_count == record->record.header_count);
        count++;
    }
    return records->status() ? count : -1;
}

void walk(ByteView bytes) {
    BatchWalker walker(bytes);
    for (;;) {
        const auto batch = walker.next();
        if (!batch || *batch == nullptr) {
            break;
        }
        consume(**batch);
        static_cast<void>(parse_transaction_marker(**batch));
    }
    QT_ASSERT(walker.used() <= bytes.size());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::vector<std::byte> bytes(reinterpret_cast<const std::byte*>(data),
                                 reinterpret_cast<const std::byte*>(data) + size);
    walk(bytes);
    if (size < kBatchHeaderSize) {
        return 0;
    }
    // The fuzzer cannot guess checksums or sizes: put them right, then go through the gate.
    store_be<int32_t>(bytes.data() + 8, static_cast<int32_t>(size - kBatchLengthEnd));
    bytes[16] = static_cast<std::byte>(kBatchMagic);
    patch_max_timestamp(bytes, load_be<int64_t>(bytes.data() + 35));
    static CheckScratch scratch;
    const auto facts = check_producer_batch(bytes, BatchRules{}, scratch);
    if (facts) {
        const int64_t consumed = consume({facts->header, bytes});
        QT_ASSERT(consumed == facts->header.records_count ||
                  facts->records_size_bytes > kDecompressedMax);
    }
    return 0;
}
