#include "server/uv/io_pool.h"

#include "lib/base/assert.h"
#include "lib/base/log.h"
#include "lib/base/units.h"

#include <utility>

namespace qtool::uv {

namespace {

constexpr size_t kStackSize = 256 * KiB; // a system call, an error text and a log line

} // namespace

void IoPool::submit(Urgency urgency, std::function<void()> job) {
    bool start = false;
    {
        const std::lock_guard lock(mutex_);
        QT_ASSERT(!stopping_);
        (urgency == Urgency::now ? now_ : later_).push_back(std::move(job));
        start = idle_ < now_.size() + (later_running_ ? 0 : later_.size()) &&
                threads_.size() < thread_count_max_;
    }
    if (start) {
        start_thread();
    }
    changed_.notify_one();
}

size_t IoPool::later_count() {
    const std::lock_guard lock(mutex_);
    return later_.size();
}

void IoPool::start_thread() {
    uv_thread_options_t options{};
    options.flags = UV_THREAD_HAS_STACK_SIZE;
    options.stack_size = kStackSize;
    uv_thread_t thread{};
    const int status = uv_thread_create_ex(
        &thread, &options, [](void* pool) { static_cast<IoPool*>(pool)->work(); }, this);
    if (status == 0) {
        threads_.push_back(thread);
        return;
    }
    // With one thread the jobs are slower, with none they would never be done.
    log_line(LogLevel::warn, "io_thread_not_started",
             {{"threads", threads_.size()}, {"reason", uv_strerror(status)}});
    QT_ASSERT_MSG(!threads_.empty(), "no thread for fsync could be started");
}

bool IoPool::take(std::unique_lock<std::mutex>& lock, std::function<void()>& job, bool& is_later) {
    while (true) {
        if (!now_.empty()) {
            job = std::move(now_.front());
            now_.pop_front();
            is_later = false;
            return true;
        }
        if (!later_.empty() && !later_running_) {
            job = std::move(later_.front());
            later_.pop_front();
            later_running_ = true;
            is_later = true;
            return true;
        }
        if (stopping_) {
            return false; // what is queued for later is run by the thread that runs one now
        }
        idle_++;
        changed_.wait(lock);
        idle_--;
    }
}

void IoPool::work() {
    std::unique_lock lock(mutex_);
    std::function<void()> job;
    bool is_later = false;
    while (take(lock, job, is_later)) {
        lock.unlock();
        job();
        job = nullptr; // frees what it holds (a file perhaps) outside the lock
        lock.lock();
        if (is_later) {
            later_running_ = false;
        }
    }
}

void IoPool::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    for (uv_thread_t& thread : threads_) {
        uv_thread_join(&thread);
    }
    threads_.clear();
}

} // namespace qtool::uv
