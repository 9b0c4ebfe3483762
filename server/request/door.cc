#include "server/request/door.h"

#include "lib/base/assert.h"

#include <iterator>

namespace qtool::request {

uint64_t ReplyQueue::open() {
    slots_.emplace_back();
    return first_ + slots_.size() - 1;
}

std::vector<port::Piece> ReplyQueue::fill(uint64_t slot, std::vector<port::Piece> pieces) {
    QT_ASSERT(slot >= first_ && slot - first_ < slots_.size());
    Slot& mine = slots_[static_cast<size_t>(slot - first_)];
    QT_ASSERT(!mine.ready);
    mine.ready = true;
    mine.pieces = std::move(pieces);
    std::vector<port::Piece> leaving;
    while (!slots_.empty() && slots_.front().ready) {
        if (leaving.empty()) {
            leaving = std::move(slots_.front().pieces);
        } else {
            std::move(slots_.front().pieces.begin(), slots_.front().pieces.end(),
                      std::back_inserter(leaving));
        }
        slots_.pop_front();
        first_++;
    }
    return leaving;
}

} // namespace qtool::request
