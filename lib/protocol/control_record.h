// Control batches: the commit and abort markers that end a transaction in each partition it
// touched. A control batch has one record and takes one offset; applications never see it.
//
//   key   = int16 version 0, int16 type        value = int16 version 0, int32 coordinator_epoch
//
// Source: KIP-98, "Control Records".
#pragma once

#include "lib/protocol/record_batch.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace qtool::protocol {

/// Types 2..6 belong to KRaft's own log; readers skip them and any later one.
enum class ControlType : int16_t { abort = 0, commit = 1 };

/// The end of a producer's transaction in one partition.
struct TransactionMarker {
    ControlType type = ControlType::abort;
    ProducerId producer_id = kNoProducerId;
    ProducerEpoch producer_epoch = kNoProducerEpoch;
    int32_t coordinator_epoch = 0;
    int64_t timestamp = kNoTimestamp; // ms

    bool operator==(const TransactionMarker&) const = default;
};

inline constexpr size_t kTransactionMarkerSize = 78;

/// One whole control batch: base offset 0, no leader epoch, checksum set.
std::vector<std::byte> build_transaction_marker(const TransactionMarker& marker);

/// The marker in a control batch; nothing when its type is one to skip.
/// Errors: malformed (not a control batch, not exactly one record, key or value too short).
Result<std::optional<TransactionMarker>> parse_transaction_marker(const BatchView& batch);

} // namespace qtool::protocol
