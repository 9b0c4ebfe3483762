#include "server/storage/compaction_filter.h"

#include "lib/base/assert.h"
#include "lib/base/byte_writer.h"
#include "lib/protocol/batch_builder.h"

#include <algorithm>
#include <cstring>

namespace qtool::storage {

using protocol::BatchHeader;
using protocol::BatchView;
using protocol::RecordView;

namespace {

size_t zigzag_size(int64_t value) {
    return varint_size(zigzag_encode(value));
}

void write_field(ByteWriter& to, const std::optional<ByteView>& field) {
    to.varint(field ? static_cast<int32_t>(field->size()) : -1);
    if (field) {
        to.bytes(*field);
    }
}

size_t field_size(const std::optional<ByteView>& field) {
    return field ? zigzag_size(static_cast<int64_t>(field->size())) + field->size() : 1;
}

void write_record(ByteWriter& to, const RecordView& record, int64_t timestamp_delta) {
    const size_t body = 1 + zigzag_size(timestamp_delta) + zigzag_size(record.offset_delta) +
                        field_size(record.key) + field_size(record.value) +
                        zigzag_size(record.header_count) + record.header_bytes.size();
    to.varint(static_cast<int32_t>(body));
    to.be<int8_t>(0); // attributes
    to.varlong(timestamp_delta);
    to.varint(record.offset_delta);
    write_field(to, record.key);
    write_field(to, record.value);
    to.varint(record.header_count);
    to.bytes(record.header_bytes);
}

// By the deltas, also with LogAppendTime; modulo 2^64, what readers refuse stays refused.
int64_t timestamp_of(const BatchHeader& header, const RecordView& record) {
    return static_cast<int64_t>(static_cast<uint64_t>(header.base_timestamp) +
                                static_cast<uint64_t>(record.timestamp_delta));
}

} // namespace

Result<ByteView> plain_records(const BatchView& batch, std::vector<std::byte>& buffer) {
    QT_TRY_ASSIGN(const protocol::Compression codec, batch.header.compression());
    const ByteView area = batch.records_area();
    if (codec == protocol::Compression::none || batch.header.records_count == 0) {
        return area;
    }
    QT_TRY(protocol::decompress_into(codec, area, protocol::decompressed_size_max(area.size()),
                                     buffer));
    return ByteView(buffer);
}

bool CompactionFilter::keeps(const BatchHeader& header, const RecordView& record) {
    const Offset offset = header.base_offset + record.offset_delta;
    if (offset >= rules_.map_end) {
        return true;
    }
    if (offset < rules_.log_start) {
        counts_.records_dropped++;
        return false;
    }
    if (!record.key) {
        counts_.records_dropped++;
        counts_.keyless_dropped++;
        return false;
    }
    if (map_.latest(*record.key) > offset) {
        counts_.records_dropped++;
        return false;
    }
    if (!record.value && header.has_delete_horizon() && rules_.now_ms >= header.base_timestamp) {
        counts_.records_dropped++;
        counts_.tombstones_dropped++;
        return false;
    }
    return true;
}

Result<CompactionFilter::Outcome> CompactionFilter::filter(const BatchView& batch, bool must_stay) {
    const BatchHeader& from = batch.header;
    out_.clear();
    QT_ASSERT(!from.is_control());
    if (from.base_offset >= rules_.map_end) {
        return Outcome::whole;
    }
    if (from.records_count == 0) {
        return must_stay ? Outcome::whole : Outcome::dropped;
    }
    QT_TRY_ASSIGN(const ByteView area, plain_records(batch, area_));
    protocol::RecordIterator records(area, from.records_count);
    kept_.assign(static_cast<size_t>(from.records_count), false);
    int32_t kept_count = 0;
    size_t index = 0;
    bool has_tombstone = false;
    int64_t oldest = INT64_MAX; // time of a kept record
    while (const RecordView* record = records.next()) {
        if (keeps(from, *record)) {
            kept_[index] = true;
            kept_count++;
            has_tombstone = has_tombstone || !record->value;
            oldest = std::min(oldest, timestamp_of(from, *record));
        }
        index++;
    }
    QT_TRY(records.status());
    if (kept_count == 0) {
        return drop(from, must_stay);
    }
    header_ = from;
    header_.records_count = kept_count;
    // Not before everything below the last tombstone was looked at, since an older value may be
    // left; nor when a time is so far off that its delta to the horizon has no 64 bits.
    int64_t delta = 0;
    if (has_tombstone && !from.has_delete_horizon() && from.last_offset() < rules_.map_end &&
        !__builtin_sub_overflow(oldest, horizon(), &delta)) {
        header_.attributes =
            static_cast<int16_t>(header_.attributes | protocol::kBatchDeleteHorizon);
        header_.base_timestamp = horizon();
    } else if (kept_count == from.records_count) {
        return Outcome::whole;
    }
    QT_TRY(write_records(from, area));
    return Outcome::rewritten;
}

CompactionFilter::Outcome CompactionFilter::filter_aborted(const BatchView& batch, bool must_stay) {
    if (batch.header.records_count == 0) {
        return must_stay ? Outcome::whole : Outcome::dropped;
    }
    counts_.records_dropped += static_cast<uint64_t>(batch.header.records_count);
    return drop(batch.header, must_stay);
}

Result<CompactionFilter::Outcome>
CompactionFilter::filter_marker(const BatchView& batch, bool has_records, bool must_stay) {
    const BatchHeader& from = batch.header;
    QT_ASSERT(from.is_control());
    if (from.base_offset >= rules_.map_end || has_records || must_stay) {
        return Outcome::whole;
    }
    if (from.has_delete_horizon()) {
        return rules_.now_ms >= from.base_timestamp ? Outcome::dropped : Outcome::whole;
    }
    header_ = from;
    header_.attributes = static_cast<int16_t>(header_.attributes | protocol::kBatchDeleteHorizon);
    header_.base_timestamp = horizon();
    QT_TRY_ASSIGN(const ByteView area, plain_records(batch, area_));
    kept_.assign(static_cast<size_t>(from.records_count), true);
    QT_TRY(write_records(from, area));
    return Outcome::rewritten;
}

int64_t CompactionFilter::horizon() const {
    int64_t horizon = 0;
    return __builtin_add_overflow(rules_.now_ms, rules_.delete_retention_ms, &horizon) ? INT64_MAX
                                                                                       : horizon;
}

CompactionFilter::Outcome CompactionFilter::drop(const BatchHeader& header, bool must_stay) {
    if (!must_stay) {
        return Outcome::dropped;
    }
    write_empty(header);
    return Outcome::emptied;
}

// Times stay as they were: deltas follow the base when that became a horizon.
Result<void> CompactionFilter::write_records(const BatchHeader& from, ByteView area) {
    ByteWriter to(area.size() + protocol::kBatchHeaderSize);
    protocol::RecordIterator records(area, from.records_count);
    int64_t max_timestamp = protocol::kNoTimestamp;
    size_t index = 0;
    while (const RecordView* record = records.next()) {
        if (kept_[index++]) {
            const int64_t timestamp = timestamp_of(from, *record);
            max_timestamp = std::max(max_timestamp, timestamp);
            write_record(to, *record,
                         static_cast<int64_t>(static_cast<uint64_t>(timestamp) -
                                              static_cast<uint64_t>(header_.base_timestamp)));
        }
    }
    QT_TRY(records.status());
    if (from.timestamp_type() == protocol::TimestampType::create_time) {
        header_.max_timestamp = max_timestamp;
    }
    QT_TRY_ASSIGN(const protocol::Compression codec, from.compression());
    ByteView written = to.view();
    std::vector<std::byte> packed;
    if (codec != protocol::Compression::none) {
        QT_TRY_ASSIGN(packed, protocol::compress(codec, written));
        written = packed;
    }
    out_.resize(protocol::kBatchHeaderSize + written.size());
    std::memcpy(out_.data() + protocol::kBatchHeaderSize, written.data(), written.size());
    header_.size_bytes = static_cast<uint32_t>(out_.size());
    protocol::write_batch_header(out_, header_);
    return {};
}

// Of no transaction any more: its marker may go before it, and must not leave it open.
void CompactionFilter::write_empty(const BatchHeader& from) {
    header_ = from;
    header_.records_count = 0;
    header_.attributes = static_cast<int16_t>(from.attributes & ~(protocol::kBatchCompressionMask |
                                                                  protocol::kBatchDeleteHorizon |
                                                                  protocol::kBatchTransactional));
    header_.base_timestamp = protocol::kNoTimestamp;
    header_.size_bytes = protocol::kBatchHeaderSize;
    out_.resize(protocol::kBatchHeaderSize);
    protocol::write_batch_header(out_, header_);
}

} // namespace qtool::storage
