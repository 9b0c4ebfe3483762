// Counter: written by one core, read by any (metrics). Relaxed order: a scrape may be a little
// late.
#pragma once

#include <atomic>
#include <cstdint>

namespace qtool {

class Counter {
public:
    void add(uint64_t n = 1) {
        // One writer: a plain load and store are enough and cost no locked instruction.
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
    [[nodiscard]] uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<uint64_t> value_{0};
};

} // namespace qtool
