// Record batch v2 (magic 2): header, walking whole batches, patching in place. Bytes in a log
// segment and on the wire are the same. Checking what producers send: batch_check.h. Building:
// batch_builder.h.
//
//   0 base_offset i64 | 8 length i32 (bytes after this field) | 12 partition_leader_epoch i32 |
//   16 magic i8 | 17 crc u32 | 21 attributes i16 | 23 last_offset_delta i32 | 27 base_timestamp i64
//   | 35 max_timestamp i64 | 43 producer_id i64 | 51 producer_epoch i16 | 53 base_sequence i32 | 57
//   records_count i32 | 61 records
//
// The crc (CRC-32C) covers 21..end. Source: Kafka protocol guide, "Record Batch"; KIP-98.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/protocol/compression.h"
#include "lib/protocol/record.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace qtool::protocol {

inline constexpr size_t kBatchHeaderSize = 61;
inline constexpr size_t kBatchLengthEnd = 12; // the length field counts the bytes from here
inline constexpr int8_t kBatchMagic = 2;
inline constexpr uint32_t kBatchSizeMax = 0x7fffffff;
inline constexpr int32_t kNoSequence = -1;
inline constexpr int64_t kNoTimestamp = -1;

// Bits of the attributes.
inline constexpr int16_t kBatchCompressionMask = 0x07;
inline constexpr int16_t kBatchLogAppendTime = 0x08;
inline constexpr int16_t kBatchTransactional = 0x10;
inline constexpr int16_t kBatchControl = 0x20;
inline constexpr int16_t kBatchDeleteHorizon = 0x40;

enum class TimestampType : uint8_t { create_time, log_append_time };

struct BatchHeader {
    Offset base_offset;
    uint32_t size_bytes = 0; // of the whole batch: the length field + 12
    LeaderEpoch partition_leader_epoch = kNoLeaderEpoch;
    int8_t magic = kBatchMagic;
    uint32_t crc = 0;
    int16_t attributes = 0;
    int32_t last_offset_delta = 0;
    int64_t base_timestamp = kNoTimestamp; // ms; the delete horizon when has_delete_horizon()
    int64_t max_timestamp = kNoTimestamp;  // ms
    ProducerId producer_id = kNoProducerId;
    ProducerEpoch producer_epoch = kNoProducerEpoch;
    int32_t base_sequence = kNoSequence;
    int32_t records_count = 0; // compaction may leave fewer than last_offset_delta + 1, even none

    /// The codec's number 0..7; only 0..4 are a Compression.
    [[nodiscard]] uint8_t compression_id() const {
        return static_cast<uint8_t>(attributes & kBatchCompressionMask);
    }
    /// Errors: unsupported_compression for the numbers 5..7.
    [[nodiscard]] Result<Compression> compression() const;
    [[nodiscard]] TimestampType timestamp_type() const {
        return (attributes & kBatchLogAppendTime) != 0 ? TimestampType::log_append_time
                                                       : TimestampType::create_time;
    }
    [[nodiscard]] bool is_transactional() const { return (attributes & kBatchTransactional) != 0; }
    [[nodiscard]] bool is_control() const { return (attributes & kBatchControl) != 0; }
    [[nodiscard]] bool has_delete_horizon() const {
        return (attributes & kBatchDeleteHorizon) != 0;
    }
    [[nodiscard]] bool has_producer_id() const { return producer_id.value() >= 0; }
    /// By last_offset_delta, never by records_count.
    [[nodiscard]] Offset last_offset() const { return base_offset + last_offset_delta; }
    [[nodiscard]] Offset next_offset() const { return base_offset + last_offset_delta + 1; }
    /// Sequence of the last record; kNoSequence without a base sequence.
    [[nodiscard]] int32_t last_sequence() const;
};

/// `sequence` moved on by `count` >= 0, wrapping from 2147483647 to 0.
constexpr int32_t next_sequence(int32_t sequence, int32_t count) {
    return static_cast<int32_t>((static_cast<uint32_t>(sequence) + static_cast<uint32_t>(count)) &
                                0x7fffffffu);
}

/// Reads the 61 bytes at the front of `bytes`; the records may be missing.
/// Errors: truncated (fewer than 61 bytes: come back with more); malformed (magic other than 2,
/// length below 49, negative deltas or counts, offsets past 2^63 - 1); too_large (size_bytes >
/// size_max).
Result<BatchHeader> parse_batch_header(ByteView bytes, uint32_t size_max = kBatchSizeMax);

/// Whether the checksum fits. `whole_batch` is exactly one batch, at least kBatchHeaderSize bytes.
bool batch_crc_ok(ByteView whole_batch);

/// As batch_crc_ok. Errors: corrupt, with both checksums and the base offset.
Result<void> check_batch_crc(ByteView whole_batch);

/// A whole batch; the bytes belong to whoever gave them.
struct BatchView {
    BatchHeader header;
    ByteView bytes; // header.size_bytes of them

    [[nodiscard]] ByteView records_area() const { return bytes.subspan(kBatchHeaderSize); }
};

/// Yields the whole batches of a range that may end inside a batch, as fetch answers may. Checksums
/// are not looked at.
class BatchWalker {
public:
    explicit BatchWalker(ByteView bytes, uint32_t size_max = kBatchSizeMax)
        : bytes_(bytes),
          size_max_(size_max) {}

    /// The next whole batch, valid until the next call; nullptr when none is left, which a batch
    /// cut short also means. Errors: malformed, too_large; the walk then stays where it is.
    Result<const BatchView*> next();

    /// Bytes of whole batches yielded so far; after the end: where the cut batch begins.
    [[nodiscard]] size_t used() const { return used_; }
    /// Bytes behind used(): 0 when the range ended with a whole batch.
    [[nodiscard]] size_t left() const { return bytes_.size() - used_; }
    /// After the end: bytes the cut batch needs in all; 0 if unknown or there is none.
    [[nodiscard]] size_t cut_batch_size() const { return cut_batch_size_; }

private:
    ByteView bytes_;
    uint32_t size_max_;
    size_t used_ = 0; // invariant: <= bytes_.size()
    size_t cut_batch_size_ = 0;
    BatchView current_;
};

// Patches in place. `batch` is one whole batch whose header was parsed before.

/// What the leader sets at append. The checksum does not cover these fields.
void patch_base_offset_and_epoch(ByteSpan batch, Offset base_offset, LeaderEpoch epoch);
/// Turns the batch to LogAppendTime: sets bit 3 and max_timestamp, makes the checksum anew.
void patch_log_append_time(ByteSpan batch, WallTime now);
/// Sets max_timestamp (ms) and makes the checksum anew.
void patch_max_timestamp(ByteSpan batch, int64_t max_timestamp);

/// A record as consumers see it; the views live as long as the batch's bytes and its BatchRecords.
struct ConsumedRecord {
    Offset offset;
    int64_t timestamp = kNoTimestamp; // ms
    TimestampType timestamp_type = TimestampType::create_time;
    RecordView record; // key, value, headers
};

/// The records of one fetched batch, decompressed into a buffer of its own when needed.
class BatchRecords {
public:
    /// Errors: unsupported_compression; malformed; too_large (more than decompressed_max bytes).
    /// `buffer` gives memory to reuse; take_buffer() hands it back.
    static Result<BatchRecords> open(const BatchView& batch, size_t decompressed_max,
                                     std::vector<std::byte> buffer = {});

    /// The next record, nullptr at the end and at the first error; valid until the next call.
    const ConsumedRecord* next();
    /// What ended the walk. Errors: malformed.
    [[nodiscard]] Result<void> status() const;
    /// Ends the walk; views into compressed batches die.
    std::vector<std::byte> take_buffer();

private:
    BatchHeader header_;
    std::vector<std::byte> buffer_; // moving a vector keeps its bytes in place
    RecordIterator records_;
    const char* failure_ = nullptr; // static text
    ConsumedRecord current_;
};

} // namespace qtool::protocol
