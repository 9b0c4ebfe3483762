#include "server/uv/uv_timer.h"

#include <algorithm>

namespace qtool::uv {

void start_timer(uv_timer_t* timer, MonoTime due, uv_timer_cb on_due) {
    if (due == kMonoNever) {
        uv_timer_stop(timer);
        return;
    }
    // libuv's time is whole milliseconds of the clock behind uv_hrtime, rounded down; it fires when
    // that has reached the target. The target rounded up is therefore never early.
    const auto due_ms =
        std::chrono::ceil<std::chrono::milliseconds>(due.time_since_epoch()).count();
    const auto now_ms = static_cast<int64_t>(uv_now(timer->loop));
    uv_timer_start(timer, on_due, static_cast<uint64_t>(std::max<int64_t>(0, due_ms - now_ms)), 0);
}

UvTimer::UvTimer(CoreContext& context) : context_(context) {
    const int status =
        timer_.open(this, [&](uv_timer_t* timer) { return uv_timer_init(&context.loop, timer); });
    QT_ASSERT(status == 0); // cannot fail
}

void UvTimer::set_alarm(MonoTime due) {
    start_timer(timer_.get(), due, [](uv_timer_t* timer) {
        CoreContext& context = static_cast<UvTimer*>(timer->data)->context_;
        context.turn_open = true;
        context.events->on_timer();
    });
}

} // namespace qtool::uv
