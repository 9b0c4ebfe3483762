// The C library's allocator, set for a broker that is small when idle.
#pragma once

namespace qtool::uv {

/// Called first in main, before any thread and any large allocation.
void tune_allocator();

} // namespace qtool::uv
