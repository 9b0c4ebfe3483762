// Committer: transactions on their way into etcd, each with an answer that is certain.
//
// The problem: a transaction whose answer was lost may have been applied, or be applied later. So
// each goes through a *slot*, a key of this process, of which the committer knows the revision:
//
//   compare  slot has the known revision; the guards
//   then     the writes; slot := number of the transaction
//   else     read the slot
//
//   then                                         applied
//   else, slot has the known revision            a guard did not hold
//   else, slot holds our number                  applied before: its answer was lost
//
// One that has no answer is sent again as it is: it cannot be applied twice. One that is refused
// after an attempt without answer is fenced first (the slot is rewritten under its known revision),
// so that the attempt, wherever it still is, fails from then on.
//
// The slots are keys outside of what is watched. They hang on a lease of a day, which the committer
// renews, so that nothing is left behind for good. A process that sleeps for longer than that in
// the middle of a transaction cannot know what became of it; it says so (internal).
//
// Sans-IO on Calls; metadata core.
#pragma once

#include "server/etcd/calls.h"
#include "server/port/metadata_store.h"

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace qtool::etcd {

/// Transactions under way at a time, on keys that do not meet.
inline constexpr size_t kSlotCount = 4;
/// Transactions that may wait; beyond, commit answers store_unavailable.
inline constexpr size_t kCommitQueueMax = 10'000;
/// etcd takes 128 comparisons and 128 writes; the slot needs one of each.
inline constexpr size_t kCommitWritesMax = 120;
/// A transaction that could not be sent for so long is answered store_unavailable.
inline constexpr Duration kCommitWaitMax = 10s;

class Committer final : public CallUser {
public:
    struct Setup {
        std::string data_prefix;  // of the store's keys
        std::string slots_prefix; // of this process, ends with '/'
        LeaseId lease = 0;        // for the slots, chosen by chance
    };
    /// Where answers go; within an event of Calls, or from commit's own caller's turn.
    using Done = std::function<void(Token, Result<Revision>)>;

    Committer(Setup setup, Calls& calls, const port::Clock& clock, Done done)
        : setup_(std::move(setup)),
          calls_(calls),
          clock_(clock),
          done_(std::move(done)) {}

    /// `session`: the lease of ephemeral writes. The answer may come from within: the store above
    /// keeps it for later.
    void commit(port::StoreTransaction transaction, Token token, LeaseId session);
    void on_time();
    [[nodiscard]] MonoTime next_due() const;
    /// Highest revision that was answered as committed.
    [[nodiscard]] Revision committed_revision() const { return committed_revision_; }

    void on_called(uint32_t what, Outcome outcome) override;
    void on_stream_part(std::string_view) override {}
    void on_stream_end(Error) override {}

private:
    struct Pending {
        port::StoreTransaction transaction;
        Token token;
        LeaseId session = 0;
        MonoTime refuse_at{};
    };
    struct Slot {
        Revision known; // of the slot's key
        bool is_busy = false;
        bool is_fencing = false;
        bool wants_fence = false; // the fence was refused; again later
        uint64_t number = 0;      // of the transaction in it
        Pending pending;
        Error refusal; // told when the fence stands
    };
    enum class Life : uint8_t { none, granting, making, ready };
    // What on_called is told: slots by index, then these.
    static constexpr uint32_t kGrant = kSlotCount;
    static constexpr uint32_t kMake = kSlotCount + 1;
    static constexpr uint32_t kRenew = kSlotCount + 2;

    void make_slots_when_idle();
    void make_slots();
    void lose_slots();
    void renew();
    void on_granted(const Outcome& outcome);
    void on_made(const Outcome& outcome);
    void on_renewed(const Outcome& outcome);
    void refuse_waiting(const Error& error);
    void dispatch();
    [[nodiscard]] bool meets(const port::StoreTransaction& transaction) const;
    void note_keys(const port::StoreTransaction& transaction, int by);
    void send(size_t index);
    void fence(size_t index, Error refusal);
    void on_committed(size_t index, const Outcome& outcome);
    void finish(size_t index, Result<Revision> result);
    [[nodiscard]] std::string slot_key(size_t index) const;

    Setup setup_;
    Calls& calls_;
    const port::Clock& clock_;
    Done done_;
    Life life_ = Life::none;
    std::deque<Pending> queue_;
    std::array<Slot, kSlotCount> slots_;
    std::map<std::string, int> written_; // keys of the transactions under way
    std::map<std::string, int> guarded_;
    uint64_t next_number_ = 1;
    uint64_t generation_ = 0; // slots made; part of their keys
    MonoTime renew_at_ = kMonoNever;
    MonoTime retry_at_ = kMonoNever; // of making slots
    Revision committed_revision_;
};

} // namespace qtool::etcd
