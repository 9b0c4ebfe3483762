// Transaction: what is known of one transactional id. It is the whole value of a record of
// __transaction_state, and changes by such a record alone.
//
//   from              to                what makes it so
//   (none)            Empty             InitProducerId of a new id
//   Empty, Complete*  Empty             InitProducerId: the producer before is fenced
//   Empty, Complete*  Ongoing           the first partition is added
//   Ongoing           Ongoing           a further partition
//   Ongoing           PrepareCommit     EndTxn
//   Ongoing           PrepareAbort      EndTxn, InitProducerId (fences), the timeout (fences)
//   Empty, Complete*  PrepareAbort      EndTxn of transactions version 2: an abort of nothing
//   PrepareCommit     CompleteCommit    the markers are in every partition
//   PrepareAbort      CompleteAbort     the same
//   Empty, Complete*  (none)            the id expired: a tombstone
// Dead and PrepareEpochFence are known by name only; Kafka does not write them either.
//
// Source: KIP-98; KIP-360 (fencing), KIP-890 (transactions version 2: an epoch each transaction).
#pragma once

#include "lib/base/ids.h"
#include "lib/base/result.h"
#include "server/coordinator/machine.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

namespace qtool::txn {

enum class TransactionState : int8_t { // numbers as in the log
    empty = 0,
    ongoing = 1,
    prepare_commit = 2,
    prepare_abort = 3,
    complete_commit = 4,
    complete_abort = 5,
    dead = 6,
    prepare_epoch_fence = 7,
};

/// Kafka's spelling: "PrepareCommit".
std::string_view to_string(TransactionState state);
/// Nothing when there is no state of this name.
std::optional<TransactionState> state_of(std::string_view name);

/// Partitions by topic name: the log knows no topic ids.
using Partitions = std::map<std::string, std::set<int32_t>, std::less<>>;

inline constexpr int64_t kNoTimeMs = -1;
/// The highest epoch a producer gets; the one above is used for fencing alone.
inline constexpr ProducerEpoch kProducerEpochMax{32766};
/// The transactions version of clients that end a transaction with EndTxn v5 (KIP-890).
inline constexpr int16_t kTransactionVersion2 = 2;

struct Transaction {
    ProducerId producer_id = kNoProducerId;
    ProducerId previous_producer_id = kNoProducerId; // the one before, when its epochs ran out
    ProducerId next_producer_id = kNoProducerId;     // Prepare*: takes over at Complete*
    ProducerEpoch producer_epoch = kNoProducerEpoch;
    int32_t timeout_ms = 0;
    TransactionState state = TransactionState::empty;
    Partitions partitions; // of Ongoing and Prepare*
    int64_t start_ms = kNoTimeMs;
    int64_t update_ms = kNoTimeMs;
    int16_t client_version = 0; // 2: transactions version 2, else 0
    /// The epoch before the last InitProducerId, so that a repeated one gets the same answer. Not
    /// in the log: after a load the repeated request is fenced.
    ProducerEpoch last_epoch = kNoProducerEpoch;

    [[nodiscard]] bool is_prepared() const {
        return state == TransactionState::prepare_commit ||
               state == TransactionState::prepare_abort;
    }
    [[nodiscard]] bool is_ongoing() const { return state == TransactionState::ongoing; }
    [[nodiscard]] bool holds(std::string_view topic, int32_t partition) const {
        const auto found = partitions.find(topic);
        return found != partitions.end() && found->second.contains(partition);
    }
    bool operator==(const Transaction&) const = default;
};

size_t partition_count(const Partitions& partitions);

/// The record that makes `transaction` the state of the id; a tombstone without one.
coordinator::NewRecord make_record(std::string_view id, const Transaction* transaction);

/// A record of the log. `id` is a view of it.
struct TransactionRecord {
    std::string_view id;
    std::optional<Transaction> transaction; // nothing: a tombstone
};
/// Nothing when the record is of another type. Errors: malformed, truncated, too_large,
/// unsupported_version.
Result<std::optional<TransactionRecord>> parse_record(const coordinator::Record& record);

} // namespace qtool::txn
