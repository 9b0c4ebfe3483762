#include "server/port/net.h"

namespace qtool::port {

uint64_t piece_size(const Piece& piece) {
    if (const auto* own = std::get_if<std::vector<std::byte>>(&piece)) {
        return own->size();
    }
    if (const auto* chunk = std::get_if<ChunkPiece>(&piece)) {
        return chunk->bytes.size();
    }
    return std::get<FileRange>(piece).size;
}

} // namespace qtool::port
