// Timer: one alarm on a loop. Lives on the loop's thread.
#pragma once

#include "lib/base/time.h"
#include "lib/net/loop.h"

#include <functional>

namespace qtool::net {

class Timer {
public:
    Timer(Loop& loop, std::function<void()> on_due);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    /// Calls on_due once, at `due` or up to a few milliseconds later, never earlier and never from
    /// within. Replaces the earlier alarm; kMonoNever: none. on_due may set the next alarm, and may
    /// destroy the timer.
    void set(MonoTime due);

private:
    struct State;
    State* state_; // freed by its close callback
};

} // namespace qtool::net
