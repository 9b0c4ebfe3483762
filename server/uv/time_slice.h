// How long a thread likes to run at a stretch, told to the scheduler.
#pragma once

#include "lib/base/time.h"

namespace qtool::uv {

/// For threads that answer somebody and sleep again: on a busy machine such a thread takes its core
/// from one that asked for longer stretches, instead of waiting until that one's are over (some
/// milliseconds). Its share of the core stays the same.
constexpr Duration kShortTimeSlice = std::chrono::microseconds(100);
/// What the system gives everybody.
constexpr Duration kDefaultTimeSlice{};

/// Of the calling thread, and of those that it starts from then on. A wish: Linux before 6.12 takes
/// it and does nothing, other schedulers than the ordinary one are left alone. Sources:
/// sched_setattr(2); Linux Documentation/scheduler/sched-eevdf.rst.
void set_time_slice(Duration slice);

} // namespace qtool::uv
