// Fetcher: reads the batches one fetch brought for one partition, lazily, one batch at a time:
// checks the checksum, decompresses within bounds, skips control batches and, for read_committed,
// aborted transactions. The bytes belong to the fetched frame, which must outlive it.
#pragma once

#include "lib/base/result.h"
#include "lib/protocol/record_batch.h"

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace qtool::client {

/// The first offset of a transaction that was aborted.
struct AbortedTransaction {
    int64_t producer_id = 0;
    int64_t first_offset = 0;
};

class Fetcher {
public:
    /// Records below `position` are skipped: a batch may begin before it. `aborted`: empty unless
    /// read_committed.
    Fetcher(ByteView bytes, int64_t position, std::vector<AbortedTransaction> aborted);

    /// Moves on to the next batch with records for the application, whose views live until the next
    /// open(). False: there is none. Errors: corrupt, malformed, too_large,
    /// unsupported_compression; position() is then that of the broken batch.
    Result<bool> open();
    /// The next record of the open batch; nullptr: all were given, open() again. The record is
    /// valid until the next call, what it views until open(). Errors: malformed.
    Result<const protocol::ConsumedRecord*> next();
    /// The offset after what was given or skipped.
    [[nodiscard]] int64_t position() const { return position_; }
    /// After the end: the whole size of a batch that was cut before anything could be read; 0:
    /// none.
    [[nodiscard]] size_t cut_batch_size() const {
        return walker_.used() == 0 ? walker_.cut_batch_size() : 0;
    }

private:
    /// True: the batch holds records for the application.
    Result<bool> enter(const protocol::BatchView& batch);

    protocol::BatchWalker walker_;
    int64_t position_;
    std::vector<AbortedTransaction> aborted_; // ascending by first_offset
    size_t next_aborted_ = 0;
    std::set<int64_t> aborting_; // producers whose open transaction was aborted
    std::optional<protocol::BatchRecords> open_;
    int64_t open_end_ = 0; // next_offset of the open batch
};

} // namespace qtool::client
