// What of a file is in the page cache: the loop sends that and never waits for the device; the rest
// is brought in by a thread of ReadIn. Any thread.
//
// The kernel tells by cachestat (Linux 6.5). Where there is none, or it knows nothing of this file
// system (stacked ones keep their pages elsewhere), single bytes are read that must not wait
// (RWF_NOWAIT); where that is not known either, all counts as being there.
#pragma once

#include "lib/base/result.h"
#include "server/uv/uv_file.h"

#include <cstdint>

namespace qtool::uv {

/// Whether that range (size > 0) can be sent without waiting, as far as it can be told cheaply.
/// What lies beyond the end of the file is not there.
[[nodiscard]] bool is_in_page_cache(const UvFile& file, uint64_t position, uint64_t size);

/// Fills `into` when all of it is there; false: not, or the file ends before.
[[nodiscard]] bool read_from_page_cache(const UvFile& file, ByteSpan into, uint64_t position);

/// Blocks: brings the range in with large reads, up to the end of the file. Returns the bytes of
/// it if some were missing, 0 when there was nothing to do. Errors: storage_io.
Result<uint64_t> bring_into_page_cache(UvFile& file, uint64_t position, uint64_t size);

} // namespace qtool::uv
