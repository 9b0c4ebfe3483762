// UvNet: what a stream is to send and is not in the page cache.
#include "lib/base/log.h"
#include "lib/base/units.h"
#include "server/uv/uv_net.h"

#include <algorithm>
#include <utility>

namespace qtool::uv {

namespace {

// What is not in the page cache: brought in at once for a stream, and how far before its sending.
constexpr uint64_t kReadInMax = 1 * MiB;
constexpr size_t kReadInRangesMax = 64;
constexpr uint64_t kReadInBeforeMax = 3 * MiB;
// A range from this size on is of somebody who reads a backlog: as much again is read ahead behind
// it, and a little more, since the next fetch looks for the end of its last batch there.
constexpr uint64_t kAheadRangeMin = 128 * KiB;
constexpr uint64_t kAheadMax = 2 * MiB;
constexpr uint64_t kAheadMore = 128 * KiB;

} // namespace

void UvNet::wait_for_read_in(Stream& stream) {
    stream.is_waiting = true;
    stream.aheads_left = kAheadsWithoutNeed;
    if (!stream.is_read_in) {
        bring_in(stream, stream.sent);
    } // else it is under way, or looked at again when that is done
}

// The file ranges of the stream from that place on, a bounded part of them.
void UvNet::bring_in(Stream& stream, uint64_t from) {
    std::vector<port::FileRange> ranges;
    uint64_t left = kReadInMax;
    uint64_t begin = stream.sent - stream.front_sent; // of the piece
    uint64_t end = from;
    for (const port::Piece& piece : stream.queue) {
        const uint64_t size = port::piece_size(piece);
        const uint64_t skip = begin < from ? std::min(from - begin, size) : 0;
        begin += size;
        if (skip == size) {
            continue;
        }
        if (left == 0 || ranges.size() == kReadInRangesMax) {
            break;
        }
        if (const auto* range = std::get_if<port::FileRange>(&piece)) {
            const uint64_t part = std::min(left, size - skip);
            ranges.push_back({range->file, range->position + skip, part});
            left -= part;
            end = begin - size + skip + part;
        } else {
            end = begin;
        }
    }
    if (from < stream.read_until) {
        stream.sure_until = end; // it was brought in, and is gone again
    }
    stream.read_until = std::max(stream.read_until, end);
    if (!ranges.empty()) {
        stream.is_read_in = true;
        read_in_.read(ReadInFor::stream, stream.token, std::move(ranges));
    }
}

// Of a stream that had to wait, what follows is brought in while it sends.
void UvNet::read_on(Stream& stream) {
    if (!stream.is_read_in && stream.read_until > stream.sent &&
        stream.read_until < stream.sent + std::min(stream.queued, kReadInBeforeMax)) {
        bring_in(stream, stream.read_until);
    }
}

void UvNet::read_ahead(Stream& stream, const port::FileRange& range) {
    if (stream.aheads_left > 0 && range.size >= kAheadRangeMin) {
        stream.aheads_left--;
        read_in_.read_ahead(stream.token, {range.file, range.position + range.size,
                                           std::min(range.size, kAheadMax) + kAheadMore});
    }
}

void UvNet::on_read_in(const ReadInDone& done) {
    read_in_.note_done(done);
    Stream* stream = streams_.find(done.token);
    if (stream == nullptr) {
        return; // closed meanwhile
    }
    if (done.whom == ReadInFor::stream_ahead) {
        if (done.bytes && *done.bytes > 0) {
            stream->aheads_left = kAheadsWithoutNeed;
        }
        return;
    }
    stream->is_read_in = false;
    context_.turn_open = true;
    if (!done.bytes) {
        log_line(LogLevel::error, "reply_file_unreadable",
                 {{"error", to_string(done.bytes.error())}});
        lose(*stream);
    } else if (stream->is_waiting) {
        write_and_tell(*stream);
    } else {
        read_on(*stream);
    }
}

} // namespace qtool::uv
