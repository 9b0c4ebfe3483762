// Idempotence: the producer id and, per partition, the sequence numbers by which the broker knows a
// batch it has already (KIP-98). An epoch belongs to a partition here: when the outcome of a batch
// can no longer be learned, that partition alone goes on under the next epoch from sequence 0, and
// the broker refuses whatever of the old epoch still comes (KIP-360).
#pragma once

#include "lib/protocol/record_batch.h"

#include <cstdint>

namespace qtool::client {

class PartitionSequence {
public:
    /// Epochs above cannot be counted up any more; a new producer id is needed then.
    static constexpr int16_t kEpochMax = INT16_MAX - 1;

    [[nodiscard]] bool has_producer_id() const { return producer_id_.value() >= 0; }
    void set_producer_id(ProducerId id, ProducerEpoch epoch) {
        producer_id_ = id;
        epoch_ = epoch;
        next_ = 0;
    }
    /// Starts again at sequence 0 under the next epoch. When none is left, the producer id is
    /// dropped: has_producer_id() is false then.
    void reset() {
        next_ = 0;
        if (epoch_.value() >= kEpochMax) {
            producer_id_ = kNoProducerId;
            epoch_ = kNoProducerEpoch;
        } else {
            ++epoch_;
        }
    }
    /// The base sequence of a batch of `count` records; the next one follows it.
    int32_t take(int32_t count) {
        const int32_t base = next_;
        next_ = protocol::next_sequence(next_, count);
        return base;
    }
    [[nodiscard]] ProducerId producer_id() const { return producer_id_; }
    [[nodiscard]] ProducerEpoch epoch() const { return epoch_; }

private:
    ProducerId producer_id_ = kNoProducerId;
    ProducerEpoch epoch_ = kNoProducerEpoch;
    int32_t next_ = 0;
};

} // namespace qtool::client
