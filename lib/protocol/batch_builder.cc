#include "lib/protocol/batch_builder.h"

#include "lib/base/assert.h"
#include "lib/base/crc32c.h"
#include "lib/base/varint.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace qtool::protocol {

namespace {

size_t zigzag_size(int64_t value) {
    return varint_size(zigzag_encode(value));
}

size_t field_size(std::optional<ByteView> bytes) {
    return bytes ? zigzag_size(static_cast<int64_t>(bytes->size())) + bytes->size() : 1;
}

/// Writes into space that was sized before.
class Pen {
public:
    explicit Pen(std::byte* at) : at_(at) {}

    void zigzag(int64_t value) { at_ += varint_store(at_, zigzag_encode(value)); }
    void field(std::optional<ByteView> bytes) {
        if (!bytes) {
            zigzag(-1);
            return;
        }
        zigzag(static_cast<int64_t>(bytes->size()));
        if (!bytes->empty()) {
            std::memcpy(at_, bytes->data(), bytes->size());
            at_ += bytes->size();
        }
    }
    void zero_byte() { *at_++ = std::byte{0}; }
    [[nodiscard]] const std::byte* at() const { return at_; }

private:
    std::byte* at_;
};

} // namespace

BatchBuilder::BatchBuilder(size_t size_hint) : size_hint_(size_hint) {}

Result<void> BatchBuilder::append(std::optional<ByteView> key, std::optional<ByteView> value,
                                  std::span<const RecordHeader> headers, int64_t timestamp) {
    int64_t timestamp_delta = 0;
    if (count_ > 0 && __builtin_sub_overflow(timestamp, base_timestamp_, &timestamp_delta)) {
        return Error(Code::invalid_timestamp, "record time " + std::to_string(timestamp) +
                                                  " is too far from the batch's first, " +
                                                  std::to_string(base_timestamp_));
    }
    size_t body = 1 + zigzag_size(timestamp_delta) + zigzag_size(count_) + field_size(key) +
                  field_size(value) + zigzag_size(static_cast<int64_t>(headers.size()));
    for (const RecordHeader& header : headers) {
        body += field_size(as_bytes(header.key)) + field_size(header.value);
    }
    const size_t size = zigzag_size(static_cast<int64_t>(body)) + body;
    const size_t at = size_bytes();
    // Each part is a view of memory, so the sum cannot wrap 64 bits.
    if (size > kBatchSizeMax - at) {
        return Error(Code::too_large, "record of " + std::to_string(size) +
                                          " bytes on a batch of " + std::to_string(at) +
                                          ", a batch holds at most " +
                                          std::to_string(kBatchSizeMax));
    }
    if (bytes_.empty()) {
        bytes_.reserve(std::max(size_hint_, at + size));
    }
    bytes_.resize(at + size);
    Pen pen(bytes_.data() + at);
    pen.zigzag(static_cast<int64_t>(body));
    pen.zero_byte(); // attributes
    pen.zigzag(timestamp_delta);
    pen.zigzag(count_);
    pen.field(key);
    pen.field(value);
    pen.zigzag(static_cast<int64_t>(headers.size()));
    for (const RecordHeader& header : headers) {
        pen.field(as_bytes(header.key));
        pen.field(header.value);
    }
    QT_ASSERT(pen.at() == bytes_.data() + bytes_.size());
    if (count_ == 0) {
        base_timestamp_ = timestamp;
        max_timestamp_ = timestamp;
    }
    max_timestamp_ = std::max(max_timestamp_, timestamp);
    count_++;
    return {};
}

size_t BatchBuilder::record_size_max(std::optional<ByteView> key, std::optional<ByteView> value,
                                     std::span<const RecordHeader> headers) {
    // length, attributes, timestamp delta, offset delta, header count at their widest.
    size_t size = kVarintSizeMax + 1 + kVarlongSizeMax + kVarintSizeMax + kVarintSizeMax;
    size += field_size(key) + field_size(value);
    for (const RecordHeader& header : headers) {
        size += field_size(as_bytes(header.key)) + field_size(header.value);
    }
    return size;
}

Result<std::vector<std::byte>> BatchBuilder::finish(const BatchClose& close) {
    if (empty()) {
        return Error(Code::invalid_request, "a batch without records cannot be closed");
    }
    std::vector<std::byte> batch;
    Compression compression = close.compression;
    if (compression != Compression::none) {
        const ByteView area = ByteView(bytes_).subspan(kBatchHeaderSize);
        QT_TRY_ASSIGN(const std::vector<std::byte> packed,
                      compress(compression, area, close.level));
        if (packed.size() < area.size()) {
            batch.resize(kBatchHeaderSize + packed.size());
            std::memcpy(batch.data() + kBatchHeaderSize, packed.data(), packed.size());
        } else {
            compression = Compression::none;
        }
    }
    if (compression == Compression::none) {
        batch = std::move(bytes_);
    }
    BatchHeader header;
    header.attributes = static_cast<int16_t>(static_cast<int16_t>(compression) |
                                             (close.transactional ? kBatchTransactional : 0));
    header.last_offset_delta = count_ - 1;
    header.base_timestamp = base_timestamp_;
    header.max_timestamp = max_timestamp_;
    header.producer_id = close.producer_id;
    header.producer_epoch = close.producer_epoch;
    header.base_sequence = close.base_sequence;
    header.records_count = count_;
    write_batch_header(batch, header);
    bytes_.clear(); // after a compressed batch its memory serves the next one
    count_ = 0;
    base_timestamp_ = max_timestamp_ = kNoTimestamp;
    return batch;
}

void write_batch_header(ByteSpan batch, const BatchHeader& header) {
    QT_ASSERT(batch.size() >= kBatchHeaderSize && batch.size() <= kBatchSizeMax);
    std::byte* at = batch.data();
    store_be<int64_t>(at, header.base_offset.value());
    store_be<int32_t>(at + 8, static_cast<int32_t>(batch.size() - kBatchLengthEnd));
    store_be<int32_t>(at + 12, header.partition_leader_epoch.value());
    store_be<int8_t>(at + 16, kBatchMagic);
    store_be<int16_t>(at + 21, header.attributes);
    store_be<int32_t>(at + 23, header.last_offset_delta);
    store_be<int64_t>(at + 27, header.base_timestamp);
    store_be<int64_t>(at + 35, header.max_timestamp);
    store_be<int64_t>(at + 43, header.producer_id.value());
    store_be<int16_t>(at + 51, header.producer_epoch.value());
    store_be<int32_t>(at + 53, header.base_sequence);
    store_be<int32_t>(at + 57, header.records_count);
    store_be<uint32_t>(at + 17, crc32c(ByteView(batch).subspan(21)));
}

} // namespace qtool::protocol
