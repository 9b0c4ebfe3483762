// Counts heap allocations of a test program: malloc and what stands on it, new among it, of all
// threads but those that do not want to be counted. For glibc, and without sanitizers.
#pragma once

#include <cstdint>

namespace qtool::bench {

/// Allocations so far of the threads that are counted.
uint64_t allocation_count();

/// The calling thread is the test's own from here on.
void leave_thread_uncounted();

} // namespace qtool::bench
