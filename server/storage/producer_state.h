// ProducerState: what a partition remembers of idempotent and transactional producers, to answer a
// retry with the offsets of its first copy, to refuse gaps, and to know which transactions are
// open. Rebuilt from batch headers and markers, from the last snapshot on. A value of one log;
// lives on its core. Source: KIP-98, KIP-360, KIP-890.
//
// A producer's transaction here:
//   none --transactional batch, verified--> open --marker--> decided --high watermark above the
//   marker--> none; readers of committed data see nothing of it before that.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/protocol/control_record.h"
#include "lib/protocol/record_batch.h"
#include "server/storage/aborted_index.h"
#include "server/storage/limits.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace qtool::storage {

class ProducerState {
public:
    /// A batch of a producer's window.
    struct Batch {
        int32_t first_sequence = 0;
        int32_t last_sequence = 0;
        Offset base_offset;
        int32_t last_offset_delta = 0;
        int64_t timestamp = -1; // max_timestamp of the batch

        bool operator==(const Batch&) const = default;
    };

    /// A batch that is in the log already.
    struct Duplicate {
        Offset base_offset;     // kNoOffset: it is older than the window, so nobody knows where
        Offset last_offset;     // its last record is here; of an older one: here or before
        int64_t timestamp = -1; // max_timestamp; of an older one unknown
    };

    /// Whether a batch may be appended: nothing: yes. Rules for the same epoch in this order: in
    /// the window -> duplicate; the next sequence -> yes; older than the window, but written
    /// without a gap up to it -> duplicate; else out_of_order_sequence. A higher epoch must begin
    /// at 0 (out_of_order_sequence), a lower one is invalid_producer_epoch. A producer without
    /// state, or expired, may begin anywhere, but at 0 when its transaction is of version 2. A
    /// plain batch while a transaction is open is invalid_txn_state.
    Result<std::optional<Duplicate>> check(const protocol::BatchHeader& header, WallTime now,
                                           int64_t expiration_ms,
                                           bool is_transaction_v2 = false) const;
    /// Whether a coordinator may write this for its producer: not for one that was fenced. Errors:
    /// invalid_producer_epoch.
    [[nodiscard]] Result<void> check_own(const protocol::BatchHeader& header) const;
    /// A batch with a producer id is in the log, its header patched. `now` is kept for expiry.
    void update(const protocol::BatchHeader& header, WallTime now);
    /// The batch was refused with `code`, for a reason that passes. The client sends it again;
    /// until then a later one of a producer without state must not take its place, since what may
    /// begin anywhere would then have begun behind it. If it was the next one of its producer,
    /// check() has the same code for those behind it.
    void note_refused(const protocol::BatchHeader& header, Code code, WallTime now);
    void expire(WallTime now, int64_t expiration_ms);
    /// Whether the batch is the latest known one of its producer. False without a producer id.
    [[nodiscard]] bool is_last(const protocol::BatchHeader& header) const;
    /// Whether a producer is known by this marker alone: it wrote nothing with a sequence since.
    [[nodiscard]] bool is_last_marker(const protocol::BatchHeader& header) const;

    // ---- transactions -------------------------------------------------------------------------

    /// KIP-890: whether a batch that check() lets pass would begin a transaction, which the
    /// coordinator must have confirmed before.
    [[nodiscard]] bool begins_transaction(const protocol::BatchHeader& header) const;
    /// Such a batch asks for confirmation: the guard to come back with, `fresh` if there is none.
    uint64_t begin_verification(const protocol::BatchHeader& header, uint64_t fresh);
    /// False: the guard is void: a marker came in between, or a transaction began and ended.
    /// Errors: out_of_order_sequence (an earlier batch is being verified, too, and comes first).
    [[nodiscard]] Result<bool> is_verified(const protocol::BatchHeader& header,
                                           uint64_t guard) const;

    /// Whether a marker may be written. Errors: invalid_producer_epoch, coordinator_fenced.
    [[nodiscard]] Result<void> check_marker(const protocol::TransactionMarker& marker,
                                            int16_t transaction_version) const;
    /// What an abort marker at `offset` is to leave in the index; nothing when no transaction of
    /// the producer is open.
    [[nodiscard]] std::optional<AbortedTransaction> preview_abort(ProducerId id,
                                                                  Offset offset) const;
    /// The marker is in the log at `offset`.
    void end_transaction(const protocol::TransactionMarker& marker, Offset offset, WallTime now);

    /// The first record of a transaction that is open, or decided by a marker at or behind
    /// `high_watermark`; kNoOffset: none. The watermark never falls.
    Offset first_unstable(Offset high_watermark);
    /// The last marker that first_unstable() still waits for; kNoOffset: none.
    [[nodiscard]] Offset last_undecided_marker() const {
        return decided_.empty() ? kNoOffset : decided_.back().marker_offset;
    }
    [[nodiscard]] Offset first_open() const {
        return open_.empty() ? kNoOffset : open_.begin()->first;
    }

    struct Description {
        ProducerId id;
        ProducerEpoch epoch;
        int32_t last_sequence = -1;
        int64_t last_timestamp_ms = -1;
        int32_t coordinator_epoch = -1;
        Offset transaction_start = kNoOffset;
    };
    /// By id.
    [[nodiscard]] std::vector<Description> describe() const;

    [[nodiscard]] size_t size() const { return producers_.size(); }
    [[nodiscard]] uint64_t evicted() const { return evicted_; }

    /// The state after all batches below `offset`.
    [[nodiscard]] std::vector<std::byte> encode(Offset offset) const;
    /// Errors: corrupt, malformed (also when `offset` is not that of the snapshot),
    /// unsupported_version.
    static Result<ProducerState> decode(ByteView bytes, Offset offset);

private:
    struct Producer {
        ProducerEpoch epoch;
        uint8_t count = 0;             // of `batches` in use
        int32_t run_records = 0;       // up to the last batch without a gap, as far as known
        int32_t refused_sequence = -1; // what must come next, and was refused; not on disk
        ProducerEpoch refused_epoch{};
        Code refused_code{};
        int32_t coordinator_epoch = -1;                 // of the last marker
        Offset transaction_start = kNoOffset;           // of the open transaction
        Offset last_marker = kNoOffset;                 // not on disk; kNoOffset: not known
        std::array<Batch, kProducerBatchesMax> batches; // oldest first
        WallTime last_write{};
    };
    struct Verification {
        uint64_t guard = 0;
        ProducerEpoch epoch;
        int32_t lowest_sequence = 0; // of the batches that asked
    };
    struct Decided {
        Offset first_offset;
        Offset marker_offset;
    };
    static bool is_expired(const Producer& producer, WallTime now, int64_t expiration_ms);
    Producer& find_or_add(ProducerId id, ProducerEpoch epoch);
    void set_epoch(Producer& producer, ProducerEpoch epoch);
    static void add_batch(Producer& producer, const Batch& batch);
    static int32_t expected_sequence(const Producer& known);
    static Result<void> check_refused(const Producer& known, const protocol::BatchHeader& header,
                                      int32_t expected);
    static bool is_behind_window(const Producer& producer, const protocol::BatchHeader& header);
    void evict_oldest();

    /// Known by a refused batch alone, which is not kept on disk.
    static bool is_blank(const Producer& producer) {
        return producer.count == 0 && producer.coordinator_epoch < 0 &&
               producer.transaction_start == kNoOffset;
    }

    std::map<ProducerId, Producer> producers_;
    std::map<Offset, ProducerId> open_; // first offset of each open transaction
    std::vector<Decided> decided_;      // markers maybe above the high watermark, in their order
    std::map<ProducerId, Verification> verifications_; // not on disk
    uint64_t evicted_ = 0;
};

} // namespace qtool::storage
