// The decisions of a transaction coordinator about one transactional id: what a request makes of
// its state. Pure functions; they change nothing, and the shard writes what they return.
//
// Every step is one record, and a record is state as soon as it is in the log: there is no step
// half done, so CONCURRENT_TRANSACTIONS is the answer in Prepare* alone.
//
// Source: KIP-98, KIP-360, KIP-890; SEMANTICS section 13 has the table of answers.
#pragma once

#include "lib/protocol/kafka_error.h"
#include "server/txn/transaction.h"

#include <tl/expected.hpp>

#include <functional>

namespace qtool::txn {

/// A value, or what the client is told.
template <class T>
using Decided = tl::expected<T, protocol::KafkaError>;

/// A new producer id; nothing while none is at hand.
using TakeProducerId = std::function<std::optional<ProducerId>()>;

/// What a producer says it is.
struct Producer {
    ProducerId id = kNoProducerId;
    ProducerEpoch epoch = kNoProducerEpoch;

    [[nodiscard]] bool is_given() const { return id != kNoProducerId; }
    bool operator==(const Producer&) const = default;
};

struct Step {
    Transaction next;
    bool is_new = true; // else nothing changes and nothing is to be written
    Producer answer;    // InitProducerId, EndTxn v5: what the producer is from now on
    protocol::KafkaError error = protocol::KafkaError::none; // answered although next is written
};

/// InitProducerId. `current`: nullptr for an unknown id. `claimed`: the producer that bumps its own
/// epoch (KIP-360), or none. Errors: producer_fenced, concurrent_transactions,
/// coordinator_load_in_progress (no producer id at hand).
Decided<Step> decide_init(const Transaction* current, Producer claimed, int32_t timeout_ms,
                          int64_t now_ms, const TakeProducerId& take);

/// AddPartitionsToTxn, AddOffsetsToTxn. Errors: invalid_producer_id_mapping, producer_fenced,
/// concurrent_transactions, policy_violation (too many partitions).
Decided<Step> decide_add(const Transaction* current, Producer producer,
                         const Partitions& partitions, int16_t client_version, int64_t now_ms);

/// Whether partitions may be looked up in the transaction (AddPartitionsToTxn with verify_only).
/// Errors: those of decide_add.
protocol::KafkaError check_verify(const Transaction* current, Producer producer);

/// EndTxn. `client_version` 2: an epoch each transaction, and the answer names the producer of the
/// next one. Errors: invalid_producer_id_mapping, producer_fenced, invalid_txn_state,
/// concurrent_transactions, coordinator_load_in_progress.
Decided<Step> decide_end(const Transaction* current, Producer producer, bool committed,
                         int16_t client_version, int64_t now_ms, const TakeProducerId& take);

/// Aborts an Ongoing transaction that its producer did not end: the epoch rises, so that what this
/// producer still sends is refused. Errors: coordinator_load_in_progress.
Decided<Step> decide_fence(const Transaction& current, int64_t now_ms, const TakeProducerId& take);

/// The markers of a Prepare* transaction are in.
Transaction complete(const Transaction& prepared, int64_t now_ms);

/// Ongoing for longer than its timeout.
bool is_timed_out(const Transaction& transaction, int64_t now_ms);
/// Idle for so long that its id may be forgotten.
bool is_expired(const Transaction& transaction, int64_t now_ms, int64_t expiration_ms);

} // namespace qtool::txn
