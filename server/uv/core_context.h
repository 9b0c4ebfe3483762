// CoreContext: what the parts of one core (net, timer, disk, mailbox) share. Lives on its core.
#pragma once

#include "server/port/core_events.h"

#include <uv.h>

namespace qtool::uv {

struct CoreContext {
    CoreId id;
    uv_loop_t loop{};
    port::CoreEvents* events = nullptr; // set by UvWorld::attach before anything can happen
    /// An event was delivered (or work was queued) since the last on_turn_end: one is due. Whoever
    /// calls an event sets it.
    bool turn_open = false;
};

} // namespace qtool::uv
