// Time and waiting, as a core sees them.
#pragma once

#include "lib/base/time.h"

namespace qtool::port {

class Clock {
public:
    virtual ~Clock() = default;
    /// Read once per loop turn or so; cheap to call often.
    [[nodiscard]] virtual MonoTime mono() const = 0;
    [[nodiscard]] virtual WallTime wall() const = 0;
};

/// One alarm per core; the core keeps its own heap of what is due (lib/base/timer_heap.h).
class Timer {
public:
    virtual ~Timer() = default;
    /// Asks for CoreEvents::on_timer at `due` (kMonoNever: no alarm). Replaces the earlier alarm.
    virtual void set_alarm(MonoTime due) = 0;
};

} // namespace qtool::port
