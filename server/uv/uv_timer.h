// UvTimer: the one alarm of a core. Never early; up to some milliseconds late, since libuv counts
// in whole milliseconds. Nothing ticks while no alarm is set. Lives on its core.
#pragma once

#include "lib/net/handle.h"
#include "server/port/clock.h"
#include "server/uv/core_context.h"

namespace qtool::uv {

/// Starts `timer` so that it fires at `due` or later, never earlier; stops it for kMonoNever.
void start_timer(uv_timer_t* timer, MonoTime due, uv_timer_cb on_due);

class UvTimer final : public port::Timer {
public:
    explicit UvTimer(CoreContext& context);

    void set_alarm(MonoTime due) override;
    /// Lets the libuv handle go; no alarm after this.
    void close() { timer_.close(); }

private:
    CoreContext& context_;
    net::Handle<uv_timer_t> timer_;
};

} // namespace qtool::uv
