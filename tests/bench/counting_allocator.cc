#include "tests/bench/counting_allocator.h"

#include <atomic>
#include <cstddef>

// glibc's own, under the names its wrappers for malloc debuggers use (mallopt(3) works on).
extern "C" {
void* __libc_malloc(size_t size);                     // NOLINT
void* __libc_calloc(size_t count, size_t size);       // NOLINT
void* __libc_realloc(void* memory, size_t size);      // NOLINT
void* __libc_memalign(size_t alignment, size_t size); // NOLINT
}

namespace {

std::atomic<uint64_t> counted{0};
// Constant at start and in the program itself: reading it allocates nothing.
thread_local bool is_counted = true;

void count() {
    if (is_counted) {
        counted.fetch_add(1, std::memory_order_relaxed);
    }
}

} // namespace

namespace qtool::bench {

uint64_t allocation_count() {
    return counted.load(std::memory_order_relaxed);
}

void leave_thread_uncounted() {
    is_counted = false;
}

} // namespace qtool::bench

// The program's malloc comes before the C library's, in the libraries it uses, too.
extern "C" {

void* malloc(size_t size) { // NOLINT
    count();
    return __libc_malloc(size);
}
void* calloc(size_t times, size_t size) { // NOLINT
    count();
    return __libc_calloc(times, size);
}
void* realloc(void* memory, size_t size) { // NOLINT
    count();
    return __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) { // NOLINT
    count();
    return __libc_memalign(alignment, size);
}

} // extern "C"
