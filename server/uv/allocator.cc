#include "server/uv/allocator.h"

#include "lib/base/units.h"

#include <malloc.h>

namespace qtool::uv {

namespace {

// Two arenas: data cores rarely meet in the allocator, and each further arena keeps freed memory of
// its own resident. (The default is eight a processor.)
constexpr int kArenaCountMax = 2;
// Free memory at the top of the heap goes back to the system beyond this. The default of 128 KiB
// would give back and fault in again the receive chunks of every second request.
constexpr int kTrimThreshold = 4 * static_cast<int>(MiB);
// Blocks from this size are mapped on their own and unmapped when freed. Setting it also stops
// glibc from raising the threshold by itself, which would keep large frames resident for ever.
// Above the scratch and ordinary frame chunks, so that those do not cost page faults each time.
constexpr int kMmapThreshold = 4 * static_cast<int>(MiB);

} // namespace

void tune_allocator() {
#if defined(__GLIBC__)
    // mallopt returns 0 for a value it does not take, and the default then stays: slower or
    // larger, not wrong.
    mallopt(M_ARENA_MAX, kArenaCountMax);
    mallopt(M_TRIM_THRESHOLD, kTrimThreshold);
    mallopt(M_MMAP_THRESHOLD, kMmapThreshold);
#endif
}

} // namespace qtool::uv
