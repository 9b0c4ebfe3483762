// Inbox: jobs for a core from threads that are no core of its world: the I/O pool, the program's
// main thread. Rare beside mail, so a lock is fine here.
#pragma once

#include "server/uv/wake.h"

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace qtool::uv {

class Inbox {
public:
    explicit Inbox(Wake& wake) : wake_(wake) {}

    /// Any thread. The bound is the callers': one job a flush in flight, one an accepted socket.
    void put(std::function<void()> job) {
        {
            const std::lock_guard lock(mutex_);
            jobs_.push_back(std::move(job));
            has_jobs_.store(true, std::memory_order_release);
        }
        wake_.wake();
    }

    // The core's own side.

    [[nodiscard]] bool has_arrived() const { return has_jobs_.load(std::memory_order_acquire); }
    /// What is there now; the core runs it.
    std::vector<std::function<void()>> take() {
        const std::lock_guard lock(mutex_);
        has_jobs_.store(false, std::memory_order_relaxed);
        return std::exchange(jobs_, {});
    }

private:
    Wake& wake_;
    std::mutex mutex_;
    std::atomic<bool> has_jobs_{false};
    std::vector<std::function<void()>> jobs_;
};

} // namespace qtool::uv
