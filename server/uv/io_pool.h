// IoPool: a few threads of one core for calls that wait for the device: fdatasync, write-back,
// unlink. Threads start when first needed, so an idle core has none. Jobs run on them; what a job
// has to tell goes back to the core through its inbox.
#pragma once

#include "lib/net/handle.h"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

namespace qtool::uv {

class IoPool {
public:
    /// Flushes of different logs overlap, and the file system's journal merges those that wait at
    /// the same time: with 1,000 partitions written to, sixteen threads send a tenth fewer flushes
    /// to the device than four.
    static constexpr uint32_t kThreadCountMax = 16;

    explicit IoPool(uint32_t thread_count_max = kThreadCountMax)
        : thread_count_max_(thread_count_max) {}
    ~IoPool() { stop(); }
    IoPool(const IoPool&) = delete;
    IoPool& operator=(const IoPool&) = delete;

    enum class Urgency : uint8_t {
        now,   // someone waits for it
        later, // one at a time, and only while nothing urgent waits
    };
    /// From the core's thread. The bound is the core's: one flush in flight a log.
    void submit(Urgency urgency, std::function<void()> job);
    /// Jobs without urgency that wait.
    [[nodiscard]] size_t later_count();
    /// Runs what is queued and ends the threads.
    void stop();

private:
    void start_thread();
    void work();
    bool take(std::unique_lock<std::mutex>& lock, std::function<void()>& job, bool& is_later);

    const uint32_t thread_count_max_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> now_;
    std::deque<std::function<void()>> later_;
    uint32_t idle_ = 0; // threads that wait
    bool later_running_ = false;
    bool stopping_ = false;
    std::vector<uv_thread_t> threads_; // the core's
};

} // namespace qtool::uv
