#include "lib/protocol/record_batch.h"

#include "lib/base/assert.h"
#include "lib/base/crc32c.h"

#include <limits>
#include <string>

namespace qtool::protocol {

namespace {

// Where the fields lie, as in the header's comment.
constexpr size_t kLengthAt = 8;
constexpr size_t kEpochAt = 12;
constexpr size_t kMagicAt = 16;
constexpr size_t kCrcAt = 17;
constexpr size_t kAttributesAt = 21; // and the checksum's first byte
constexpr size_t kMaxTimestampAt = 35;

uint32_t crc_of(ByteView batch) {
    return crc32c(batch.subspan(kAttributesAt));
}

void renew_crc(ByteSpan batch) {
    store_be<uint32_t>(batch.data() + kCrcAt, crc_of(batch));
}

Error bad_header(const char* field, int64_t value, const char* expected) {
    return Error(Code::malformed, std::string("batch header: ") + field + " " +
                                      std::to_string(value) + ", expected " + expected);
}

} // namespace

Result<Compression> BatchHeader::compression() const {
    const uint8_t id = compression_id();
    if (id >= kCompressionCount) {
        return Error(Code::unsupported_compression,
                     "batch compression " + std::to_string(id) + ", known are 0 to 4");
    }
    return static_cast<Compression>(id);
}

int32_t BatchHeader::last_sequence() const {
    return base_sequence < 0 ? kNoSequence : next_sequence(base_sequence, last_offset_delta);
}

Result<BatchHeader> parse_batch_header(ByteView bytes, uint32_t size_max) {
    if (bytes.size() < kBatchHeaderSize) {
        return Error(Code::truncated, "batch header: " + std::to_string(bytes.size()) +
                                          " bytes, expected " + std::to_string(kBatchHeaderSize));
    }
    const std::byte* at = bytes.data();
    BatchHeader header;
    header.magic = load_be<int8_t>(at + kMagicAt);
    if (header.magic != kBatchMagic) {
        return bad_header("magic", header.magic, "2");
    }
    const auto length = load_be<int32_t>(at + kLengthAt);
    if (length < static_cast<int32_t>(kBatchHeaderSize - kBatchLengthEnd)) {
        return bad_header("length", length, "at least 49");
    }
    const uint64_t size = static_cast<uint64_t>(length) + kBatchLengthEnd;
    if (size > size_max) {
        return Error(Code::too_large, "batch of " + std::to_string(size) + " bytes, at most " +
                                          std::to_string(size_max));
    }
    header.base_offset = Offset(load_be<int64_t>(at));
    header.size_bytes = static_cast<uint32_t>(size);
    header.partition_leader_epoch = LeaderEpoch(load_be<int32_t>(at + kEpochAt));
    header.crc = load_be<uint32_t>(at + kCrcAt);
    header.attributes = load_be<int16_t>(at + kAttributesAt);
    header.last_offset_delta = load_be<int32_t>(at + 23);
    header.base_timestamp = load_be<int64_t>(at + 27);
    header.max_timestamp = load_be<int64_t>(at + kMaxTimestampAt);
    header.producer_id = ProducerId(load_be<int64_t>(at + 43));
    header.producer_epoch = ProducerEpoch(load_be<int16_t>(at + 51));
    header.base_sequence = load_be<int32_t>(at + 53);
    header.records_count = load_be<int32_t>(at + 57);
    if (header.last_offset_delta < 0) {
        return bad_header("last_offset_delta", header.last_offset_delta, "at least 0");
    }
    if (header.records_count < 0) {
        return bad_header("records_count", header.records_count, "at least 0");
    }
    // next_offset() must be a number, too.
    constexpr int64_t kOffsetMax = std::numeric_limits<int64_t>::max();
    if (header.base_offset.value() < 0 ||
        header.base_offset.value() > kOffsetMax - 1 - header.last_offset_delta) {
        return bad_header("base_offset", header.base_offset.value(),
                          "0 up to 2^63 - 2 - last_offset_delta");
    }
    return header;
}

bool batch_crc_ok(ByteView whole_batch) {
    QT_ASSERT(whole_batch.size() >= kBatchHeaderSize);
    return load_be<uint32_t>(whole_batch.data() + kCrcAt) == crc_of(whole_batch);
}

Result<void> check_batch_crc(ByteView whole_batch) {
    if (batch_crc_ok(whole_batch)) {
        return {};
    }
    return Error(Code::corrupt,
                 "batch at offset " + std::to_string(load_be<int64_t>(whole_batch.data())) +
                     " of " + std::to_string(whole_batch.size()) + " bytes: checksum " +
                     std::to_string(load_be<uint32_t>(whole_batch.data() + kCrcAt)) +
                     " in its header, " + std::to_string(crc_of(whole_batch)) + " over its bytes");
}

Result<const BatchView*> BatchWalker::next() {
    const BatchView* const end = nullptr;
    cut_batch_size_ = 0;
    const ByteView rest = bytes_.subspan(used_);
    if (rest.size() < kBatchHeaderSize) {
        return end;
    }
    QT_TRY_ASSIGN(current_.header, parse_batch_header(rest, size_max_));
    const size_t size = current_.header.size_bytes;
    if (size > rest.size()) {
        cut_batch_size_ = size;
        return end;
    }
    current_.bytes = rest.first(size);
    used_ += size;
    return static_cast<const BatchView*>(&current_);
}

void patch_base_offset_and_epoch(ByteSpan batch, Offset base_offset, LeaderEpoch epoch) {
    QT_ASSERT(batch.size() >= kBatchHeaderSize);
    store_be<int64_t>(batch.data(), base_offset.value());
    store_be<int32_t>(batch.data() + kEpochAt, epoch.value());
}

void patch_log_append_time(ByteSpan batch, WallTime now) {
    QT_ASSERT(batch.size() >= kBatchHeaderSize);
    const auto attributes = load_be<int16_t>(batch.data() + kAttributesAt);
    store_be<int16_t>(batch.data() + kAttributesAt,
                      static_cast<int16_t>(attributes | kBatchLogAppendTime));
    patch_max_timestamp(batch, now.time_since_epoch().count());
}

void patch_max_timestamp(ByteSpan batch, int64_t max_timestamp) {
    QT_ASSERT(batch.size() >= kBatchHeaderSize);
    store_be<int64_t>(batch.data() + kMaxTimestampAt, max_timestamp);
    renew_crc(batch);
}

Result<BatchRecords> BatchRecords::open(const BatchView& batch, size_t decompressed_max,
                                        std::vector<std::byte> buffer) {
    BatchRecords records;
    records.header_ = batch.header;
    records.buffer_ = std::move(buffer);
    QT_TRY_ASSIGN(const Compression compression, batch.header.compression());
    ByteView area = batch.records_area();
    // Compaction may leave an empty batch with its compression bits; there is nothing to
    // decompress.
    if (compression != Compression::none && batch.header.records_count > 0) {
        QT_TRY(decompress_into(compression, area, decompressed_max, records.buffer_));
        area = records.buffer_;
    }
    records.records_ = RecordIterator(area, batch.header.records_count);
    return records;
}

const ConsumedRecord* BatchRecords::next() {
    if (failure_ != nullptr) {
        return nullptr;
    }
    const RecordView* record = records_.next();
    if (record == nullptr) {
        return nullptr;
    }
    if (record->offset_delta < 0 || record->offset_delta > header_.last_offset_delta) {
        failure_ = "a record's offset lies outside the batch";
        return nullptr;
    }
    current_.offset = header_.base_offset + record->offset_delta;
    current_.timestamp_type = header_.timestamp_type();
    if (current_.timestamp_type == TimestampType::log_append_time) {
        current_.timestamp = header_.max_timestamp;
    } else if (__builtin_add_overflow(header_.base_timestamp, record->timestamp_delta,
                                      &current_.timestamp)) {
        failure_ = "a record's time is beyond 64 bits";
        return nullptr;
    }
    current_.record = *record;
    return &current_;
}

Result<void> BatchRecords::status() const {
    if (failure_ != nullptr) {
        return Error(Code::malformed, "batch at offset " +
                                          std::to_string(header_.base_offset.value()) + ": " +
                                          failure_);
    }
    return records_.status();
}

std::vector<std::byte> BatchRecords::take_buffer() {
    records_ = RecordIterator();
    return std::move(buffer_);
}

} // namespace qtool::protocol
