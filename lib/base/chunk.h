// Chunk: a reference-counted block of received bytes. The count is not atomic: a chunk belongs to
// the core that received it; another core may borrow its bytes while the owner keeps a ChunkRef. It
// goes to another core only while nobody else refers to it.
#pragma once

#include "lib/base/assert.h"
#include "lib/base/bytes.h"

#include <cstdint>
#include <utility>

namespace qtool {

class ChunkRef;

class Chunk {
public:
    /// `size` bytes of uninitialised memory with one reference.
    static ChunkRef allocate(size_t size);

    Chunk(const Chunk&) = delete;
    Chunk& operator=(const Chunk&) = delete;

    [[nodiscard]] std::byte* data() { return reinterpret_cast<std::byte*>(this + 1); }
    [[nodiscard]] size_t size() const { return size_; }
    /// The bytes given out are never written by anyone else once parsing has passed them.
    [[nodiscard]] ByteSpan span() { return {data(), size_}; }

private:
    friend class ChunkRef;
    explicit Chunk(size_t size) : size_(size) {}

    size_t size_;
    uint32_t references_ = 1;
};

class ChunkRef {
public:
    ChunkRef() = default;
    ChunkRef(const ChunkRef& other) : chunk_(other.chunk_) {
        if (chunk_ != nullptr) {
            chunk_->references_++;
        }
    }
    ChunkRef(ChunkRef&& other) noexcept : chunk_(std::exchange(other.chunk_, nullptr)) {}
    ChunkRef& operator=(ChunkRef other) noexcept {
        std::swap(chunk_, other.chunk_);
        return *this;
    }
    ~ChunkRef() { reset(); }

    void reset();
    [[nodiscard]] Chunk* get() const { return chunk_; }
    Chunk* operator->() const { return chunk_; }
    explicit operator bool() const { return chunk_ != nullptr; }
    /// True when no one else holds the chunk, so that its memory may be written again.
    [[nodiscard]] bool is_unique() const { return chunk_ != nullptr && chunk_->references_ == 1; }

private:
    friend class Chunk;
    explicit ChunkRef(Chunk* chunk) : chunk_(chunk) {}

    Chunk* chunk_ = nullptr;
};

} // namespace qtool
