#include "lib/net/loop.h"

#include "lib/base/assert.h"

#include <uv.h>

#include <utility>

namespace qtool::net {

Loop::Loop() : loop_(std::make_unique<uv_loop_t>()) {
    // Fails only without file descriptors or memory: nothing sensible can follow.
    const int status = uv_loop_init(loop_.get());
    QT_ASSERT_MSG(status == 0, uv_strerror(status));
}

Loop::~Loop() {
    uv_run(loop_.get(), UV_RUN_DEFAULT);
    const int status = uv_loop_close(loop_.get());
    QT_ASSERT_MSG(status == 0, "a handle outlives its loop");
}

void Loop::run() {
    uv_run(loop_.get(), UV_RUN_DEFAULT);
}

bool Loop::run_once(Wait wait) {
    return uv_run(loop_.get(), wait == Wait::yes ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0;
}

void Loop::stop() {
    uv_stop(loop_.get());
}

MonoTime Loop::now() {
    return MonoTime(Duration(static_cast<int64_t>(uv_hrtime())));
}

struct WakeUp::State {
    uv_async_t async{};
    std::function<void()> on_wake;
};

WakeUp::WakeUp(Loop& loop, std::function<void()> on_wake) : state_(new State) {
    state_->on_wake = std::move(on_wake);
    state_->async.data = state_;
    const int status = uv_async_init(loop.get(), &state_->async, [](uv_async_t* async) {
        static_cast<State*>(async->data)->on_wake();
    });
    QT_ASSERT_MSG(status == 0, uv_strerror(status));
}

WakeUp::~WakeUp() {
    uv_close(reinterpret_cast<uv_handle_t*>(&state_->async),
             [](uv_handle_t* handle) { delete static_cast<State*>(handle->data); });
}

void WakeUp::wake() {
    const int status = uv_async_send(&state_->async);
    QT_ASSERT_MSG(status == 0, uv_strerror(status));
}

void WakeUp::unref() {
    uv_unref(reinterpret_cast<uv_handle_t*>(&state_->async));
}

} // namespace qtool::net
