// BatchBuilder: records gathered into one v2 batch, for the client's producer and for tests. Lives
// in the machine that fills it; one buffer, no allocation per record once that buffer has grown.
#pragma once

#include "lib/protocol/record_batch.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace qtool::protocol {

/// What is decided when a batch is closed.
struct BatchClose {
    Compression compression = Compression::none;
    std::optional<int> level{}; // nothing: the codec's default
    ProducerId producer_id = kNoProducerId;
    ProducerEpoch producer_epoch = kNoProducerEpoch;
    int32_t base_sequence = kNoSequence;
    bool transactional = false;
};

class BatchBuilder {
public:
    /// `size_hint`: bytes the batch is expected to reach.
    explicit BatchBuilder(size_t size_hint = 0);

    /// Adds a record; `timestamp` in ms since 1970. Key and value: nothing means null.
    /// Errors: too_large (record or batch beyond 2^31 - 1 bytes), invalid_timestamp (difference to
    /// the first record's beyond 64 bits). The batch is unchanged after an error.
    Result<void> append(std::optional<ByteView> key, std::optional<ByteView> value,
                        std::span<const RecordHeader> headers, int64_t timestamp);

    /// Bytes that a record with these parts adds at most (length and delta fields at their widest).
    static size_t record_size_max(std::optional<ByteView> key, std::optional<ByteView> value,
                                  std::span<const RecordHeader> headers);

    [[nodiscard]] int32_t count() const { return count_; }
    [[nodiscard]] bool empty() const { return count_ == 0; }
    /// Bytes of the batch if it were closed now without compression.
    [[nodiscard]] size_t size_bytes() const {
        return bytes_.empty() ? kBatchHeaderSize : bytes_.size();
    }
    [[nodiscard]] int64_t max_timestamp() const { return max_timestamp_; }

    /// Closes the batch: base offset 0, no leader epoch, checksum set. The builder is empty
    /// afterwards and can be filled again. A batch the codec cannot shrink is left uncompressed.
    /// Errors: invalid_request (no records), internal (the codec failed; the records are kept).
    Result<std::vector<std::byte>> finish(const BatchClose& close);

private:
    std::vector<std::byte> bytes_; // empty, or header space and then records
    size_t size_hint_;
    int32_t count_ = 0;
    int64_t base_timestamp_ = kNoTimestamp;
    int64_t max_timestamp_ = kNoTimestamp;
};

/// Writes `header` over the first 61 bytes of `batch` (one whole batch) with magic, size and
/// checksum as they must be; header.size_bytes, magic and crc are not looked at.
void write_batch_header(ByteSpan batch, const BatchHeader& header);

} // namespace qtool::protocol
