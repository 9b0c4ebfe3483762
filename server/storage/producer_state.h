// ProducerState: what a partition remembers of idempotent producers, to answer a retry with the
// offsets of its first copy and to refuse gaps. Rebuilt from batch headers, from the last snapshot
// on. A value of one log; lives on its core. Source: KIP-98, KIP-360.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/protocol/record_batch.h"
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

    /// Whether a batch may be appended: nothing: yes; a batch: it is there already. Rules for the
    /// same epoch in this order: in the window -> duplicate; the next sequence -> yes; else
    /// out_of_order_sequence. A higher epoch must begin at 0 (out_of_order_sequence), a lower one
    /// is invalid_producer_epoch. A producer without state, or expired, may begin anywhere.
    Result<std::optional<Batch>> check(const protocol::BatchHeader& header, WallTime now,
                                       int64_t expiration_ms) const;
    /// A batch with a producer id is in the log, its header patched. `now` is kept for expiry.
    void update(const protocol::BatchHeader& header, WallTime now);
    /// The batch passed check() but there was no room for it. The client sends it again; until then
    /// a later batch of a producer without state must not take its place, since what may begin
    /// anywhere would then have begun behind it.
    void note_refused(const protocol::BatchHeader& header, WallTime now);
    void expire(WallTime now, int64_t expiration_ms);

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
        int32_t refused_sequence = -1; // without batches: what must come first; -1: anything
        std::array<Batch, kProducerBatchesMax> batches; // oldest first
        WallTime last_write{};
    };
    void evict_oldest();

    std::map<ProducerId, Producer> producers_;
    uint64_t evicted_ = 0;
};

} // namespace qtool::storage
