#include "server/request/receive_buffer.h"

#include "lib/base/assert.h"

#include <algorithm>
#include <cstring>

namespace qtool::request {

ChunkRef& Scratch::writable() {
    if (!chunk_.is_unique()) {
        chunk_ = Chunk::allocate(kScratchSize);
    }
    return chunk_;
}

ByteSpan ReceiveBuffer::space(Scratch& scratch) {
    if (!chunk_ || on_scratch_) {
        // Nothing unread: settle() would have moved leftovers to a chunk of our own.
        chunk_.reset();
        chunk_ = scratch.writable();
        on_scratch_ = true;
        begin_ = end_ = 0;
    }
    QT_ASSERT(end_ < chunk_->size());
    return on_scratch_ ? chunk_->span().first(first_read_) : chunk_->span().subspan(end_);
}

void ReceiveBuffer::commit(size_t size) {
    QT_ASSERT(chunk_ && size <= chunk_->size() - end_);
    end_ += size;
}

ByteView ReceiveBuffer::unread() const {
    return chunk_ ? ByteView(chunk_->span().subspan(begin_, end_ - begin_)) : ByteView();
}

ReceiveBuffer::Taken ReceiveBuffer::take(size_t size) {
    QT_ASSERT(size <= end_ - begin_);
    Taken taken;
    if (size <= kCopyFrameMax) {
        taken.chunk = Chunk::allocate(size);
        std::memcpy(taken.chunk->data(), chunk_->data() + begin_, size);
        taken.bytes = taken.chunk->span();
    } else {
        taken.chunk = chunk_;
        taken.bytes = chunk_->span().subspan(begin_, size);
    }
    begin_ += size;
    return taken;
}

void ReceiveBuffer::consume(size_t size) {
    QT_ASSERT(size <= end_ - begin_);
    begin_ += size;
}

void ReceiveBuffer::settle(size_t frame_size) {
    if (!chunk_) {
        return;
    }
    if (on_scratch_) {
        first_read_ = frame_size > kScratchSize ? kLargeFirstRead : kScratchSize;
    }
    const size_t left = end_ - begin_;
    if (left == 0) {
        chunk_.reset();
        on_scratch_ = false;
        begin_ = end_ = 0;
        return;
    }
    const size_t missing = frame_size > left ? frame_size - left : 1;
    const bool fits =
        !on_scratch_ && chunk_.is_unique() && chunk_->size() - end_ >= std::min(missing, kRoomMin);
    if (fits) {
        return;
    }
    // Room for the whole frame, at most doubling what arrived once that is more than the first
    // step.
    const size_t wanted =
        std::max({left + 1, std::min(frame_size, std::max(kFirstChunkMax, 2 * left)),
                  std::min<size_t>(left * 2, kScratchSize)});
    ChunkRef own = Chunk::allocate(wanted);
    std::memcpy(own->data(), chunk_->data() + begin_, left);
    chunk_ = std::move(own);
    on_scratch_ = false;
    begin_ = 0;
    end_ = left;
}

void ReceiveBuffer::leave_core() {
    settle(0);
    QT_ASSERT(!chunk_ || (!on_scratch_ && chunk_.is_unique()));
}

} // namespace qtool::request
