// The gate for batches that clients produce: everything the broker must know of a batch before it
// goes into a log, in one pass over its records. Runs on the core that read the request.
//
// Uncompressed batches are walked in place and only the few bytes around keys and values are
// touched. Compressed ones pass through a window of kCheckWindowSize bytes: keys and values are
// skipped, not kept, so memory does not grow with the records, however large one is (raw snappy
// blocks are the exception: they can only be had whole, at most 22 times their compressed size).
#pragma once

#include "lib/protocol/record_batch.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace qtool::protocol {

inline constexpr size_t kCheckWindowSize = 64 * KiB;

/// What a topic asks of a batch.
struct BatchRules {
    uint32_t size_bytes_max = kBatchSizeMax; // max.message.bytes, of the batch as it came
    bool zstd_allowed = true;                // Produce version 7 and later
    // Times outside are reported, not refused; -1 (no time) always passes. Milliseconds.
    int64_t timestamp_min = std::numeric_limits<int64_t>::min();
    int64_t timestamp_max = std::numeric_limits<int64_t>::max();
    bool key_required = false;  // the time of a record without key does not count
    bool lists_records = false; // BatchFacts::null_keys and timestamps_outside are wanted
};

inline constexpr size_t kListedRecordsMax = 1000;

/// What the walk found. Indexes count records from 0, which is also their offset delta.
struct BatchFacts {
    BatchHeader header;
    int64_t first_timestamp = kNoTimestamp;           // of record 0, ms
    int64_t max_timestamp = kNoTimestamp;             // the real one; header.max_timestamp may lie
    int32_t max_timestamp_offset_delta = 0;           // first record that has it
    std::optional<int32_t> null_key_index{};          // first record with a null key
    std::optional<int32_t> timestamp_outside_index{}; // first record beyond the rules' times
    uint64_t records_size_bytes = 0;                  // decompressed
    // With BatchRules::lists_records: all of them, up to kListedRecordsMax.
    std::vector<int32_t> null_keys{};
    std::vector<int32_t> timestamps_outside{};
};

/// Memory the check uses for compressed batches; one per core, made empty, filled at first need.
struct CheckScratch {
    Decompressor decompressor;
    std::vector<std::byte> window;
};

/// Checks that `bytes` are exactly one batch a client may produce: magic 2, base offset 0, at least
/// one record, last offset delta = count - 1, no control batch, a sequence with a producer id, a
/// fitting checksum, and as many whole records as it claims with offset deltas 0, 1, 2, ... With
/// LogAppendTime set in the batch all records have header.max_timestamp. Errors: invalid_record;
/// corrupt (checksum); unsupported_compression (unknown codec, or zstd where it is not allowed);
/// message_too_large (size_bytes_max, or expands beyond decompressed_size_max).
Result<BatchFacts> check_producer_batch(ByteView bytes, const BatchRules& rules,
                                        CheckScratch& scratch);

/// As above with scratch of its own, made only when the batch is compressed.
Result<BatchFacts> check_producer_batch(ByteView bytes, const BatchRules& rules);

} // namespace qtool::protocol
