// ChangeRunner: metadata operations under way on one core. Decide on the core's image, commit
// through the metadata core, decide again on conflict, and tell when every core of this broker
// applied it. Sans-IO; lives on the core that owns it.
//
//   deciding --writes--> committing --success--> done
//      |  ^                  |
//      |  +---- conflict ----+   (after a short wait, at most kChangeAttemptsMax times)
//      |  +---- a part of it is done: the next (at once)
//      +---no writes---> done          any state --deadline--> done (timed_out)
#pragma once

#include "lib/base/slot_map.h"
#include "lib/base/time.h"
#include "lib/base/timer_heap.h"
#include "server/metadata/operation.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qtool::broker {

/// A writer that loses this often in a row meets a store that is broken, not busy.
inline constexpr uint32_t kChangeAttemptsMax = 30;

class ChangeRunner {
public:
    struct Commit {
        Token change;
        port::StoreTransaction transaction;
    };

    /// `writes_max`: of one transaction of the store.
    explicit ChangeRunner(size_t writes_max = SIZE_MAX) : writes_max_(writes_max) {}

    /// `operation` must live until it is finished or abandoned.
    void start(Token request, metadata::Operation& operation, MonoTime deadline,
               const metadata::Image& image, port::Random& random);
    void on_committed(Token change, Result<Revision> result, MonoTime now, port::Random& random);
    /// Decides again what lost against another writer, and times out what is late.
    void on_time(MonoTime now, const metadata::Image& image, port::Random& random);
    /// The operation is about to be destroyed; a commit under way completes unheard.
    void abandon(Token request);

    [[nodiscard]] MonoTime next_due() const { return alarms_.next_due(); }
    /// Transactions to send to the metadata core.
    std::vector<Commit> take_commits() { return std::exchange(commits_, {}); }
    /// Requests whose operation is finished (Operation::finish was called).
    std::vector<Token> take_finished() { return std::exchange(finished_, {}); }
    [[nodiscard]] bool has_finished() const { return !finished_.empty(); }

private:
    struct Change {
        Token request;
        metadata::Operation* operation = nullptr;
        MonoTime deadline;
        MonoTime decide_at = kMonoNever; // after a conflict
        uint32_t attempts = 0;
    };
    void decide(Token token, Change& change, const metadata::Image& image, port::Random& random);
    void finish(Token token, Result<void> result);

    size_t writes_max_;
    SlotMap<Change> changes_;
    TimerHeap<Token> alarms_;
    std::vector<Commit> commits_;
    std::vector<Token> finished_;
};

} // namespace qtool::broker
