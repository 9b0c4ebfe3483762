// What compaction leaves of one batch. Pure: bytes and a map in, bytes out; knows no files.
//
//   offset      10      11      12      13          map: a -> 40, b -> 11, c -> 12
//   record      a=1     b=2     c=null  d=3         all keys below map_end are in it
//   stays       no      yes     as long as no horizon passed      yes, d has no later record
//
// A batch keeps its base and last offset, its producer and its sequences; with fewer records it is
// written anew, with the same codec. When tombstones are seen for the first time behind which
// nothing older of their keys is left, the batch gets a delete horizon: now + delete.retention.ms.
// A consumer that began to read before has until then to see them. Source: KIP-534; KIP-98.
#pragma once

#include "lib/base/result.h"
#include "lib/protocol/record_batch.h"
#include "server/storage/compaction_map.h"

#include <cstdint>
#include <vector>

namespace qtool::storage {

struct FilterRules {
    Offset log_start; // records below are gone already
    Offset map_end;   // records at or behind are not looked at
    int64_t now_ms = 0;
    int64_t delete_retention_ms = 0;
};

class CompactionFilter {
public:
    enum class Outcome : uint8_t {
        whole,     // as it is
        rewritten, // in batch()
        emptied,   // in batch(), without records
        dropped,
    };
    struct Counts {
        uint64_t records_dropped = 0;
        uint64_t keyless_dropped = 0; // written before the topic was compacted
        uint64_t tombstones_dropped = 0;
    };

    CompactionFilter(const OffsetMap& map, const FilterRules& rules) : map_(map), rules_(rules) {}

    /// `must_stay`: something hangs on its offsets or sequences; it is emptied, not dropped.
    /// REQUIRES: not a control batch.
    /// Errors: malformed, unsupported_compression, too_large (the batch cannot be read); internal.
    Result<Outcome> filter(const protocol::BatchView& batch, bool must_stay);
    /// Of an aborted transaction: no record stays, wherever it is.
    Outcome filter_aborted(const protocol::BatchView& batch, bool must_stay);
    /// A marker: whole while records of its transaction are left; then it gets a horizon, and goes
    /// behind it. Errors: as filter.
    Result<Outcome> filter_marker(const protocol::BatchView& batch, bool has_records,
                                  bool must_stay);
    /// Of the last call; valid until the next.
    [[nodiscard]] ByteView batch() const { return out_; }
    [[nodiscard]] const protocol::BatchHeader& header() const { return header_; }
    [[nodiscard]] const Counts& counts() const { return counts_; }
    /// Bytes of the records of the last compressed batch.
    [[nodiscard]] uint64_t plain_size() const { return area_.size(); }

private:
    Outcome drop(const protocol::BatchHeader& header, bool must_stay);
    bool keeps(const protocol::BatchHeader& header, const protocol::RecordView& record);
    Result<void> write_records(const protocol::BatchHeader& from, ByteView area);
    void write_empty(const protocol::BatchHeader& from);
    [[nodiscard]] int64_t horizon() const;

    const OffsetMap& map_;
    FilterRules rules_;
    Counts counts_;
    std::vector<std::byte> area_; // decompressed
    std::vector<bool> kept_;
    std::vector<std::byte> out_;
    protocol::BatchHeader header_;
};

/// The records area of a batch as records, decompressed into `buffer` when needed. The view lives
/// as long as both. Errors: malformed, unsupported_compression, too_large.
Result<ByteView> plain_records(const protocol::BatchView& batch, std::vector<std::byte>& buffer);

} // namespace qtool::storage
