#include "server/etcd/committer.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"

#include <algorithm>
#include <utility>

namespace qtool::etcd {

namespace {

constexpr const char* kTxnPath = "/v3/kv/txn";
constexpr Duration kAttemptTime = 2s;
constexpr int64_t kSlotLeaseS = 24 * 3600;
constexpr Duration kRenewInterval = 1h;
constexpr Duration kMakeRetry = 1s;

size_t size_bytes(const port::StoreTransaction& transaction, size_t prefix_size) {
    size_t size = (transaction.guards.size() + transaction.writes.size()) * prefix_size;
    for (const port::StoreGuard& guard : transaction.guards) {
        size += guard.key.size();
    }
    for (const port::StoreWrite& write : transaction.writes) {
        size += write.key.size() + (write.value ? write.value->size() : 0);
    }
    return size;
}

} // namespace

std::string Committer::slot_key(size_t index) const {
    return setup_.slots_prefix + std::to_string(generation_) + "/" + std::to_string(index);
}

void Committer::commit(port::StoreTransaction transaction, Token token, LeaseId session) {
    if (transaction.writes.size() > kCommitWritesMax ||
        transaction.guards.size() > kCommitWritesMax ||
        size_bytes(transaction, setup_.data_prefix.size()) > port::kStoreTransactionBytesMax) {
        done_(token,
              Error(Code::too_large,
                    "a metadata transaction of " + std::to_string(transaction.writes.size()) +
                        " writes and " + std::to_string(transaction.guards.size()) +
                        " guards is more than etcd takes"));
        return;
    }
    const bool is_ephemeral = std::any_of(transaction.writes.begin(), transaction.writes.end(),
                                          [](const auto& write) { return write.ephemeral; });
    if (is_ephemeral && session == 0) {
        done_(token, Error(Code::store_unavailable, "an ephemeral key needs a session"));
        return;
    }
    if (queue_.size() >= kCommitQueueMax) {
        done_(token, Error(Code::store_unavailable, "too many metadata changes are waiting"));
        return;
    }
    queue_.push_back({std::move(transaction), token, session, clock_.mono() + kCommitWaitMax});
    if (life_ == Life::none && retry_at_ == kMonoNever) {
        make_slots_when_idle();
    }
    dispatch();
}

// ---- slots --------------------------------------------------------------------------------------

// What is under way still needs the slots it has.
void Committer::make_slots_when_idle() {
    if (std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.is_busy; })) {
        retry_at_ = clock_.mono() + kMakeRetry;
    } else {
        make_slots();
    }
}

void Committer::lose_slots() {
    if (life_ == Life::ready) {
        life_ = Life::none;
        setup_.lease++;
        retry_at_ = clock_.mono();
    }
}

void Committer::make_slots() {
    life_ = Life::granting;
    retry_at_ = kMonoNever;
    Call call;
    call.path = "/v3/lease/grant";
    call.body = encode_lease_grant(setup_.lease, kSlotLeaseS);
    call.attempt_time = kAttemptTime;
    call.user = this;
    call.what = kGrant;
    calls_.start(std::move(call));
}

void Committer::on_granted(const Outcome& outcome) {
    // A refusal may mean that an attempt before was taken: then the slots can be made.
    const bool exists = !outcome.answer &&
                        outcome.answer.error().detail.find("already exists") != std::string::npos;
    if (!outcome.answer && !exists) {
        life_ = Life::none;
        retry_at_ = clock_.mono() + kMakeRetry;
        refuse_waiting(outcome.answer.error());
        return;
    }
    life_ = Life::making;
    generation_++;
    // Made only if there are none: an attempt that arrives late must not rewrite one in use.
    Txn txn;
    txn.compares.push_back({slot_key(0), Revision{0}});
    for (size_t i = 0; i < kSlotCount; i++) {
        txn.success.push_back({Operation::Kind::put, slot_key(i), "0", setup_.lease, {}});
        txn.failure.push_back({Operation::Kind::read, slot_key(i), {}, 0, {}});
    }
    Call call;
    call.path = kTxnPath;
    call.body = encode_txn(txn);
    call.attempt_time = kAttemptTime;
    call.user = this;
    call.what = kMake;
    calls_.start(std::move(call));
}

void Committer::on_made(const Outcome& outcome) {
    life_ = Life::none;
    if (!outcome.answer) {
        // Its lease is gone, or we may not write there.
        setup_.lease++;
        retry_at_ = clock_.mono() + kMakeRetry;
        refuse_waiting(outcome.answer.error());
        return;
    }
    if (!outcome.answer->succeeded && outcome.answer->key_values.size() != kSlotCount) {
        retry_at_ = clock_.mono() + kMakeRetry; // their lease ended meanwhile
        setup_.lease++;
        return;
    }
    for (size_t i = 0; i < kSlotCount; i++) {
        slots_[i].known = outcome.answer->succeeded ? outcome.answer->header.revision
                                                    : outcome.answer->key_values[i].mod_revision;
    }
    life_ = Life::ready;
    renew_at_ = clock_.mono() + kRenewInterval;
    dispatch();
}

void Committer::on_renewed(const Outcome& outcome) {
    renew_at_ = clock_.mono() + kRenewInterval;
    if (outcome.answer && outcome.answer->ttl_s == 0) {
        lose_slots();
    }
}

void Committer::refuse_waiting(const Error& error) {
    for (Pending& pending : std::exchange(queue_, {})) {
        done_(pending.token, error);
    }
}

// ---- transactions -------------------------------------------------------------------------------

// The first in the queue goes as soon as a slot is free and nothing under way touches its keys.
void Committer::dispatch() {
    while (life_ == Life::ready && !queue_.empty() && !meets(queue_.front().transaction)) {
        const auto slot = std::find_if(slots_.begin(), slots_.end(),
                                       [](const Slot& candidate) { return !candidate.is_busy; });
        if (slot == slots_.end()) {
            return;
        }
        slot->is_busy = true;
        slot->number = next_number_++;
        slot->pending = std::move(queue_.front());
        queue_.pop_front();
        note_keys(slot->pending.transaction, 1);
        send(static_cast<size_t>(slot - slots_.begin()));
    }
}

bool Committer::meets(const port::StoreTransaction& transaction) const {
    const auto guard_meets = [&](const auto& guard) { return written_.contains(guard.key); };
    const auto write_meets = [&](const auto& write) {
        return written_.contains(write.key) || guarded_.contains(write.key);
    };
    return std::any_of(transaction.guards.begin(), transaction.guards.end(), guard_meets) ||
           std::any_of(transaction.writes.begin(), transaction.writes.end(), write_meets);
}

void Committer::note_keys(const port::StoreTransaction& transaction, int by) {
    const auto note = [by](std::map<std::string, int>& keys, const std::string& key) {
        if ((keys[key] += by) == 0) {
            keys.erase(key);
        }
    };
    for (const port::StoreGuard& guard : transaction.guards) {
        note(guarded_, guard.key);
    }
    for (const port::StoreWrite& write : transaction.writes) {
        note(written_, write.key);
    }
}

void Committer::send(size_t index) {
    Slot& slot = slots_[index];
    const port::StoreTransaction& transaction = slot.pending.transaction;
    Txn txn;
    txn.compares.push_back({slot_key(index), slot.known});
    for (const port::StoreGuard& guard : transaction.guards) {
        txn.compares.push_back({setup_.data_prefix + guard.key, guard.mod_revision});
    }
    for (const port::StoreWrite& write : transaction.writes) {
        Operation operation;
        operation.kind = write.value ? Operation::Kind::put : Operation::Kind::erase;
        operation.key = setup_.data_prefix + write.key;
        operation.value = write.value.value_or("");
        operation.lease = write.ephemeral ? slot.pending.session : 0;
        txn.success.push_back(std::move(operation));
    }
    txn.success.push_back(
        {Operation::Kind::put, slot_key(index), std::to_string(slot.number), setup_.lease, {}});
    txn.failure.push_back({Operation::Kind::read, slot_key(index), {}, 0, {}});
    Call call;
    call.path = kTxnPath;
    call.body = encode_txn(txn);
    call.attempt_time = kAttemptTime;
    call.give_up_at = slot.pending.refuse_at;
    call.gives_up_only_unsent = true;
    call.user = this;
    call.what = static_cast<uint32_t>(index);
    calls_.start(std::move(call));
}

// The transaction shall not take effect any more: its slot gets another revision, unless it took
// effect already.
void Committer::fence(size_t index, Error refusal) {
    Slot& slot = slots_[index];
    slot.is_fencing = true;
    slot.refusal = std::move(refusal);
    Txn txn;
    txn.compares.push_back({slot_key(index), slot.known});
    txn.success.push_back({Operation::Kind::put,
                           slot_key(index),
                           "fence " + std::to_string(slot.number),
                           setup_.lease,
                           {}});
    txn.failure.push_back({Operation::Kind::read, slot_key(index), {}, 0, {}});
    Call call;
    call.path = kTxnPath;
    call.body = encode_txn(txn);
    call.attempt_time = kAttemptTime;
    call.user = this;
    call.what = static_cast<uint32_t>(index);
    calls_.start(std::move(call));
}

void Committer::on_committed(size_t index, const Outcome& outcome) {
    Slot& slot = slots_[index];
    QT_ASSERT(slot.is_busy);
    if (!outcome.answer) {
        if (outcome.answer.error().detail.find("lease not found") != std::string::npos) {
            renew(); // the session's, or the slots'
        }
        if (slot.is_fencing) {
            // No room even for the fence, or the slot's lease is gone: ask until it is certain.
            log_line(LogLevel::warn, "etcd_fence_refused",
                     {{"error", to_string(outcome.answer.error())}});
            slot.wants_fence = true;
            retry_at_ = clock_.mono() + kMakeRetry;
            return;
        }
        if (outcome.is_repeated) {
            fence(index, outcome.answer.error());
        } else {
            finish(index, outcome.answer.error());
        }
        return;
    }
    const Answer& answer = *outcome.answer;
    if (answer.succeeded) {
        slot.known = answer.header.revision;
        if (slot.is_fencing) {
            finish(index, slot.refusal);
        } else {
            finish(index, slot.known);
        }
        return;
    }
    if (answer.key_values.empty()) {
        // The slots are gone: a day without renewal.
        const bool is_certain = !slot.is_fencing && !outcome.is_repeated;
        lose_slots();
        if (is_certain) { // this attempt failed, and there is no other
            slot.is_busy = false;
            note_keys(slot.pending.transaction, -1);
            queue_.push_front(std::move(slot.pending));
        } else {
            finish(index, Error(Code::internal, "whether a metadata change took effect is not "
                                                "known: etcd was silent for longer than a day"));
        }
        return;
    }
    const KeyValue& found = answer.key_values.front();
    if (found.mod_revision == slot.known) {
        Error conflict(Code::store_conflict, "a metadata key was changed meanwhile");
        if (slot.is_fencing) {
            slot.wants_fence = true; // cannot be; ask again rather than answer
            retry_at_ = clock_.mono() + kMakeRetry;
        } else if (outcome.is_repeated) {
            fence(index, std::move(conflict));
        } else {
            finish(index, std::move(conflict));
        }
        return;
    }
    slot.known = found.mod_revision;
    if (found.value == std::to_string(slot.number)) {
        finish(index, found.mod_revision); // its answer was lost
    } else if (slot.is_fencing) {
        finish(index, slot.refusal); // the fence's answer was lost
    } else {
        finish(index, Error(Code::internal,
                            "the key " + slot_key(index) + " was changed by somebody else"));
    }
}

void Committer::finish(size_t index, Result<Revision> result) {
    Slot& slot = slots_[index];
    slot.is_busy = false;
    slot.is_fencing = false;
    note_keys(slot.pending.transaction, -1);
    const Token token = slot.pending.token;
    slot.pending = {};
    if (result) {
        committed_revision_ = std::max(committed_revision_, *result);
    }
    done_(token, std::move(result));
    dispatch();
}

// ---- time ---------------------------------------------------------------------------------------

void Committer::on_called(uint32_t what, Outcome outcome) {
    switch (what) {
    case kGrant:
        on_granted(outcome);
        return;
    case kMake:
        on_made(outcome);
        return;
    case kRenew:
        on_renewed(outcome);
        return;
    default:
        on_committed(what, outcome);
        return;
    }
}

void Committer::on_time() {
    const MonoTime now = clock_.mono();
    while (!queue_.empty() && queue_.front().refuse_at <= now) {
        const Token token = queue_.front().token;
        queue_.pop_front();
        done_(token, Error(Code::store_unavailable, "etcd does not take metadata changes"));
    }
    if (retry_at_ <= now) {
        retry_at_ = kMonoNever;
        for (size_t i = 0; i < kSlotCount; i++) {
            if (std::exchange(slots_[i].wants_fence, false)) {
                fence(i, std::move(slots_[i].refusal));
            }
        }
        if (life_ == Life::none && !queue_.empty()) {
            make_slots_when_idle();
        }
    }
    if (renew_at_ <= now) {
        renew();
    }
}

void Committer::renew() {
    renew_at_ = kMonoNever;
    if (life_ != Life::ready) {
        return;
    }
    Call call;
    call.path = "/v3/lease/keepalive";
    call.body = encode_lease(setup_.lease);
    call.attempt_time = kAttemptTime;
    call.user = this;
    call.what = kRenew;
    calls_.start(std::move(call));
}

MonoTime Committer::next_due() const {
    const MonoTime first = queue_.empty() ? kMonoNever : queue_.front().refuse_at;
    return std::min({first, retry_at_, renew_at_});
}

} // namespace qtool::etcd
