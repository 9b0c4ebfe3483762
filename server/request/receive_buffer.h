// ReceiveBuffer: where the bytes of one connection arrive. An idle connection owns no memory: it
// reads into a scratch chunk that all connections of the core share, and only a frame that did not
// arrive whole moves to a chunk of its own, sized for that frame.
//
// Why growth is in steps: a peer may announce 100 MiB and send nothing. Memory that was allocated
// but never written costs no page, and beyond kFirstChunkMax it is only allocated as bytes arrive.
//
// What a large frame brought into the scratch is copied to its chunk. So after one, little of the
// next is read there: enough to learn its length.
#pragma once

#include "lib/base/bytes.h"
#include "lib/base/chunk.h"
#include "lib/base/units.h"

namespace qtool::request {

inline constexpr size_t kScratchSize = 128 * KiB;  // bytes one read may bring
inline constexpr size_t kFirstChunkMax = 2 * MiB;  // first allocation for an unfinished frame
inline constexpr size_t kRoomMin = 16 * KiB;       // a chunk with less room behind is replaced
inline constexpr size_t kCopyFrameMax = 16 * KiB;  // frames up to this are copied out of scratch
inline constexpr size_t kLargeFirstRead = 4 * KiB; // of a frame that is likely to be large

/// The shared scratch of one core.
class Scratch {
public:
    /// A chunk that nobody else refers to.
    ChunkRef& writable();

private:
    ChunkRef chunk_;
};

class ReceiveBuffer {
public:
    /// Where the next bytes go: at least one byte. Valid until the next call.
    ByteSpan space(Scratch& scratch);
    void commit(size_t size);

    /// Bytes received and not consumed. Valid until settle.
    [[nodiscard]] ByteView unread() const;
    /// The first `size` unread bytes as a piece that outlives this buffer, and consumes them. The
    /// chunk returned keeps them alive; small ones are copied, so that they do not pin the scratch.
    struct Taken {
        ChunkRef chunk;
        ByteSpan bytes;
    };
    Taken take(size_t size);
    void consume(size_t size);

    /// Called after parsing. `frame_size` is how many unread bytes the next frame will have in all
    /// (0: not known yet); leftovers move to a chunk with room for it.
    void settle(size_t frame_size);
    /// Lets the buffer go to another core, with what is unread: it refers to nothing of this one.
    void leave_core();

private:
    ChunkRef chunk_;                   // the scratch during a read, else our own or none
    bool on_scratch_ = false;          // true only between space() and settle()
    size_t first_read_ = kScratchSize; // bytes the next read into the scratch may bring
    size_t begin_ = 0;                 // invariant: begin_ <= end_ <= chunk size
    size_t end_ = 0;
};

} // namespace qtool::request
