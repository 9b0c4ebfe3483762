#include "lib/base/chunk.h"

#include <cstdlib>
#include <new>

namespace qtool {

ChunkRef Chunk::allocate(size_t size) {
    void* memory = std::malloc(sizeof(Chunk) + size);
    QT_ASSERT_MSG(memory != nullptr, "out of memory for a receive buffer");
    return ChunkRef(new (memory) Chunk(size));
}

void ChunkRef::reset() {
    if (chunk_ != nullptr && --chunk_->references_ == 0) {
        chunk_->~Chunk();
        std::free(chunk_);
    }
    chunk_ = nullptr;
}

} // namespace qtool
