#include "server/uv/read_in.h"

#include "lib/base/assert.h"
#include "server/uv/page_cache.h"

#include <utility>

namespace qtool::uv {

namespace {

Result<uint64_t> bring_in(const std::vector<port::FileRange>& ranges) {
    uint64_t bytes = 0;
    for (const port::FileRange& range : ranges) {
        QT_TRY_ASSIGN(const uint64_t read, bring_into_page_cache(static_cast<UvFile&>(*range.file),
                                                                 range.position, range.size));
        bytes += read;
    }
    return bytes;
}

} // namespace

void ReadIn::read(ReadInFor whom, Token token, std::vector<port::FileRange> ranges) {
    pool_.submit(IoPool::Urgency::now, [this, whom, token, ranges = std::move(ranges)] {
        on_done_(ReadInDone{token, bring_in(ranges), whom});
    });
}

void ReadIn::read_ahead(Token token, port::FileRange range) {
    if (ahead_count_ >= kAheadCountMax) {
        return;
    }
    ahead_count_++;
    pool_.submit(IoPool::Urgency::later, [this, token, range = std::move(range)] {
        on_done_(ReadInDone{token, bring_in({range}), ReadInFor::stream_ahead});
    });
}

void ReadIn::note_done(const ReadInDone& done) {
    if (done.whom == ReadInFor::stream_ahead) {
        QT_ASSERT(ahead_count_ > 0);
        ahead_count_--;
    }
}

} // namespace qtool::uv
