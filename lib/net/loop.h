// Loop: one libuv loop. Everything made on it lives on the thread that runs it and goes before it.
#pragma once

#include "lib/base/time.h"

#include <functional>
#include <memory>

struct uv_loop_s;

namespace qtool::net {

class Loop {
public:
    Loop();
    /// Runs what is left to close; all handles of the loop must have been let go.
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    /// Runs until stop() or until nothing is left that could happen.
    void run();
    /// Handles what is ready, waiting for the first event when `wait` says so. False: nothing left.
    enum class Wait : uint8_t { no, yes };
    bool run_once(Wait wait);
    /// Ends run() after the current turn. From the loop's thread; other threads use a WakeUp.
    void stop();

    /// Read at each call, not cached.
    [[nodiscard]] static MonoTime now();
    [[nodiscard]] uv_loop_s* get() const { return loop_.get(); }

private:
    std::unique_ptr<uv_loop_s> loop_;
};

/// Calls `on_wake` on the loop's thread after wake() on any thread; several wakes may become one.
class WakeUp {
public:
    WakeUp(Loop& loop, std::function<void()> on_wake);
    ~WakeUp();
    WakeUp(const WakeUp&) = delete;
    WakeUp& operator=(const WakeUp&) = delete;

    /// Any thread. The WakeUp must be alive: stop the threads that wake before it goes.
    void wake();
    /// An unreferenced WakeUp does not keep Loop::run from ending.
    void unref();

private:
    struct State;
    State* state_; // freed by its close callback
};

} // namespace qtool::net
