#include "server/broker/change_runner.h"

#include <algorithm>

namespace qtool::broker {

void ChangeRunner::start(Token request, metadata::Operation& operation, MonoTime deadline,
                         const metadata::Image& image, port::Random& random) {
    const Token token = changes_.emplace();
    Change& change = *changes_.find(token);
    change.request = request;
    change.operation = &operation;
    change.deadline = deadline;
    operation.set_writes_max(writes_max_);
    decide(token, change, image, random);
    if (changes_.find(token) != nullptr) { // else it is finished: nothing to write
        alarms_.push(deadline, token);
    }
}

void ChangeRunner::decide(Token token, Change& change, const metadata::Image& image,
                          port::Random& random) {
    change.attempts++;
    change.decide_at = kMonoNever;
    port::StoreTransaction transaction = change.operation->decide(image, random);
    // Guards alone: what was refused is so only if the store still has what was read. This broker's
    // image may be older than a change that another one has acknowledged already.
    if (transaction.writes.empty() && transaction.guards.empty()) {
        finish(token, {});
        return;
    }
    commits_.push_back({token, std::move(transaction)});
}

void ChangeRunner::on_committed(Token token, Result<Revision> result, MonoTime now,
                                port::Random& random) {
    Change* change = changes_.find(token);
    if (change == nullptr) {
        return; // timed out or abandoned meanwhile
    }
    if (result) {
        if (!change->operation->advance(*result)) {
            finish(token, {});
            return;
        }
        change->attempts = 0;
        change->decide_at = now;
        alarms_.push(now, token);
        return;
    }
    if (result.error().code == Code::store_conflict && change->attempts < kChangeAttemptsMax) {
        // The newer image is on its way; jitter lets one of several writers win.
        change->decide_at =
            now + std::chrono::milliseconds(1 + random.next() % (2 + change->attempts));
        alarms_.push(change->decide_at, token);
        return;
    }
    finish(token, std::move(result).error());
}

void ChangeRunner::on_time(MonoTime now, const metadata::Image& image, port::Random& random) {
    while (const std::optional<Token> token = alarms_.pop_due(now)) {
        Change* change = changes_.find(*token);
        if (change == nullptr) {
            continue;
        }
        if (change->deadline <= now) {
            finish(*token, Error(Code::timed_out,
                                 "the metadata change was not confirmed in time; it may still "
                                 "take effect"));
        } else if (change->decide_at <= now) {
            decide(*token, *change, image, random);
        }
    }
}

void ChangeRunner::abandon(Token request) {
    std::vector<Token> gone;
    changes_.for_each([&](Token token, Change& change) {
        if (change.request == request) {
            gone.push_back(token);
        }
    });
    for (const Token token : gone) {
        changes_.erase(token);
    }
    std::erase(finished_, request);
}

void ChangeRunner::finish(Token token, Result<void> result) {
    Change* change = changes_.find(token);
    change->operation->finish(std::move(result));
    finished_.push_back(change->request);
    changes_.erase(token);
}

} // namespace qtool::broker
