#include "server/txn/decide.h"

#include "lib/base/assert.h"
#include "server/txn/limits.h"

namespace qtool::txn {

namespace {

using protocol::KafkaError;

tl::unexpected<KafkaError> refuse(KafkaError error) {
    return tl::make_unexpected(error);
}

bool is_exhausted(ProducerEpoch epoch) {
    return epoch >= kProducerEpochMax;
}

// Up to 32767, which fences and is never handed out.
ProducerEpoch bumped(ProducerEpoch epoch) {
    return epoch <= kProducerEpochMax ? epoch + 1 : epoch;
}

// A producer of version 2 that goes on with the id it was given when its epochs ran out, before the
// transaction that used them up is complete.
bool is_next_producer(const Transaction& current, Producer producer) {
    return current.is_prepared() && producer.id == current.next_producer_id &&
           producer.is_given() && producer.epoch == ProducerEpoch(0);
}

// The repeated InitProducerId of one that used up its epochs.
bool is_retry_of_rotation(const Transaction& current, Producer claimed) {
    return claimed.id == current.previous_producer_id && is_exhausted(claimed.epoch) &&
           current.producer_epoch == ProducerEpoch(0);
}

Producer producer_of(const Transaction& transaction) {
    return {transaction.producer_id, transaction.producer_epoch};
}

Step unchanged(const Transaction& current) {
    return Step{.next = current, .is_new = false, .answer = producer_of(current)};
}

Transaction idle(const Transaction& current, int32_t timeout_ms, int64_t now_ms) {
    Transaction next = current;
    next.state = TransactionState::empty;
    next.partitions.clear();
    next.timeout_ms = timeout_ms;
    next.start_ms = kNoTimeMs;
    next.update_ms = now_ms;
    next.next_producer_id = kNoProducerId;
    next.last_epoch = kNoProducerEpoch;
    return next;
}

Decided<Step> decide_init_idle(const Transaction& current, Producer claimed, int32_t timeout_ms,
                               int64_t now_ms, const TakeProducerId& take) {
    const bool is_current = claimed.epoch == current.producer_epoch;
    Transaction next = idle(current, timeout_ms, now_ms);
    if (is_exhausted(current.producer_epoch) && (!claimed.is_given() || is_current)) {
        const std::optional<ProducerId> fresh = take();
        if (!fresh) {
            return refuse(KafkaError::coordinator_load_in_progress);
        }
        next.previous_producer_id = current.producer_id;
        next.producer_id = *fresh;
        next.producer_epoch = ProducerEpoch(0);
    } else if (!claimed.is_given() || is_current) {
        next.producer_epoch = bumped(current.producer_epoch);
    } else {
        return unchanged(current); // the claim was checked: a retry
    }
    if (claimed.is_given()) {
        next.last_epoch = claimed.epoch;
    }
    const Producer answer = producer_of(next);
    return Step{.next = std::move(next), .answer = answer};
}

// Ongoing -> Prepare*, or an abort of nothing.
Decided<Step> prepare(const Transaction& current, TransactionState state, bool bumps_epoch,
                      int64_t now_ms, const TakeProducerId& take) {
    Transaction next = current;
    next.state = state;
    next.update_ms = now_ms;
    next.last_epoch = kNoProducerEpoch;
    if (!current.is_ongoing()) {
        next.partitions.clear();
        next.start_ms = now_ms;
    }
    if (bumps_epoch && is_exhausted(current.producer_epoch)) {
        const std::optional<ProducerId> fresh = take();
        if (!fresh) {
            return refuse(KafkaError::coordinator_load_in_progress);
        }
        next.next_producer_id = *fresh;
    }
    if (bumps_epoch) {
        next.producer_epoch = bumped(current.producer_epoch);
    }
    const Producer answer = next.next_producer_id == kNoProducerId
                                ? producer_of(next)
                                : Producer{next.next_producer_id, ProducerEpoch(0)};
    return Step{.next = std::move(next), .answer = answer};
}

// Version 1: the epoch stays the producer's until the next InitProducerId.
//
//   state \ asked    commit                   abort
//   Ongoing          PrepareCommit            PrepareAbort
//   PrepareCommit    CONCURRENT_TRANSACTIONS  INVALID_TXN_STATE
//   PrepareAbort     INVALID_TXN_STATE        CONCURRENT_TRANSACTIONS
//   CompleteCommit   done before              INVALID_TXN_STATE
//   CompleteAbort    INVALID_TXN_STATE        done before
//   Empty            INVALID_TXN_STATE        INVALID_TXN_STATE
Decided<Step> decide_end_1(const Transaction& current, Producer producer, bool committed,
                           int64_t now_ms, const TakeProducerId& take) {
    if (producer.id != current.producer_id) {
        return refuse(KafkaError::invalid_producer_id_mapping);
    }
    if (producer.epoch != current.producer_epoch) {
        return refuse(KafkaError::producer_fenced);
    }
    switch (current.state) {
    case TransactionState::ongoing:
        return prepare(
            current, committed ? TransactionState::prepare_commit : TransactionState::prepare_abort,
            false, now_ms, take);
    case TransactionState::prepare_commit:
    case TransactionState::prepare_abort:
        return refuse(committed == (current.state == TransactionState::prepare_commit)
                          ? KafkaError::concurrent_transactions
                          : KafkaError::invalid_txn_state);
    case TransactionState::complete_commit:
    case TransactionState::complete_abort:
        if (committed != (current.state == TransactionState::complete_commit)) {
            return refuse(KafkaError::invalid_txn_state);
        }
        return unchanged(current);
    case TransactionState::empty:
    case TransactionState::dead:
    case TransactionState::prepare_epoch_fence:
        break;
    }
    return refuse(KafkaError::invalid_txn_state);
}

// Version 2: an end raises the epoch, so a repeated end is known by the epoch below the stored one
// (or, when the epochs ran out, by the producer id before and the last epoch).
//
//   epoch \ state  Ongoing            Prepare*                 Complete*                Empty
//   stored         Prepare*           PRODUCER_FENCED          abort: PrepareAbort      as
//   Complete*
//                                                              commit: INVALID_TXN_STATE
//   stored - 1     PRODUCER_FENCED    CONCURRENT_TRANSACTIONS  same result: done before
//   PRODUCER_FENCED
//                                     (other result: INVALID_TXN_STATE)
Decided<Step> decide_end_2(const Transaction& current, Producer producer, bool committed,
                           int64_t now_ms, const TakeProducerId& take) {
    const bool is_complete = current.state == TransactionState::complete_commit ||
                             current.state == TransactionState::complete_abort;
    if (is_next_producer(current, producer)) {
        return refuse(KafkaError::concurrent_transactions);
    }
    const bool is_retry_of_overflow = is_complete && is_retry_of_rotation(current, producer);
    if (producer.id != current.producer_id && !is_retry_of_overflow) {
        return refuse(KafkaError::invalid_producer_id_mapping);
    }
    const bool is_retry =
        is_retry_of_overflow ||
        ((current.is_prepared() || is_complete) && producer.epoch >= ProducerEpoch(0) &&
         producer.epoch <= kProducerEpochMax && producer.epoch + 1 == current.producer_epoch);
    if (is_retry) {
        const bool is_commit = current.state == TransactionState::prepare_commit ||
                               current.state == TransactionState::complete_commit;
        if (committed != is_commit) {
            return refuse(KafkaError::invalid_txn_state);
        }
        if (current.is_prepared()) {
            return refuse(KafkaError::concurrent_transactions);
        }
        return unchanged(current);
    }
    if (producer.epoch != current.producer_epoch || current.is_prepared()) {
        return refuse(KafkaError::producer_fenced);
    }
    if (current.is_ongoing()) {
        return prepare(
            current, committed ? TransactionState::prepare_commit : TransactionState::prepare_abort,
            true, now_ms, take);
    }
    if (committed) {
        return refuse(KafkaError::invalid_txn_state);
    }
    return prepare(current, TransactionState::prepare_abort, true, now_ms, take);
}

KafkaError check_producer(const Transaction* current, Producer producer) {
    if (current == nullptr) {
        return KafkaError::invalid_producer_id_mapping;
    }
    if (is_next_producer(*current, producer)) {
        return KafkaError::concurrent_transactions;
    }
    if (producer.id != current->producer_id) {
        return KafkaError::invalid_producer_id_mapping;
    }
    if (producer.epoch != current->producer_epoch) {
        return KafkaError::producer_fenced;
    }
    return current->is_prepared() ? KafkaError::concurrent_transactions : KafkaError::none;
}

} // namespace

Decided<Step> decide_init(const Transaction* current, Producer claimed, int32_t timeout_ms,
                          int64_t now_ms, const TakeProducerId& take) {
    if (current == nullptr) {
        // A claim of an id that expired meanwhile: the producer starts anew.
        const std::optional<ProducerId> fresh = take();
        if (!fresh) {
            return refuse(KafkaError::coordinator_load_in_progress);
        }
        Transaction next = idle(Transaction{}, timeout_ms, now_ms);
        next.producer_id = *fresh;
        next.producer_epoch = ProducerEpoch(0);
        const Producer answer = producer_of(next);
        return Step{.next = std::move(next), .answer = answer};
    }
    if (claimed.is_given()) {
        const bool is_known =
            (claimed.id == current->producer_id &&
             (claimed.epoch == current->producer_epoch || claimed.epoch == current->last_epoch)) ||
            is_retry_of_rotation(*current, claimed) || is_next_producer(*current, claimed) ||
            (current->is_prepared() && claimed.id == current->producer_id);
        if (!is_known) {
            return refuse(KafkaError::producer_fenced);
        }
    }
    if (current->is_prepared()) {
        return refuse(KafkaError::concurrent_transactions);
    }
    if (current->is_ongoing()) {
        Decided<Step> fence = decide_fence(*current, now_ms, take);
        if (fence) {
            fence->error = KafkaError::concurrent_transactions; // the client comes again
        }
        return fence;
    }
    return decide_init_idle(*current, claimed, timeout_ms, now_ms, take);
}

Decided<Step> decide_add(const Transaction* current, Producer producer,
                         const Partitions& partitions, int16_t client_version, int64_t now_ms) {
    if (const KafkaError error = check_producer(current, producer); error != KafkaError::none) {
        return refuse(error);
    }
    Transaction next = *current;
    if (!current->is_ongoing()) {
        next.state = TransactionState::ongoing;
        next.start_ms = now_ms;
        next.partitions.clear();
    }
    for (const auto& [topic, indexes] : partitions) {
        next.partitions[topic].insert(indexes.begin(), indexes.end());
    }
    if (current->is_ongoing() && next.partitions == current->partitions) {
        return unchanged(*current);
    }
    if (partition_count(next.partitions) > kPartitionsPerTransactionMax) {
        return refuse(KafkaError::policy_violation);
    }
    next.update_ms = now_ms;
    next.client_version = client_version;
    next.last_epoch = kNoProducerEpoch;
    return Step{.next = std::move(next), .answer = producer};
}

KafkaError check_verify(const Transaction* current, Producer producer) {
    return check_producer(current, producer);
}

Decided<Step> decide_end(const Transaction* current, Producer producer, bool committed,
                         int16_t client_version, int64_t now_ms, const TakeProducerId& take) {
    if (current == nullptr) {
        return refuse(KafkaError::invalid_producer_id_mapping);
    }
    Decided<Step> step = client_version >= kTransactionVersion2
                             ? decide_end_2(*current, producer, committed, now_ms, take)
                             : decide_end_1(*current, producer, committed, now_ms, take);
    if (step && step->is_new) {
        step->next.client_version = client_version;
    }
    return step;
}

Decided<Step> decide_fence(const Transaction& current, int64_t now_ms, const TakeProducerId& take) {
    QT_ASSERT(current.is_ongoing());
    return prepare(current, TransactionState::prepare_abort, true, now_ms, take);
}

Transaction complete(const Transaction& prepared, int64_t now_ms) {
    QT_ASSERT(prepared.is_prepared());
    Transaction next = prepared;
    next.state = prepared.state == TransactionState::prepare_commit
                     ? TransactionState::complete_commit
                     : TransactionState::complete_abort;
    next.partitions.clear();
    next.update_ms = now_ms;
    if (prepared.next_producer_id != kNoProducerId) {
        next.previous_producer_id = prepared.producer_id;
        next.producer_id = prepared.next_producer_id;
        next.producer_epoch = ProducerEpoch(0);
        next.next_producer_id = kNoProducerId;
    }
    return next;
}

bool is_timed_out(const Transaction& transaction, int64_t now_ms) {
    return transaction.is_ongoing() && now_ms - transaction.start_ms > transaction.timeout_ms;
}

bool is_expired(const Transaction& transaction, int64_t now_ms, int64_t expiration_ms) {
    return !transaction.is_ongoing() && !transaction.is_prepared() &&
           now_ms - transaction.update_ms >= expiration_ms;
}

} // namespace qtool::txn
