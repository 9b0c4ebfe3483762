// Batcher: what one partition has to send, in order. Records gather in an open batch; a batch that
// is full, or has lingered, is closed (compressed) and queued; it stays queued until it is
// delivered, also while it is in flight, so that the order is that of the queue. Owned by Producer.
#pragma once

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/client/idempotence.h"
#include "lib/protocol/batch_builder.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace qtool::client {

struct BatchOptions {
    size_t size_bytes_max = 16'384; // a single record may make a larger batch
    Duration linger = 5ms;
    protocol::Compression compression = protocol::Compression::none;
    std::optional<int> level;
};

struct RecordParts {
    std::optional<ByteView> key;
    std::optional<ByteView> value;
    std::span<const protocol::RecordHeader> headers;
    int64_t timestamp_ms = 0;
};

/// A closed batch until it is delivered.
struct ClosedBatch {
    uint64_t id = 0; // never used twice within a Batcher
    std::vector<std::byte> bytes;
    std::vector<uint64_t> tags; // one a record
    uint64_t charged_bytes = 0; // of buffer.memory
    MonoTime created;           // of its first record
    MonoTime retry_at = MonoTime::min();
    uint32_t attempts = 0;
    int32_t base_sequence = protocol::kNoSequence; // set at the first sending
    bool in_flight = false;
    /// An attempt ended without a clear refusal: the broker may have the records. Never taken back.
    bool maybe_written = false;
    /// The codec failed: nothing to send, only to deliver as this error.
    std::optional<Error> failure;
};

class Batcher {
public:
    explicit Batcher(const BatchOptions& options)
        : options_(options),
          size_bytes_max_(options.size_bytes_max) {}

    /// Adds a record to the open batch, closing the one before when it would grow too large. True:
    /// a batch was closed by this. Errors: too_large, invalid_timestamp.
    Result<bool> add(const RecordParts& record, uint64_t tag, uint64_t charged_bytes, MonoTime now);
    /// Closes the open batch, if any; it carries a `failure` when the codec failed.
    void close();
    /// When the open batch has lingered; kMonoNever without one.
    [[nodiscard]] MonoTime linger_end() const {
        return open_tags_.empty() ? kMonoNever : open_since_ + options_.linger;
    }
    /// The batch to send next; nullptr: none now. Retries go one at a time while anything older is
    /// out, so that no batch can pass another. Batches with a failure must be taken out before.
    ClosedBatch* next_to_send(MonoTime now, size_t in_flight_max);
    /// Takes a batch out; it must be there.
    ClosedBatch remove(uint64_t id);
    ClosedBatch* find(uint64_t id);
    /// Replaces a batch by two halves, in its place; later batches will be no larger than these.
    /// False: it has one record only.
    /// Errors: malformed, internal (the codec).
    Result<bool> split(uint64_t id);

    [[nodiscard]] bool empty() const { return batches_.empty() && open_tags_.empty(); }
    [[nodiscard]] std::deque<ClosedBatch>& batches() { return batches_; }
    /// Marks a batch as in flight; returned() takes that back. Each at most once in turn.
    void sent(ClosedBatch& batch);
    void returned(ClosedBatch& batch);
    [[nodiscard]] size_t in_flight_count() const { return in_flight_; }
    /// The batches closed with a failure since the last call.
    std::vector<uint64_t> take_failed() { return std::exchange(failed_, {}); }

private:
    Result<ClosedBatch> make_closed(protocol::BatchBuilder& builder) const;

    const BatchOptions& options_; // the producer's
    size_t size_bytes_max_;       // lower than in the options once a batch was too large
    protocol::BatchBuilder builder_;
    std::vector<uint64_t> open_tags_;
    uint64_t open_charged_ = 0;
    MonoTime open_since_;
    std::deque<ClosedBatch> batches_; // oldest first; in flight and waiting
    std::vector<uint64_t> failed_;    // of batches_
    size_t in_flight_ = 0;            // of batches_
    uint64_t next_id_ = 1;
};

} // namespace qtool::client
