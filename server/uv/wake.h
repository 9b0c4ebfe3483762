// Wake: gets a core's loop out of its wait. A busy loop is not woken: it looks at its rings once a
// turn anyway, so that two busy cores exchange mail without a single system call.
//
//   waker:  publish the work;  asleep.exchange(false) was true -> uv_async_send
//   core:   asleep.exchange(true);  work is there -> do not wait;  wait;  asleep.exchange(false)
//
// Whichever exchange comes second sees the other side's: either the waker finds the core asleep, or
// the core finds the work (exchanges of one atomic are totally ordered, acquire-release makes what
// was written before them visible). So no wake is lost.
#pragma once

#include "lib/base/assert.h"
#include "lib/net/handle.h"

#include <atomic>

namespace qtool::uv {

class Wake {
public:
    /// On the loop's thread, before other threads may wake.
    int open(uv_loop_t* loop) {
        return async_.open(nullptr, [&](uv_async_t* async) {
            return uv_async_init(loop, async, [](uv_async_t*) {}); // the loop's check does the work
        });
    }
    /// After all threads that may wake have ended.
    void close() { async_.close(); }

    /// Any thread, after the work was published.
    void wake() {
        if (asleep_.exchange(false, std::memory_order_acq_rel)) {
            const int status = uv_async_send(async_.get());
            QT_ASSERT(status == 0); // fails only for handles of another type
        }
    }

    // The core's own side, around its wait.
    void going_to_sleep() { asleep_.exchange(true, std::memory_order_acq_rel); }
    void awake() { asleep_.exchange(false, std::memory_order_acq_rel); }

private:
    std::atomic<bool> asleep_{false};
    net::Handle<uv_async_t> async_;
};

} // namespace qtool::uv
