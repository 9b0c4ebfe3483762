// Wake: gets a core's loop out of its wait. A busy loop is not woken: it looks at its rings once a
// turn anyway, so that two busy cores exchange mail without a single system call.
//
//   waker:  publish the work;  asleep.exchange(false) was true -> write to the eventfd
//   core:   asleep.exchange(true);  work is there -> do not wait;  wait;  asleep.exchange(false)
//
// Whichever exchange comes second sees the other side's: either the waker finds the core asleep, or
// the core finds the work (exchanges of one atomic are totally ordered, acquire-release makes what
// was written before them visible). So no wake is lost.
//
// Why not uv_async: its receiver spins, up to a thousand pauses, until the sender has come back
// from its write (libuv 1.44, uv__async_spin). Where the woken thread takes the sender's processor
// that is always: it took a third of the broker's time at one request in flight.
#pragma once

#include "lib/net/handle.h"

#include <atomic>

namespace qtool::uv {

class Wake {
public:
    Wake() = default;
    Wake(const Wake&) = delete;
    Wake& operator=(const Wake&) = delete;
    ~Wake() { close(); }

    /// On the loop's thread, before other threads may wake. Returns 0 or a status of libuv.
    int open(uv_loop_t* loop);
    /// After all threads that may wake have ended.
    void close();

    /// Any thread, after the work was published.
    void wake() {
        if (asleep_.exchange(false, std::memory_order_acq_rel)) {
            signal();
        }
    }

    // The core's own side, around its wait.
    void going_to_sleep() { asleep_.exchange(true, std::memory_order_acq_rel); }
    void awake() { asleep_.exchange(false, std::memory_order_acq_rel); }

private:
    void signal() const;

    std::atomic<bool> asleep_{false};
    int fd_ = -1; // eventfd: readable when somebody woke us
    net::Handle<uv_poll_t> poll_;
};

} // namespace qtool::uv
