// Handle: owns one libuv handle. libuv keeps using a handle until its close callback has run, so
// the memory is on the heap and is freed there, not when the owner goes. Lives on the thread of its
// loop.
#pragma once

#include "lib/base/assert.h"

#include <uv.h>

#include <utility>

namespace qtool::net {

template <class UvHandle>
class Handle {
public:
    Handle() = default;
    Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept {
        if (this != &other) {
            close();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~Handle() { close(); }

    /// Makes the handle with `init(handle)`, a uv_*_init call; returns its status. `data` is what
    /// the callbacks find in handle->data.
    template <class Init>
    int open(void* data, Init&& init) {
        QT_ASSERT(handle_ == nullptr);
        auto* made = new UvHandle{};
        const int status = init(made);
        if (status != 0) {
            delete made; // a failed init has not linked the handle into the loop
            return status;
        }
        made->data = data;
        handle_ = made;
        return 0;
    }
    /// No callback of the handle runs after this, except a pending request's (write, connect).
    void close() {
        if (handle_ != nullptr) {
            uv_close(reinterpret_cast<uv_handle_t*>(std::exchange(handle_, nullptr)),
                     [](uv_handle_t* gone) { delete reinterpret_cast<UvHandle*>(gone); });
        }
    }
    [[nodiscard]] UvHandle* get() const { return handle_; }
    explicit operator bool() const { return handle_ != nullptr; }

private:
    UvHandle* handle_ = nullptr;
};

} // namespace qtool::net
