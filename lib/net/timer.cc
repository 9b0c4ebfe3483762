#include "lib/net/timer.h"

#include "lib/base/assert.h"

#include <uv.h>

#include <algorithm>
#include <utility>

namespace qtool::net {

struct Timer::State {
    uv_timer_t timer{};
    std::function<void()> on_due;
};

Timer::Timer(Loop& loop, std::function<void()> on_due) : state_(new State) {
    state_->on_due = std::move(on_due);
    state_->timer.data = state_;
    uv_timer_init(loop.get(), &state_->timer); // cannot fail
}

Timer::~Timer() {
    uv_close(reinterpret_cast<uv_handle_t*>(&state_->timer),
             [](uv_handle_t* handle) { delete static_cast<State*>(handle->data); });
}

void Timer::set(MonoTime due) {
    if (due == kMonoNever) {
        uv_timer_stop(&state_->timer);
        return;
    }
    // libuv fires once its own time, whole milliseconds rounded down, has reached the target; the
    // target rounded up is thus never early.
    const auto due_ms =
        std::chrono::ceil<std::chrono::milliseconds>(due.time_since_epoch()).count();
    const auto now_ms = static_cast<int64_t>(uv_now(state_->timer.loop));
    uv_timer_start(
        &state_->timer, [](uv_timer_t* timer) { static_cast<State*>(timer->data)->on_due(); },
        static_cast<uint64_t>(std::max<int64_t>(0, due_ms - now_ms)), 0);
}

} // namespace qtool::net
